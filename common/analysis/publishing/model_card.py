"""The model card of a published agent: README.md with front matter that the Hugging Face Hub reads."""

import io
import math
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from common.config.versions import PAPERS
from common.safe_io import is_finite_number
from common.storage.publication import CARD_FILE, CURVE_FILE, MAX_BYTES, WEIGHTS_FILE

LIBRARY = "dreamer-hub"
PROJECT_LICENSE = "mit"
CONTENTS = {
    WEIGHTS_FILE: "weights of world model, actor and critic",
    "config.yaml": "the complete config of the training",
    "spaces.json": "spaces of observations and actions",
    "run.json": "packages, revision and hardware of the training",
    "eval.json": "every score of the evaluation",
    "scores.jsonl": "returns during training",
    CURVE_FILE: "the learning curve",
    CARD_FILE: "this page",
}


class Facts(NamedTuple):
    """Content of a card. run, evaluation: run.json and eval.json without private data. frames: of the weights.

    random: mean return of random actions, if it was measured. half: whether weights have 16 bits. files: their names.
    best: whether the weights are those with the best score of the training.
    """

    name: str
    address: str
    config: dict
    run: dict
    evaluation: dict
    frames: int
    license: str
    half: bool
    files: tuple[str, ...]
    random: float | None = None
    best: bool = False


def model_card(facts: Facts) -> str:
    """Return the card as Markdown with YAML front matter."""
    parts = [f"# {facts.name}", _introduction(facts), _score_table(facts), _curve(facts), _usage(facts)]
    parts += [_training(facts), _contents(facts), _limits(facts)]
    return f"---\n{_yaml(front_matter(facts))}---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def front_matter(facts: Facts) -> dict[str, Any]:
    """Return the metadata: licence, library, tags, and the score in the form of the hub's leaderboards."""
    task, algo = facts.config["task"], facts.config["algo"]
    tags = ["reinforcement-learning", "deep-reinforcement-learning", "world-model", "dreamer", f"dreamer-{algo}", task]
    meta: dict[str, Any] = {"license": facts.license, "library_name": LIBRARY, "pipeline_tag": "reinforcement-learning"}
    meta["tags"] = tags
    if scored(facts.evaluation):
        value = "{mean:.2f} +/- {std:.2f}".format(**facts.evaluation)
        kind = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
        metric = {"type": "mean_reward", "name": "mean_reward", "value": value, "verified": False}
        result = {"task": kind, "dataset": {"name": task, "type": task}, "metrics": [metric]}
        meta["model-index"] = [{"name": facts.name, "results": [result]}]
    return meta


def scored(evaluation: dict) -> bool:
    """Whether an evaluation has a mean and a deviation."""
    return all(is_finite_number(evaluation.get(key)) for key in ("mean", "std"))


def score_text(evaluation: dict) -> str:
    """Return the mean with its 95 % interval and the number of episodes."""
    interval, text = evaluation.get("interval"), f"{evaluation['mean']:.2f}"
    if isinstance(interval, list) and len(interval) == 2 and all(map(is_finite_number, interval)):
        text += f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{text}, n = {evaluation.get('n', '?')}"


def _introduction(facts: Facts) -> str:
    algo = facts.config["algo"]
    paper = f" ([paper](https://arxiv.org/abs/{PAPERS[algo]}))" if algo in PAPERS else ""
    return (
        f"An agent of Dreamer{algo.upper() if len(algo) == 2 else algo}{paper} for the task `{facts.config['task']}`, "
        f"trained with {LIBRARY} for {facts.frames:,} environment frames."
    )


def _score_table(facts: Facts) -> str:
    found = facts.evaluation
    if not scored(found):
        return "It was not evaluated before it was published."
    rows = [("this agent", score_text(found), f"{found.get('frames', facts.frames):,}", found.get("mode", ""))]
    rows += [("random actions", f"{facts.random:.2f}", "", "")] if facts.random is not None else []
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    head = ["| policy | score: mean [95 % interval], episodes | frames | actions |", "|---|---|---|---|"]
    note = "The interval is a bootstrap over episodes. It is one seed of training: other seeds may score differently."
    return "\n".join([*head, *lines, "", note])


def _curve(facts: Facts) -> str:
    return f"![Returns of episodes over environment frames]({CURVE_FILE})" if CURVE_FILE in facts.files else ""


def _usage(facts: Facts) -> str:
    return "\n".join(
        [
            "## Use it",
            "",
            "```python",
            "from dreamer import load",
            "",
            f'policy = load("{facts.address}")',
            "action, state = policy(obs, None)  # then policy(obs, state)",
            "```",
            "",
            "```sh",
            f"python dreamer.py eval --logdir {facts.address} --episodes 20",
            f"python dreamer.py dream --logdir {facts.address}",
            "```",
        ]
    )


def _training(facts: Facts) -> str:
    run, sessions = facts.run, facts.run.get("sessions") or [{}]
    last = sessions[-1]
    packages = last.get("packages") if isinstance(last.get("packages"), dict) else {}
    hardware = last.get("hardware") if isinstance(last.get("hardware"), dict) else {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    rows = {
        "version, seed": f"{facts.config['algo']}, {facts.config['seed']}",
        "environment frames": f"{facts.frames:,}",
        "checkpoint": "the one with the best score during training" if facts.best else "",
        "updates of the training": _number(run.get("updates")),
        "parameters": _number(run.get("parameters")),
        "hours of training": f"{run['wall'] / 3600:.2f}" if is_finite_number(run.get("wall")) else "",
        "processor": hardware.get("cpu"),
        "GPUs": ", ".join(map(str, hardware.get("gpus") or ())),
        "git revision": last.get("git"),
        "packages": f"Python {last['python']}, {versions}" if last.get("python") else versions,
        "licence of the weights": facts.license,
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value]
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines])


def _number(value: Any) -> str:
    return f"{int(value):,}" if is_finite_number(value) and not math.isnan(value) else ""


def _contents(facts: Facts) -> str:
    lines = [f"| `{name}` | {CONTENTS[name]} |" for name in MAX_BYTES if name in facts.files]
    return "\n".join(["## Files", "", "| file | content |", "|---|---|", *lines])


def _limits(facts: Facts) -> str:
    half = " The weights are rounded to 16 bits." if facts.half else ""
    return (
        "There is no optimiser and no replay: the agent evaluates, loads, dreams and starts new runs "
        f"(`--run.init {facts.address} --run.init_parts all`), but this training cannot be resumed.{half} "
        "Reading these files runs no code from them."
    )


def _yaml(value: dict) -> str:
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    setattr(yaml, "sort_base_mapping_type_on_output", False)  # noqa: B010 (unknown to the type stubs)
    yaml.dump(value, text)
    return text.getvalue()
