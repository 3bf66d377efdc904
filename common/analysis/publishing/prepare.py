"""The folder that `push` publishes, made from a run or from a published agent."""

import re
from pathlib import Path
from typing import NamedTuple

from common.analysis.publishing.curve_picture import curve_png
from common.analysis.publishing.model_card import Facts, model_card
from common.analysis.publishing.public_files import public_files
from common.analysis.reference.score_files import read_episode_scores
from common.config import config as configs
from common.config.foreign_code import is_marked
from common.errors import UserError
from common.files import write_bytes, write_text
from common.safe_io import is_finite_number, parse_json
from common.storage import spaces as stored_spaces
from common.storage.logdir import stored_config
from common.storage.publication import CARD_FILE, CURVE_FILE, WEIGHTS_FILE, is_published, write_weights
from common.storage.saved_agent import load_saved_agent

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


class Choices(NamedTuple):
    """Choices of a user. best: the checkpoint with the best score. half: 16 bits. name: title of the card.

    address: where others find the agent. random: mean return of random actions, or None.
    """

    address: str
    name: str
    license: str
    best: bool = False
    half: bool = False
    random: float | None = None


def prepare(logdir: Path, folder: Path, choices: Choices) -> None:
    """Write the files of an agent to an empty folder. logdir: the run, which does not change.

    Raises UserError if there is no checkpoint, or a file of the run is damaged.
    """
    if not LICENSE.fullmatch(choices.license):
        raise UserError(f"--license takes a short name such as mit, apache-2.0 or cc-by-4.0, got {choices.license!r}.")
    config, state = stored_config(logdir), load_saved_agent(logdir, best=choices.best and not is_published(logdir))
    if foreign := [name for name in (config["task"], *uses(config)) if is_marked(name)]:
        raise UserError(f"{logdir} is published and names code of its own ({foreign[0]}): publish the original run.")
    facts = {key: state[key] for key in ("frames", "wall") if key in state}
    write_weights(folder / WEIGHTS_FILE, state["agent"], choices.half, **facts)
    stored_spaces.write(folder, stored_spaces.read(logdir))
    texts = public_files(logdir, config)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_curve(folder, f"{config['algo']} on {config['task']}", choices.random)
    load = lambda name: parse_json(texts[name]) if name in texts else {}
    files = (*(path.name for path in folder.iterdir()), CARD_FILE)
    card = Facts(
        choices.name, choices.address, configs.read(folder / "config.yaml"), load("run.json"), load("eval.json"),
        state["frames"], choices.license, choices.half, files, choices.random, choices.best,
    )  # fmt: skip
    write_text(folder / CARD_FILE, model_card(card))


def uses(config: dict) -> list[str]:
    """Return the names of the parts of a config."""
    return [block["use"] for block in config.values() if isinstance(block, dict) and "use" in block]


def write_curve(folder: Path, title: str, random: float | None) -> None:
    """Write the learning curve if the run has scores."""
    if (folder / "scores.jsonl").exists():
        scores = read_episode_scores(folder / "scores.jsonl")
        if png := curve_png(scores, title, random if is_finite_number(random) else None):
            write_bytes(folder / CURVE_FILE, png)
