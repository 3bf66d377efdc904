"""`push`: publishes the agent of a run, for `load`, `eval` and `dream` elsewhere.

DEST is hf://USER/NAME, a new folder, or a new .zip file. It gets weights, config, spaces, scores, a learning curve and
a model card; no replay, no optimiser, no paths. --dry-run shows every file first.
"""

import getpass
import os
import socket
import tempfile
from pathlib import Path

import numpy as np

from common.analysis.publishing.destinations import check_destination, publish
from common.analysis.publishing.model_card import PROJECT_LICENSE
from common.analysis.publishing.prepare import Choices, prepare
from common.analysis.publishing.public_files import mentions
from common.config.arguments import Option, Options
from common.config.request import Request
from common.errors import UserError
from common.experiments.random_policy import random_scores
from common.storage import hub
from common.storage.logdir import stored_config
from common.storage.publication import CARD_FILE
from common.storage.run_source import PRETRAINED, find_run

OPTIONS: Options = {
    "license": Option(PROJECT_LICENSE, "licence of the weights, as the hub names it", "NAME"),
    "name": Option("", "title of the model card (default: that of DEST)", "NAME"),
    "best": Option(False, "publish the checkpoint with the best score instead of the newest"),
    "half": Option(False, "store the weights in 16 bits: half the size, rounded"),
    "random": Option(0, "play this many episodes with random actions, for the card", "N"),
    "overwrite": Option(False, "replace what DEST has; on the hub: add a commit"),
    "private": Option(False, "make a new repository on the hub private"),
    "dry-run": Option(False, "print what would be published, and publish nothing"),
}
EXAMPLES = (
    "push logs/pole hf://me/dreamer-pole --dry-run",
    "push logs/pole pole.zip",
    "push logs/pole published/pole --best --half --random 20",
)
TEXTS = (".md", ".yaml", ".json", ".jsonl")


def push(request: Request) -> None:
    """Publish a run. Raises UserError if it has no checkpoint, or DEST cannot be written."""
    own = request.options
    source, dest = requested_words(request)
    logdir = find_run(source)
    config = stored_config(logdir)
    if not own["dry-run"]:
        check_destination(dest, own["overwrite"])
    random = float(np.mean(random_scores(config, own["random"]))) if own["random"] > 0 else None
    name = own["name"] or Path(dest.removeprefix(hub.SCHEME)).stem
    address = name if name.startswith(PRETRAINED) else dest if dest.startswith(hub.SCHEME) else Path(dest).name
    with tempfile.TemporaryDirectory(prefix="dreamer-push-") as place:
        folder = Path(place) / "agent"
        folder.mkdir()
        prepare(logdir, folder, Choices(address, name, own["license"], own["best"], own["half"], random))
        print_files(folder, show=own["dry-run"])
        if own["dry-run"]:
            print(f"Nothing was published. Without --dry-run these files go to {dest}.")
            return
        print(f"Published: {publish(folder, dest, own['overwrite'], own['private'])}")
    if not (logdir / "eval.json").exists():
        print(f"The card has no score: run `python dreamer.py eval --logdir {source} --episodes 20`, then push again.")


def requested_words(request: Request) -> tuple[str, str]:
    """Return the run and the destination. Raises UserError for other words or flags."""
    if given := request.given_flags():
        raise UserError(f"push takes its config from the run: omit {', '.join(given)}.")
    if len(request.positionals) != 2:
        raise UserError(
            "push needs a run and a destination: push logs/pole hf://USER/NAME, or push logs/pole pole.zip."
        )
    return request.positionals[0], request.positionals[1]


def print_files(folder: Path, show: bool) -> None:
    """Print name and size of each file, and what may be private. show: also print the card and the config."""
    paths = sorted(folder.iterdir())
    print("\n".join(f"{path.stat().st_size:>12,} bytes  {path.name}" for path in paths))
    texts = {path.name: path.read_text() for path in paths if path.suffix in TEXTS}
    for line in mentions(texts, private_words()):
        print(f"Look at this before you publish: {line}.")
    for name in (CARD_FILE, "config.yaml", "run.json") if show else ():
        print(f"\n--- {name} ---\n{texts.get(name, '')}")


def private_words() -> list[str]:
    """Return names of this machine and its user."""
    words = [socket.gethostname(), str(Path.home())]
    try:
        words.append(getpass.getuser())
    except (OSError, KeyError):  # a user without a name
        words.append(os.environ.get("USER", ""))
    return [word for word in words if word not in ("root", "localhost")]
