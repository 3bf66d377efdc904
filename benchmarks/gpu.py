"""Check and measure everything that needs a GPU, in less than eight minutes, and write one JSON file.

    benchmarks/gpu.sh --json gpu.json --peer r2dreamer=CHECKOUT,PYTHON
    benchmarks/gpu.sh --only parity,resume
    benchmarks/gpu.sh --device cpu --sizes tiny

Parts: parity of GPU and CPU for each version (`gpu_checks.py`), resume of a stopped run, and speed: updates per second,
peak memory, and the share of the machine's matrix product rate, next to r2dreamer compiled. Each part is a process with
a time limit. If one fails, its message is recorded and the others run.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.contestant import revision
from benchmarks.figures import make_parser, positive_int
from benchmarks.updates import parse_peer
from common.nn.compile import has_fast_bfloat16
from common.nn.machine import describe_device
from common.storage.runinfo import tf32_settings

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("parity", "resume", "speed")
ALGOS = ("v1", "v2", "v3", "v3-2023")
#: Size -> workload, and seconds for our four variants and for the peer. All limits together are below eight minutes.
SIZES = {"tiny": ("tiny", 200, 60), "12m": ("Q", 100, 50), "200m": ("XL", 110, 50)}
PARITY_SECONDS, RESUME_SECONDS = 120, 45  # the versions are compared at the same time
UPDATES, WARMUP = 30, 6  # the first update compiles, the fourth captures the graphs


@dataclasses.dataclass(frozen=True)
class Part:
    """One process. It prints JSON objects, one in a line; those before a failure count."""

    kind: str
    name: str
    command: list[str]
    seconds: float


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to test the script")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["12m", "200m"])
    parser.add_argument("--algos", nargs="+", choices=ALGOS, default=ALGOS, help="versions of parity")
    parser.add_argument("--only", type=kinds, default=KINDS, metavar="KIND,KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--peer", default="", metavar="r2dreamer=CHECKOUT,PYTHON")
    parser.add_argument("--updates", type=positive_int, default=UPDATES, help="timed updates of each variant")
    options = parser.parse_args(argv)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: torch sees no such GPU. Use --device cpu --sizes tiny for a test.")
    if options.json and not Path(options.json).absolute().parent.is_dir():
        parser.error(f"--json {options.json}: the folder does not exist. Create it, or choose another file.")
    options.checkout, options.python = parse_peer(parser, options.peer)[1] if options.peer else ("", "")
    return options


def kinds(text):
    """Return the kinds of parts that a text with commas names."""
    found = text.split(",")
    if wrong := [word for word in found if word not in KINDS]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not one of {', '.join(KINDS)}")
    return found


def parts(options):
    """Return groups of parts. The parts of a group run at the same time."""
    check = lambda kind, *words: [sys.executable, "benchmarks/gpu_checks.py", kind, "--device", options.device, *words]
    parity = [Part("parity", algo, check("parity", "--algo", algo), PARITY_SECONDS) for algo in options.algos]
    groups = [parity, [Part("resume", "run", check("resume"), RESUME_SECONDS)]]
    groups += [[part] for size in options.sizes for part in speed_parts(size, options)]
    return [chosen for group in groups if (chosen := [part for part in group if part.kind in options.only])]


def speed_parts(size, options):
    """Yield the timings of one size: our variants, then the peer in half precision and in float32."""
    workload, ours, peer = SIZES[size]
    precision = "bf16" if has_fast_bfloat16(torch.device(options.device)) else "fp32"
    graphs_too = (False, True) if torch.device(options.device).type == "cuda" else (False,)
    for compiled in ("off", "on"):
        for graphs in graphs_too:
            name = f"{size} {precision}{' compiled' * (compiled == 'on')}{' graphs' * graphs}"
            words = ["--who=ours", f"--precision={precision}", f"--compile={compiled}", *["--graphs"] * graphs]
            limit = ours * (0.35 if compiled == "on" else 0.15)
            yield Part("speed", name, contestant(sys.executable, workload, words, options, limit), limit)
    compiled, half = ("on", "fp16") if options.device != "cpu" else ("off", "fp32")
    if options.peer:
        words = ["--who=r2dreamer", f"--precision={half}", f"--compile={compiled}", f"--checkout={options.checkout}"]
        yield Part("speed", f"{size} r2dreamer", contestant(options.python, workload, words, options, peer), peer)


def contestant(python, workload, words, options, limit):
    """Return the command that times one contestant; its timed updates take a third of the limit at most."""
    shared = [f"--workload={workload}", f"--device={options.device}", f"--updates={options.updates}"]
    return [python, "benchmarks/contestant.py", *words, *shared, f"--warmup={WARMUP}", f"--patience={limit / 3}"]


def run_group(group):
    """Run parts at the same time. Return the record of each: findings, and the message of a failure."""
    begin = time.monotonic()
    start = lambda part: subprocess.Popen(
        part.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return [finish(part, process, begin) for part, process in [(part, start(part)) for part in group]]


def finish(part, process, begin):
    """Wait for a part until its limit, then end it; return its record."""
    failure = ""
    try:
        out, error = process.communicate(timeout=max(0.1, part.seconds - (time.monotonic() - begin)))
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
        failure = f"stopped at its limit of {part.seconds:.0f} s"
    if not failure and process.returncode:
        failure = (error.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{") and line.endswith("}")]
    record = {"part": part.kind, "name": part.name, "seconds": round(time.monotonic() - begin, 1), "found": found}
    return record | ({"failed": failure} if failure else {})


def summary(record):
    """Return the line of a record in the table."""
    if "failed" in record:
        return f"FAILED: {record['failed']}"
    if record["part"] != "speed":
        bad = [f"{each['variant']}: {each['says']}" for each in record["found"] if not each["passed"]]
        return f"{len(record['found'])} checks" + (f", {len(bad)} FAILED: {'; '.join(bad)}" if bad else " passed")
    figure = record["found"][-1]
    seconds = statistics.median(figure["seconds"])
    share = figure.get("flops", 0) / seconds / figure.get("matmul_flops_per_second", 1)
    rate = f"{1 / seconds:.2f} updates/s, peak {figure['peak_gib']:.2f} GiB"
    return rate + (f", {share:.1%} of the matrix product rate" if share else "")


def machine(device):
    """Return facts about the machine, torch and the revision."""
    about = {"machine": describe_device(device), "torch": torch.__version__, "cuda": torch.version.cuda}
    return about | {"tf32": tf32_settings(), "revision": revision(ROOT), "date": time.strftime("%Y-%m-%d")}


def main(argv=None):
    options = arguments(argv)
    begin, records = time.monotonic(), []
    result = machine(torch.device(options.device)) | {"parts": records}
    if "speed" in options.only and not options.peer:
        result["skipped"] = "r2dreamer was not timed: give --peer r2dreamer=CHECKOUT,PYTHON."
        print(result["skipped"], flush=True)
    for group in parts(options):
        for record in run_group(group):
            records.append(record)
            print(f"{record['part']} {record['name']}: {summary(record)}", flush=True)
        result["total_seconds"] = round(time.monotonic() - begin, 1)
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['machine']}, {result.get('total_seconds', 0)} s")
    failed = [record for record in records if "FAILED" in summary(record)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
