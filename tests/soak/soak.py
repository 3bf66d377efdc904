"""`make soak`: kills trainings, tries bad input, and prints the results.

`python tests/soak/soak.py [--kills 60] [--inputs 100] [--seed 0]`: at least that many kills, and cases of each kind.
Prints its progress and a table at the end; exits with 1 if anything failed.
"""

import argparse
import collections
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import torch  # noqa: E402
from inputs import Inputs  # noqa: E402
from soak_tools import PLACES, SETUPS, Children, Loss, Straight, killed_and_resumed, random_kills, straight  # noqa: E402

CHEAP = {
    "flags": 10,
    "words": 5,
    "score files": 10,
    "logdirs": 5,
    "config files": 2,
}  # kinds of which there are more cases
HANGS = 120  # seconds after which a command counts as hanging


def kill_runs(folder: Path, count: int, seed: int) -> tuple[list[Loss], int]:
    """Kill runs of every setup at least `count` times; return the losses and the number of failed runs."""
    if not count:
        return [], 0
    children, losses, failed = Children(folder), [], 0
    setups = SETUPS[seed % len(SETUPS) :] + SETUPS[: seed % len(SETUPS)]
    runs: list[Straight] = []
    for trial, (algo, disk) in enumerate(itertools.cycle(setups)):
        if len(losses) >= count:
            break
        if trial < len(setups):
            runs.append(straight(children, algo, disk, folder / f"{algo}-{disk}"))
        run, logdir = runs[trial % len(setups)], folder / f"killed-{trial}"
        try:
            here = killed_and_resumed(children, run, logdir, random_kills(seed + trial))
            losses += here
            print(f"{len(losses)} kills survived:", *(f"{place} -{f}/{u}" for place, f, u in here), flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED: trial {trial}, {' '.join(map(str, run.words[:2]))}: {str(error)[:2000]}", flush=True)
        shutil.rmtree(logdir, ignore_errors=True)
    children.close()
    return losses, failed


def try_inputs(folder: Path, count: int, seed: int) -> tuple[collections.Counter, int]:
    """Try `count` cases of each kind, more of cheap ones; return successes by kind and the number of failures."""
    if not count:
        return collections.Counter(), 0
    inputs, fine, failed = Inputs(folder), collections.Counter(), 0
    signal.signal(signal.SIGALRM, hang)
    for kind, case in inputs.kinds.items():
        for number in range(seed, seed + count * CHEAP.get(kind, 1)):
            signal.alarm(HANGS)
            try:
                case(random.Random(f"{kind} {number}"))
                fine[kind] += 1
            except (AssertionError, TimeoutError) as error:
                failed += 1
                print(f"FAILED: {kind} {number}: {str(error)[-2000:]}", flush=True)
            signal.alarm(0)
        print(f"{fine[kind]} {kind}", flush=True)
    for command in inputs.vain():
        failed += 1
        print(f"FAILED: {command} was hardly ever successful: {sorted(inputs.ends.items())}", flush=True)
    return fine, failed


def hang(*_) -> None:
    raise TimeoutError("it hangs")


def show(losses: list[Loss], fine: collections.Counter, failed: int, seconds: float) -> None:
    """Print the tables of docs/reliability.md."""
    print("\n| killed in | times | frames repeated: mean, most | updates repeated: mean, most |\n|---|---|---|---|")
    for place in [*PLACES, "all"]:
        here = [loss for loss in losses if place in (loss.place, "all")]
        if here:
            frames, updates = [loss.frames for loss in here], [loss.updates for loss in here]
            means = [f"{sum(values) / len(values):.1f}, {max(values)}" for values in (frames, updates)]
            print(f"| {place} | {len(here)} | {means[0]} | {means[1]} |")
    print("\n| bad input | cases |\n|---|---|")
    for kind, number in fine.items():
        print(f"| {kind} | {number:,} |")
    print(f"| all | {fine.total():,} |\n\nFailed: {failed}. Took {seconds / 60:.0f} minutes.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {"kills": 60, "inputs": 100, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    ask = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("kills", "inputs")]
        for place in places:
            place.mkdir()
        losses, lost = kill_runs(places[0], ask.kills, ask.seed)
        os.chdir(places[1])
        fine, wrong = try_inputs(places[1], ask.inputs, ask.seed)
    show(losses, fine, lost + wrong, time.monotonic() - begin)
    return int(lost + wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
