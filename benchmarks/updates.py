"""Time training updates of this project and of peers, alternating; write a table and a JSON file.

    python benchmarks/updates.py --rows P V1 --out figures.json \
        --peer r2dreamer=CHECKOUT,PYTHON --peer adityabingi=CHECKOUT,PYTHON

    python benchmarks/updates.py --device cuda --updates 50 --peer r2dreamer=CHECKOUT,PYTHON --out gpu.json

Give each peer the folder of its source and a Python with its packages. Without `--peer`, only the agents of this
project are timed. Contestants run one after the other in separate processes, on an otherwise idle machine. Peers run
uncompiled in float32 on a CPU, and compiled on a GPU; also in half precision, if they support it there.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import make_parser, positive_int
from common.nn.compile import has_fast_bfloat16
from common.nn.machine import describe_device

CONTESTANT = Path(__file__).with_name("contestant.py")

#: Row -> workload, our agent, peers with the same work.
ROWS = {
    "P": ("P", "v3", ("r2dreamer", "dreamerv3_jax")),
    "R": ("R", "v3", ("r2dreamer", "dreamerv3_jax")),
    "Q": ("Q", "v3", ("r2dreamer", "dreamerv3_jax")),
    "P-2023": ("P", "v3-2023", ("dreamerv3_torch",)),
    "R-2023": ("R", "v3-2023", ("dreamerv3_torch", "world_model_assemble")),
    "V1": ("V1", "v1", ("adityabingi", "sheeprl")),
    "V2": ("V2", "v2", ("sheeprl",)),
    "V2A": ("V2A", "v2", ("esteveste", "sheeprl")),
    "12m": ("Q", "v3", ("r2dreamer",)),
    "200m": ("XL", "v3", ("r2dreamer",)),
}
GPU = ("12m", "200m")  # the rows for a GPU
PRECISIONS = ("bf16", "fp32")
#: Device -> half precision and compile flag of the peers there.
PEERS = {"cpu": ("bf16", "off"), "cuda": ("fp16", "on")}
HALF = ("r2dreamer", "dreamerv3_jax")  # the peers that have a half precision


def main():
    parser = make_parser(__doc__, json=False)
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all rows for the device")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=CHECKOUT,PYTHON")
    parser.add_argument("--updates", type=positive_int, default=10)
    parser.add_argument("--rounds", type=positive_int, default=1, help="repetitions of each contestant in a row")
    parser.add_argument("--patience", type=float, default=50.0, help="seconds: ten updates of up to 5")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, help="of our agents; default: those of the hardware"
    )
    parser.add_argument("--out", default="updates.json")
    options = parser.parse_args()
    peers = dict(parse_peer(parser, word) for word in options.peer)
    if not Path(options.out).absolute().parent.is_dir():
        parser.error(f"--out {options.out}: the folder does not exist. Create it, or choose another file.")
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {device}: torch sees no such GPU.")
    torch.set_num_threads(options.threads)  # for the description of the machine
    options.precisions = options.precisions or PRECISIONS[not has_fast_bfloat16(device) :]
    options.rows = options.rows or [row for row in ROWS if (row in GPU) == (device.type == "cuda")]
    about = {"where": describe_device(device), "date": time.strftime("%Y-%m-%d")}
    figures = []
    for figure in (figure for row in options.rows for figure in measure(row, peers, options)):
        figures.append(figure)
        Path(options.out).write_text(json.dumps({"machine": about, "figures": figures}, indent=1) + "\n")
    print(f"\n{about['where']}, {about['date']}\n\n{table(figures)}")


def parse_peer(parser, word):
    """NAME=CHECKOUT,PYTHON -> name, (checkout, Python)."""
    name, _, rest = word.partition("=")
    known = sorted({peer for _, _, peers in ROWS.values() for peer in peers})
    if name not in known or rest.count(",") != 1:
        parser.error(f"--peer {word}: NAME=CHECKOUT,PYTHON with one of {', '.join(known)}.")
    return name, rest.split(",")


def measure(row, peers, options):
    """Return the figures of all contestants of a row, which alternate."""
    turns = list(contestants(row, peers, options))
    rounds = [[run(row, *turn) for turn in turns] for _ in range(options.rounds)]
    return [join_rounds(figures) for figures in zip(*rounds, strict=True)]


def contestants(row, peers, options):
    """Yield the arguments of `run` for each contestant of a row."""
    workload, algo, names = ROWS[row]
    for precision in options.precisions:
        yield [sys.executable], "ours", workload, algo, options, precision, "auto"
    device = torch.device(options.device)
    half, compiled = PEERS[device.type]
    for name in names:
        if name in peers:
            checkout, python = peers[name]
            for precision in ([half] if name in HALF and has_fast_bfloat16(device) else []) + ["fp32"]:
                yield [python], name, workload, algo, options, precision, compiled, checkout


def join_rounds(figures):
    """Join the figures of one contestant in several rounds: all seconds, and the best rate of matrix products."""
    if any(figure.get("failed") for figure in figures):
        return next(figure for figure in figures if figure.get("failed"))
    best = {key: max(f[key] for f in figures) for key in ("matmul_flops_per_second", "peak_gib") if key in figures[0]}
    return figures[0] | best | {"seconds": [second for figure in figures for second in figure["seconds"]]}


def run(row, python, who, workload, algo, options, precision, compile_, checkout=""):
    """Run one contestant in a separate process. Return its figures, with the name of the row."""
    words = {"who": who, "workload": workload, "algo": algo, "precision": precision, "compile": compile_}
    words |= {name: getattr(options, name) for name in ("threads", "updates", "patience", "device")}
    words |= {"checkout": checkout} if checkout else {}
    command = [*python, str(CONTESTANT), *(f"--{name}={value}" for name, value in words.items())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONTESTANT.parents[1], check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{row} {who} failed: {reason}", file=sys.stderr)
        return {"row": row, **words, "checkout": "", "failed": True}
    figure = {"row": row, **json.loads(done.stdout), "checkout": ""}
    print(f"{row} {who} {precision}: {statistics.median(figure['seconds']):.3f} s", file=sys.stderr, flush=True)
    return figure


def table(figures):
    """Return a Markdown table: median time of an update, our speedup, and the reached matrix product rate."""
    heads = ["row", "contestant", "precision", "ms / update", "ours bf16 is faster", "ours fp32", "of the matmul rate"]
    lines = [heads, ["---"] * len(heads)]
    ours = {(f["row"], f["precision"]): seconds(f) for f in figures if f["who"] == "ours" and "seconds" in f}
    for figure in figures:
        if figure.get("failed"):
            continue
        ratios = (
            [""] * 2 if figure["who"] == "ours" else [ratio(figure, ours.get((figure["row"], p))) for p in PRECISIONS]
        )
        who = [figure["row"], f"{figure['who']} ({figure['algo']})", figure["precision"]]
        lines.append([*who, f"{1e3 * seconds(figure):.1f}", *ratios, reached(figure)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds(figure):
    """Return the median seconds of an update."""
    return statistics.median(figure["seconds"])


def ratio(figure, ours):
    """Return how many of our updates fit into one update of a peer, as text."""
    return f"{seconds(figure) / ours:.2f}x" if ours else ""


def reached(figure):
    """Return the FLOP/s of our update as a share of the machine's matrix product rate, as text."""
    if "flops" not in figure:
        return ""
    return f"{figure['flops'] / seconds(figure) / figure['matmul_flops_per_second']:.0%}"


if __name__ == "__main__":
    main()
