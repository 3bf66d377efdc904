"""Kinds of bad input: each makes one case in a copy of a finished run and tries a command on it."""

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from fuzz_tools import TOKENS, VALUES, damaged, ends_well, odd_json, odd_row, odd_tree, tree

import dreamer
from common.config import config as configs
from common.storage.checkpoint_file import read, write
from common.storage.checkpoints import Checkpoints
from common.storage.grid_file import Grid, Job, JobState, write_grid

TASK = "dummy_onehot_7"
LATE = 44  # frames of a resumed run
FEW, SHARE = 20, 0.02  # from 20 tries on, 2 % of a command must succeed, or it is refused for another reason
WORDS = {
    "--task": ["dummy_point_6", "dummy_bandit", "gym_", "gym_CartPole-v1", "dmc_walker", "os:path", ":", "a:b:c", "_"],
    "--configs": ["debug", "cpu", "defaults", "size12m", "atari", "debug,cpu"],
    "--features": ["retnorm=v2", "latent=v1", "sizes=v3", "kl=", "=v2", "v2=kl"],
    "--algo": ["v1", "v2", "v3", "v3-2023", "v9"],
}

RUN = [
    "--configs", "debug", "--task", TASK, "--batch_size", "2", "--batch_length", "6", "--run.threads", "1",
    "--run.device", "cpu", "--run.compile", "off", "--run.prefill", "20", "--run.log_every", "10",
    "--run.save_every", "20", "--run.eval_every", "20", "--run.video_every", "0", "--replay.capacity", "50",
    "--schedule.ratio", "2",
]  # fmt: skip


class Inputs:
    """Two finished runs, one with its replay in memory and one on disk, and methods that damage copies of them."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0
        self.ends: Counter[tuple[str, int]] = Counter()
        self.bases = [folder / "memory", folder / "disk"]
        for base in self.bases:
            assert ends_well(self.words(base)) == 0
            assert ends_well(["eval", "--logdir", base]) == 0
        ends_well([*self.words(folder / "wild"), "--optim.lr.model", "1e30"])
        self.caught = folder / "wild/nonfinite/first.pt"
        assert self.caught.is_file()
        self.states = [Checkpoints(base / "checkpoints").load() for base in self.bases]
        self.keys = {algo: list(configs.flatten(dreamer.resolve(algo))) for algo in dreamer.ALGOS}
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "flags": self.flags,
            "words": self.some_words,
            "config files": self.config_file,
            "files of a logdir": self.any_file,
            "checkpoints": self.checkpoint,
            "replay files": self.replay_file,
            "records of JSON": self.json_file,
            "grids": self.grid,
            "batches on file": self.batch,
            "score files": self.score_file,
            "logdirs": self.logdir,
        }

    @staticmethod
    def words(logdir: Path, steps: int = 40) -> list:
        """Return the command that trains or resumes in `logdir`."""
        disk = "disk" in logdir.name
        return ["train", "--algo", "v3", *RUN, "--steps", steps, "--replay.disk", disk, "--logdir", logdir]

    def commands(self, run: Path) -> list[list]:
        """Return commands on a run; all succeed if it is intact. `load` is the call from Python."""
        out = run.with_name(f"{run.name}-out")
        reading = [["explain", run], ["report", run, "--out", out], ["load", run]]
        writing = [self.words(run, LATE), ["eval", "--logdir", run], ["eval", "--logdir", run, "--best"]]
        return [*writing, *reading, ["plot", run, "--out", out / "plot.svg"]]

    def vain(self) -> list[str]:
        """Return commands that were tried often and hardly ever succeeded: their refusals prove nothing."""
        tried = Counter()
        for (command, _), count in self.ends.items():
            tried[command] += count
        return [name for name, count in tried.items() if count >= FEW and self.ends[name, 0] < SHARE * count]

    def flags(self, draw: random.Random) -> None:
        """Try one or two settings with unusual values."""
        algo = draw.choice(list(self.keys))
        names = [draw.choice(self.keys[algo]) for _ in range(draw.randint(1, 2))]
        ends_well(["config", "--algo", algo, *(word for key in names for word in (f"--{key}", draw.choice(VALUES)))])

    def some_words(self, draw: random.Random) -> None:
        """Try unknown tasks, blocks and features."""
        command = draw.choice(["config", "table", "check-env", "explain"])
        some = lambda key: draw.choice(WORDS[key] if draw.random() < 0.8 else VALUES)
        played = [some("--task"), "--episodes", "1", "--limit", "20"]
        subject = {"check-env": played, "explain": [some("--algo")]}.get(command, [])
        keys = {"check-env": [], "table": ["--configs"]}.get(command, list(WORDS))
        words = [word for key in draw.sample(keys, min(len(keys), draw.randint(0, 2))) for word in (key, some(key))]
        self.ends[command, ends_well([command, *subject, *words])] += 1

    def config_file(self, draw: random.Random) -> None:
        """Damage config.yaml."""
        run, _ = self.copy(draw)
        path = run / "config.yaml"
        path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(draw.choice([*self.commands(run), ["reference", "--check", run]]), run)

    def any_file(self, draw: random.Random) -> None:
        """Damage or remove any file of a run, or replace it by a pipe."""
        run, _ = self.copy(draw)
        path = draw.choice([p for p in sorted(run.rglob("*")) if p.is_file() and p.name != ".lock"])
        if (chance := draw.random()) < 0.15:
            path.unlink()
        if chance < 0.05:
            os.mkfifo(path)
        elif chance >= 0.15:
            path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(draw.choice([*self.commands(run), ["reference", "--check", run]]), run)

    def checkpoint(self, draw: random.Random) -> None:
        """Write a checkpoint with a correct checksum and malformed content."""
        run, state = self.copy(draw)
        for path in (run / "checkpoints").glob("checkpoint-*"):
            path.unlink()
        Checkpoints(run / "checkpoints").save(odd_state(draw, state), frames=40)
        self.attempt(draw.choice([self.words(run, LATE), ["eval", "--logdir", run], ["load", run]]), run)

    def replay_file(self, draw: random.Random) -> None:
        """Damage a file of the replay."""
        run, _ = self.copy(draw)
        path = draw.choice(sorted((run / "replay").iterdir()))
        path.write_bytes(damaged(draw, path.read_bytes()))
        self.attempt(self.words(run, LATE), run)

    def json_file(self, draw: random.Random) -> None:
        """Replace some values in valid JSON."""
        run, _ = self.copy(draw)
        places = [*run.glob("*.json"), *run.glob("*.jsonl"), *(run / "replay").glob("*.json")]
        path = draw.choice(places)
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        rows = [json.loads(text) for text in texts]
        odd = draw.choice([odd_row, odd_tree])
        path.write_text("".join(json.dumps(odd(draw, row) if draw.random() < 0.7 else row) + "\n" for row in rows))
        self.attempt(draw.choice([*self.commands(run), ["reference", "--check", run]]), run)

    def grid(self, draw: random.Random) -> None:
        """Damage grid.json of a grid with one run."""
        run, _ = self.copy(draw)
        config = configs.read(run / "config.yaml")
        job = Job("v3", TASK, 0, ["--algo", "v3"], config)
        place = run.parent / "grid"
        (place / job.logdir).parent.mkdir(parents=True)
        run.rename(place / job.logdir)
        write_grid(place, Grid("compare", "A grid", "frames", ["v3"], "v3"), [job], [JobState("done")])
        path = place / "grid.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(draw.choice([odd_row, odd_tree])(draw, content)))
        if draw.random() < 0.3:
            path.write_bytes(damaged(draw, path.read_bytes()))
        out = place.with_name("grid-out")
        self.attempt(draw.choice([["report", place, "--out", out], ["plot", place, "--out", out / "a.png"]]), place)

    def batch(self, draw: random.Random) -> None:
        """Damage a file for debug-batch, or give it malformed content with a correct checksum."""
        path = self.folder / "batch.pt"
        if draw.random() < 0.4:
            path.write_bytes(damaged(draw, self.caught.read_bytes()))
        else:
            write(path, odd_state(draw, read(self.caught)))
        self.attempt(["debug-batch", path], path.parent / "none")

    def score_file(self, draw: random.Random) -> None:
        """Damage a score file."""
        path = self.folder / "scores.json"
        row = {"task": "dmc_walker_walk", "method": "mine", "seed": 0, "xs": [1000, 2000, 3000], "ys": [1.0, 2.0, 3.0]}
        rows = [odd_row(draw, row) if draw.random() < 0.5 else row for _ in range(draw.randint(0, 3))]
        text = json.dumps(rows if draw.random() < 0.9 else odd_json(draw)).encode()
        path.write_bytes(damaged(draw, text) if draw.random() < 0.5 else text)
        words = ["reference", "--file", path, "--task", "dmc_walker_walk", "--benchmark", "dmc_proprio"]
        self.attempt(words, path.parent / "none")

    def logdir(self, draw: random.Random) -> None:
        """Fill a folder with random files."""
        folder = self.folder / f"junk-{self.count}"
        self.count += 1
        folder.mkdir()
        names = ["config.yaml", "grid.json", "run.json", "scores.jsonl", "metrics.jsonl", "notes.txt", "checkpoints"]
        names += ["spaces.json", "eval.json"]
        for name in draw.sample(names, draw.randint(1, 4)):
            (folder / name).write_bytes(b"".join(draw.choice(TOKENS) for _ in range(draw.randint(0, 5))))
        self.attempt(draw.choice([*self.commands(folder), ["reference", "--check", folder]]), folder)
        shutil.rmtree(folder)

    def copy(self, draw: random.Random) -> tuple[Path, dict]:
        """Return a copy of a run to damage, and the state in its newest checkpoint."""
        which = draw.randrange(2)
        place = self.folder / "copies" / self.bases[which].name
        shutil.rmtree(place.parent, ignore_errors=True)
        shutil.copytree(self.bases[which], place)
        return place, self.states[which]

    def attempt(self, words: list, folder: Path) -> None:
        """Run a command; if it is refused, the folder must be unchanged."""
        before = tree(folder)
        code = ends_well(words)
        self.ends[words[0], code] += 1
        if code == 2:
            after = tree(folder)
            changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
            assert not changed, (words, changed)


def odd_state(draw: random.Random, tree):
    """Return a state with one value inside it replaced or removed."""
    if not isinstance(tree, dict) or not tree or draw.random() < 0.1:
        return draw.choice([None, 0, -1, 2**40, "x", [], {}, 1.5, float("nan"), torch.zeros(3), [1, [2]], True])
    key = draw.choice(list(tree))
    kept = {name: value for name, value in tree.items() if name != key}
    return kept if draw.random() < 0.1 else {**tree, key: odd_state(draw, tree[key])}
