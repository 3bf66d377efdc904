"""Kinds of bad input: each makes one case in a copy of a finished run, and tries a command on it."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from fuzz_tools import TOKENS, VALUES, damaged, ends_well, odd_json, odd_row, tree

import dreamer
from common import config as configs
from common.checkpoint import Checkpoints

RUN = [
    "--configs", "debug", "--task", "dummy_onehot_7", "--batch_size", "2", "--batch_length", "6", "--run.threads", "1",
    "--run.device", "cpu", "--run.compile", "off", "--run.prefill", "20", "--run.log_every", "10",
    "--run.save_every", "20", "--run.eval_every", "20", "--run.video_every", "0", "--replay.capacity", "50",
    "--schedule.ratio", "2",
]  # fmt: skip


class Inputs:
    """Finished runs, one with its replay in memory and one with it on disk, and what can be done to their copies."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0
        self.bases = [folder / "memory", folder / "disk"]
        for base in self.bases:
            assert ends_well(self.words(base)) == 0
        self.states = [Checkpoints(base / "checkpoints").load() for base in self.bases]
        self.keys = {algo: list(configs.flatten(dreamer.resolve(algo))) for algo in dreamer.ALGOS}
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "flags": self.flags,
            "config files": self.config_file,
            "files of a logdir": self.any_file,
            "checkpoints": self.checkpoint,
            "replay files": self.replay_file,
            "records of JSON": self.json_file,
            "score files": self.score_file,
            "logdirs": self.logdir,
        }

    @staticmethod
    def words(logdir: Path, steps: int = 40) -> list:
        """Trains, or goes on, in `logdir`."""
        disk = "disk" in logdir.name
        return ["train", "--algo", "v3", *RUN, "--steps", steps, "--replay.disk", disk, "--logdir", logdir]

    def flags(self, draw: random.Random) -> None:
        """One or two settings with values that make little sense."""
        algo = draw.choice(list(self.keys))
        names = [draw.choice(self.keys[algo]) for _ in range(draw.randint(1, 2))]
        ends_well(["config", "--algo", algo, *(word for key in names for word in (f"--{key}", draw.choice(VALUES)))])

    def config_file(self, draw: random.Random) -> None:
        """A damaged config.yaml."""
        run, _ = self.copy(draw)
        path = run / "config.yaml"
        path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(draw.choice([["eval", "--logdir", run], ["explain", run], self.words(run, 44)]), run)

    def any_file(self, draw: random.Random) -> None:
        """Any damaged file of a run."""
        run, _ = self.copy(draw)
        path = draw.choice([p for p in sorted(run.rglob("*")) if p.is_file() and p.name != ".lock"])
        path.unlink() if draw.random() < 0.1 else path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(draw.choice([self.words(run, 44), ["eval", "--logdir", run], ["reference", "--check", run]]), run)

    def checkpoint(self, draw: random.Random) -> None:
        """A checkpoint with a right checksum and wrong content."""
        run, state = self.copy(draw)
        for path in (run / "checkpoints").glob("checkpoint-*"):
            path.unlink()
        Checkpoints(run / "checkpoints").save(odd_state(draw, state), frames=40)
        self.attempt(draw.choice([self.words(run, 44), ["eval", "--logdir", run]]), run)

    def replay_file(self, draw: random.Random) -> None:
        """A damaged file of the replay."""
        run, _ = self.copy(draw)
        path = draw.choice(sorted((run / "replay").iterdir()))
        path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(self.words(run, 44), run)

    def json_file(self, draw: random.Random) -> None:
        """JSON as it should be, but for some values."""
        run, _ = self.copy(draw)
        places = [run / "run.json", run / "metrics.jsonl", run / "scores.jsonl", *(run / "replay").glob("*.json")]
        path = draw.choice(places)
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        rows = [json.loads(text) for text in texts]
        path.write_text("".join(json.dumps(odd_row(draw, row) if draw.random() < 0.7 else row) + "\n" for row in rows))
        report = ["report", run, "--logdir", run.with_name(f"{run.name}-report")]
        self.attempt(draw.choice([self.words(run, 44), ["reference", "--check", run], report]), run)

    def score_file(self, draw: random.Random) -> None:
        """A score file, damaged or odd."""
        path = self.folder / "scores.json"
        row = {"task": "dmc_walker_walk", "method": "mine", "seed": 0, "xs": [1000, 2000, 3000], "ys": [1.0, 2.0, 3.0]}
        rows = [odd_row(draw, row) if draw.random() < 0.5 else row for _ in range(draw.randint(0, 3))]
        text = json.dumps(rows if draw.random() < 0.9 else odd_json(draw)).encode()
        path.write_bytes(damaged(draw, text) if draw.random() < 0.5 else text)
        self.attempt(["reference", "--file", path, "--task", "dmc_walker_walk"], path.parent / "none")

    def logdir(self, draw: random.Random) -> None:
        """A folder with anything in it."""
        folder = self.folder / f"junk-{self.count}"
        self.count += 1
        folder.mkdir()
        names = ["config.yaml", "grid.json", "run.json", "scores.jsonl", "metrics.jsonl", "notes.txt", "checkpoints"]
        for name in draw.sample(names, draw.randint(1, 4)):
            (folder / name).write_bytes(b"".join(draw.choice(TOKENS) for _ in range(draw.randint(0, 5))))
        report = ["report", folder, "--logdir", folder.with_name(f"{folder.name}-report")]
        commands = [["eval", "--logdir", folder], ["reference", "--check", folder], ["explain", folder], report]
        self.attempt(draw.choice([*commands, self.words(folder)]), folder)
        shutil.rmtree(folder)

    def copy(self, draw: random.Random) -> tuple[Path, dict]:
        """A run to be harmed, and the state in its newest checkpoint."""
        which = draw.randrange(2)
        place = self.folder / "copies" / self.bases[which].name
        shutil.rmtree(place.parent, ignore_errors=True)
        shutil.copytree(self.bases[which], place)
        return place, self.states[which]

    @staticmethod
    def attempt(words: list, folder: Path) -> None:
        """Runs a command; if it is refused, the folder stays as it was, but for a new budget, stored at once."""
        before = tree(folder)
        if ends_well(words) == 2:
            after = tree(folder)
            changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
            changed -= {str(folder / "config.yaml")} if words[0] == "train" else set()
            assert not changed, (words, changed)


def odd_state(draw: random.Random, tree):
    """A state with one value, somewhere in it, replaced or gone."""
    if not isinstance(tree, dict) or not tree or draw.random() < 0.1:
        return draw.choice([None, 0, -1, 2**40, "x", [], {}, 1.5, float("nan"), torch.zeros(3), [1, [2]], True])
    key = draw.choice(list(tree))
    kept = {name: value for name, value in tree.items() if name != key}
    return kept if draw.random() < 0.1 else {**tree, key: odd_state(draw, tree[key])}
