"""Print the tables of docs/scaling.md: V3 on 1 to 64 devices, computed; and the share of a batch, measured on a CPU.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --launch 0
    python benchmarks/scaling.py --measure --json benchmarks/scaling.json

`--measure` times updates on 16, 8, 4, 2 and 1 of the 16 sequences of a batch, in turns, with the machine's rates before
and after. Without it, the tables are computed from that file. Nothing in the tables for GPUs was measured on one.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dreamer
from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from common.nn import machine, rng
from common.profiling import measure
from common.profiling.scaling import INTERCONNECTS, DeviceSpeed, Scaling, count_exchanges, scaled_update
from common.profiling.speed import FixedBatchUpdate
from common.training.factory import Factory, record_spec

MEASURED = Path(__file__).with_name("scaling.json")
SIZES = ("size12m", "size25m", "size50m", "size100m", "size200m", "size400m")
MEASURED_SIZES = ("size1m", "size12m")
DEVICES = (1, 2, 4, 8, 16, 32, 64)
BATCH = 16  # sequences, of 64 steps
ENVS = SimpleNamespace(
    obs_space=spaces.Dict({"image": spaces.Box(0, 255, (64, 64, 3), np.uint8)}),
    act_space=spaces.Box(-1, 1, (6,), np.float32),
)
H100_FLOPS, H100_BYTES = 989.4e12, 3.35e12  # per second: bfloat16 without sparsity, and memory; of the data sheet
COPIES = ("view", "reshape", "expand", "transpose", "permute", "slice", "select", "squeeze", "detach", "as_strided",
          "split", "unbind", "alias", "aten::t")  # fmt: skip


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--measure", action="store_true", help="time the shares on this machine")
    parser.add_argument("--rounds", type=positive_int, default=3, help="timed updates of each share")
    parser.add_argument("--threads", type=positive_int, default=1)
    parser.add_argument("--launch", type=float, default=5.0, help="microseconds in which a GPU starts an operation")
    return parser.parse_args(argv)


def config_of(size, batch=BATCH):
    """Return the config of V3 on images."""
    flags = {"task": "dmc_walker_walk", "batch_size": str(batch), "run.device": "cpu", "run.compile": "off"}
    return dreamer.resolve("v3", ["dmc_vision", size], flags)


class OperationCount(TorchDispatchMode):
    """Counts the operations that compute something: not views."""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.total += not any(name in operation._schema.name for name in COPIES)
        return operation(*args, **(kwargs or {}))


def count_operations(update):
    """Return the operations of one update."""
    with OperationCount() as count:
        update()
    return count.total


def measured_rows(size, rounds):
    """Yield the figures of one size, a row for each share of the batch."""
    config, factory = config_of(size), Factory()
    rng.seed_all(0)
    device, agent = torch.device("cpu"), factory.agent(ENVS.obs_space, ENVS.act_space, config)
    kind = torch.bfloat16 if agent.half else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        replay = factory.replay(config, record_spec(ENVS.obs_space, agent), 1, Path(folder))
        measure.fill_replay(replay, agent, ENVS.obs_space, BATCH, config["batch_length"])
        shares = [BATCH // count for count in DEVICES if count <= BATCH]
        updates = {rows: FixedBatchUpdate(agent, replay.sample(rows, config["batch_length"])) for rows in shares}
        rates = [(machine.matmul_rate(kind, device), machine.copy_rate(device))]
        for update in updates.values():
            update()  # the first one also prepares what the following ones use
        operations = {rows: count_operations(update) for rows, update in updates.items()}
        times = {rows: [] for rows in shares}
        for _ in range(rounds):
            for rows, update in updates.items():
                times[rows] += measure.time_calls(update, device, 1)
        rates.append((machine.matmul_rate(kind, device), machine.copy_rate(device)))
    flops, copied = (statistics.mean(values) for values in zip(*rates, strict=True))
    for rows in shares:
        facts = {"size": size, "rows": rows, "precision": str(kind).removeprefix("torch."), "seconds": times[rows]}
        rate = {"matmul_flops_per_second": flops, "copy_bytes_per_second": copied}
        yield facts | rate | {"operations": operations[rows], "load": os.getloadavg()[0]}


def measure_shares(options):
    """Time the shares and write the file."""
    torch.set_num_threads(options.threads)
    found = []
    for size in MEASURED_SIZES:
        for row in measured_rows(size, options.rounds):
            found.append(row)
            print(row, file=sys.stderr)
    write_results(argparse.Namespace(json=options.json, rounds=options.rounds, threads=options.threads), found)


def speed_of(rows):
    """Return the speed of the device on which the shares of one size were measured, calibrated with the whole batch."""
    whole = rows[0]
    half = whole["precision"] == "bfloat16"
    scaling = Scaling(config_of(whole["size"]), ENVS, half)
    speed = DeviceSpeed(whole["matmul_flops_per_second"], whole["copy_bytes_per_second"])
    return scaling, scaling.calibrated(speed, statistics.median(whole["seconds"]))


def print_shares(results):
    """Print the measured times of shares of the batch, and those that counted work forecasts."""
    print_head(("size", "sequences", "measured", "forecast", "forecast / measured"))
    for size in MEASURED_SIZES:
        rows = [row for row in results if row["size"] == size]
        scaling, speed = speed_of(rows)
        for row in rows:
            took = statistics.median(row["seconds"])
            expected = speed.update_seconds(scaling.share(BATCH // row["rows"]))
            print_row((size, row["rows"], f"{took:.3g} s", f"{expected:.3g} s", f"{expected / took:.2f}"))


def print_forecast(title, speed, least, batch_of):
    """Print updates per second of all sizes. batch_of: devices -> sequences of the batch."""
    print(f"\n{title}\n")
    print_head(("size", "link", *DEVICES))
    for size in SIZES:
        shares = {n: Scaling(config_of(size, batch_of(n)), ENVS, half=True).share(n) for n in DEVICES
                  if n <= batch_of(n)}  # fmt: skip
        exchanges = count_exchanges(config_of(size, BATCH), shares[1].parameters)
        for name, link in INTERCONNECTS.items():
            found = {n: scaled_update(share, n, speed, link, exchanges) for n, share in shares.items()}
            cells = [cell(found[n], least) if n in found else "" for n in DEVICES]
            print_row((size, name, *cells))


def cell(found, least):
    """Return updates per second, with a star if starting the operations takes longer than their work."""
    star = "*" if found["compute"] < least else ""
    return f"{found['updates_per_second']:.3g}{star}"


def print_tables(options):
    """Print all tables."""
    results = json.loads(MEASURED.read_text())["results"]
    print("Measured on a CPU: an update on a share of the batch\n")
    print_shares(results)
    rows = [row for row in results if row["size"] == MEASURED_SIZES[-1]]
    speed = speed_of(rows)[1]._replace(flops_per_second=H100_FLOPS, bytes_per_second=H100_BYTES)
    least = rows[0]["operations"] * options.launch * 1e-6
    print(f"\nCalibration {speed.calibration:.3g}. An update has {rows[0]['operations']:,} operations, ", end="")
    print(f"which a GPU starts in {least:.3g} s. * Needs less.")
    print_forecast(
        "Computed: updates/s, one batch of 16 sequences for all devices", speed, least, lambda devices: BATCH
    )
    print_forecast("Computed: updates/s, 16 sequences on each device", speed, least, lambda devices: BATCH * devices)


def main(argv=None):
    options = arguments(argv)
    (measure_shares if options.measure else print_tables)(options)


if __name__ == "__main__":
    run_script(main)
