"""Rate of sampling image sequences from replays of several sizes, compared with the copy rate of the machine.

    python benchmarks/replay.py                          # 10^4 to 10^6 records of 64 x 64 x 3, in memory
    python benchmarks/replay.py --disk /path/on/a/disk   # memory-mapped files instead

Records have an image, the usual entries, and latents of V3's size. `Replay.add` writes all of them before sampling
starts, so that no page is a shared page of zeros. 10^6 records take 12 or 15 GiB. If they need over three quarters of
the free memory, the largest replay has 32 x 32 x 3 images, as the table shows. The copy rate is that of one thread
that copies 256 MiB, more than any cache. The sampler also has one thread. Prints a table, and writes JSON with --json.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.figures import make_parser, positive_int, print_head, print_row, run_script, write_results
from common.replay import Replay
from common.replay.capacity import GIB, free_memory, record_bytes
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows

STREAMS, EPISODE = 16, 501  # environments, records of an episode
BATCH, LENGTH = 16, 64
SAMPLERS = {"V1, V2": (Episodes, {"ends": 50}, 0), "V3": (Windows, {"online": True}, 1)}


def arguments(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=positive_int, nargs="+", default=[10**4, 10**5, 10**6], help="stored records")
    parser.add_argument("--draws", type=positive_int, default=2000, help="sampled batches per replay")
    parser.add_argument("--disk", default="", help="folder for memory-mapped replays; empty: in memory")
    return parser.parse_args(argv)


def spec_of(side, context):
    """Return the spec of a record: image, the usual entries, and latents if the replay keeps them."""
    flags = {key: ((), np.bool_) for key in ("is_first", "is_last", "is_terminal")}
    spec = {"image": ((side, side, 3), np.uint8), "reward": ((), np.float32), "action": ((6,), np.float32), **flags}
    return spec | ({"deter": ((2048,), np.float16), "stoch": ((32,), np.uint8)} if context else {})


def fill_replay(size, side, name, directory):
    """Return a full replay of `size` records in episodes of EPISODE records, and the seconds of an `add`."""
    make, options, context = SAMPLERS[name]
    spec = spec_of(side, context)
    limits = {"capacity": size, "max_gib": 1.01 * size * record_bytes(spec) / GIB}
    replay = Replay(spec, STREAMS, sampler=make(**options), **limits, directory=directory, context=context)
    rng = np.random.default_rng(0)
    kinds = [
        {key: rng.integers(0, 255, (STREAMS, *shape)).astype(dtype) for key, (shape, dtype) in spec.items()}
        for _ in range(20)
    ]
    begin = time.perf_counter()
    for step in range(size // STREAMS):
        at = step % EPISODE
        flags = {"is_first": at == 0, "is_last": at == EPISODE - 1, "is_terminal": False}
        replay.add(kinds[step % 20] | {key: np.full(STREAMS, value) for key, value in flags.items()})
    return replay, (time.perf_counter() - begin) / (size // STREAMS)


def copy_rate():
    """Return the bytes per second that one thread copies."""
    source, target = (np.full(2**28, value, np.uint8) for value in (1, 2))
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - begin)
    return source.nbytes / statistics.median(times)


def time_samples(replay, draws):
    """Return the seconds of each sample after a warm-up, and the bytes of a batch."""
    times = []
    for _ in range(draws + 5):
        begin = time.perf_counter()
        batch = replay.sample(BATCH, LENGTH)
        times.append(time.perf_counter() - begin)
    return times[5:], sum(value.nbytes for value in batch.values())


def time_write_back(replay, draws=20):
    """Return the median seconds of storing the new latents of a batch."""
    if not replay.context:
        return 0.0
    batch, times = replay.sample(BATCH, LENGTH), []
    latents = {key: batch[key].copy() for key in ("deter", "stoch")}
    for _ in range(draws):
        index = replay.sample(BATCH, LENGTH)["index"]
        begin = time.perf_counter()
        replay.write_back(index, latents)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def side_that_fits(size, disk):
    """Return 64, or 32 if the records do not fit into three quarters of the free memory."""
    each = record_bytes(spec_of(64, 1))
    return 64 if disk or size * each < 0.75 * free_memory() else 32


def measure(size, name, options):
    side = side_that_fits(size, options.disk)
    folder = Path(tempfile.mkdtemp(dir=options.disk)) if options.disk else None
    try:
        replay, add = fill_replay(size, side, name, folder)
        times, size_of_batch = time_samples(replay, options.draws)
        median, rate = statistics.median(times), copy_rate()
        return {
            "sampler": name, "records": len(replay), "side": side, "gib": replay.gib, "add_ms": 1000 * add,
            "sample_ms": 1000 * median, "worst_ms": 1000 * max(times), "write_back_ms": 1000 * time_write_back(replay),
            "sample_rate": size_of_batch / median, "copy_rate": rate, "fraction": size_of_batch / median / rate,
        }  # fmt: skip
    finally:
        if folder:
            shutil.rmtree(folder)


def table_cells(found):
    return [
        found["sampler"], f"{found['records']:,}", f"{found['side']} x {found['side']} x 3", f"{found['gib']:.2f}",
        f"{found['add_ms']:.2f}", f"{found['sample_ms']:.2f}", f"{found['worst_ms']:.2f}",
        f"{found['write_back_ms']:.2f}", f"{found['sample_rate'] / 1e9:.1f}", f"{found['copy_rate'] / 1e9:.1f}",
        f"{found['fraction']:.0%}",
    ]  # fmt: skip


def main(argv=None):
    options = arguments(argv)
    heads = ["sampler", "records", "image", "GiB", "add ms", "sample ms", "worst ms", "write back ms", "GB/s"]
    print(f"{BATCH} x {LENGTH} records per batch, {STREAMS} environments\n")
    print_head([*heads, "copy GB/s", "of copy rate"])
    results = []
    for name in SAMPLERS:
        for size in options.sizes:
            results.append(measure(size, name, options))
            print_row(table_cells(results[-1]))
    write_results(options, results)


if __name__ == "__main__":
    run_script(main)
