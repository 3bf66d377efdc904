"""Train the official agents and ours on the same tasks with the same settings, and write score files.

    python -m benchmarks.learning --versions v1,v2,v3 --seeds 6 --out results/official \
        --checkout-v1 DIR --python-v1 PYTHON --checkout-v2 DIR --python-v2 PYTHON --checkout-v3 DIR --python-v3 PYTHON

Give each official agent the folder of its source and a Python with its packages (benchmarks/README.md lists them).
Runs with a score file are skipped; an interrupted run starts again. `--list` prints what is done. Afterwards,
`python -m benchmarks.learning.report results/official` writes verdicts and curves.
"""

import argparse
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.figures import make_parser, positive_int
from benchmarks.learning import runs, study
from benchmarks.learning.score_files import SIDES, Run, read_run, write_run
from common.errors import UserError

INTERRUPTED = 130  # exit code


def main(argv=None) -> int:
    parser = arguments()
    options = parser.parse_args(argv)
    try:
        wanted = study.order(options.versions, options.seeds, options.first_seed, options.sides)
        missing = [run for run in wanted if read_run(options.out, run) is None]
        if options.list:
            return print_list(wanted, missing)
        officials = {version: official(options, version) for version in options.versions}
    except UserError as error:
        parser.error(str(error))
    print(f"{len(missing)} of {len(wanted)} runs to make, {options.jobs} at a time.", flush=True)
    return make_all(missing, officials, options)


def arguments():
    parser = make_parser(__doc__, json=False)
    names = lambda known: lambda text: choose(text, known)
    parser.add_argument("--versions", type=names(tuple(study.TASKS)), default=tuple(study.TASKS), help="default: all")
    parser.add_argument("--sides", type=names(SIDES), default=SIDES, help="official,ours (default: both)")
    parser.add_argument("--seeds", type=positive_int, default=study.SEEDS, help="per side and task")
    parser.add_argument("--first-seed", type=int, default=study.FIRST_SEED)
    parser.add_argument("--frames", type=positive_int, default=study.FRAMES, help="of each run")
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--list", action="store_true", help="print the runs and whether they are done")
    parser.add_argument("--out", type=Path, required=True, help="folder of the score files")
    for version in study.TASKS:
        parser.add_argument(f"--checkout-{version}", type=Path, metavar="DIR", help=f"source of the official {version}")
        parser.add_argument(f"--python-{version}", metavar="PYTHON", help="a Python with its packages")
    return parser


def choose(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a list with commas; a word that is not known is an error of argparse."""
    words = tuple(text.split(","))
    if unknown := [word for word in words if word not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
    return words


def official(options, version: str) -> runs.Official | None:
    """Return where an official agent is; None if only our side is made. Raises UserError if a flag is missing."""
    if "official" not in options.sides:
        return None
    checkout, python = (getattr(options, f"{what}_{version}") for what in ("checkout", "python"))
    if checkout is None or python is None:
        raise UserError(f"The official {version} needs --checkout-{version} DIR and --python-{version} PYTHON.")
    if not checkout.is_dir():
        raise UserError(f"--checkout-{version} {checkout}: the folder does not exist.")
    return runs.Official(checkout.resolve(), python)


def print_list(wanted: list[Run], missing: list[Run]) -> int:
    """Print each run with its state."""
    for run in wanted:
        print(f"{'to do' if run in missing else 'done '}  {run}")
    print(f"{len(wanted) - len(missing)} of {len(wanted)} done")
    return 0


def make_all(missing: list[Run], officials: dict, options) -> int:
    """Make runs in order, some at a time. A failed run does not stop the others. Return the exit code."""
    failed = []
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = {pool.submit(make, run, officials[run.version], options): run for run in missing}
        try:
            for future in as_completed(pending):
                try:
                    print(future.result(), flush=True)
                except (runs.RunFailed, OSError) as error:
                    failed.append(str(pending[future]))
                    print(f"{pending[future]} failed: {error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            runs.stop_all()
            print("Interrupted. Rerun the same command to continue.", file=sys.stderr)
            return INTERRUPTED
    if failed:
        print(f"Failed: {', '.join(failed)}. Rerun the same command to make them again.", file=sys.stderr)
    return 1 if failed else 0


def make(run: Run, where: runs.Official | None, options) -> str:
    """Make one run and write its score file. Return a line about it."""
    content = (
        runs.make_ours(run, options.frames) if run.side == "ours" else runs.make_official(run, options.frames, where)
    )
    write_run(options.out, run, content)
    last = content["scores"][-5:]
    ends = f"last scores {' '.join(f'{score:.0f}' for score in last)}"
    return f"{run}: {content['updates']} updates, {content['cpu_seconds']:.0f} s of processor time, {ends}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
