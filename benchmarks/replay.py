"""Rate of drawing batches of image sequences from the replay, over its size, beside the machine's copy rate.

    python benchmarks/replay.py                          # 10^4 to 10^6 records of 64 x 64 x 3, in memory
    python benchmarks/replay.py --disk /path/on/a/disk   # memory-mapped files instead

Records have an image, what every record has, and latents of V3's size. All are written through `Replay.add` before
anything is drawn, so that no page is a shared page of zeros; 10^6 records take 12 or 15 GiB. Where they do not fit into
three quarters of the free memory, the largest replay has 32 x 32 x 3 images, and the table says so. The copy rate is
that of one thread copying 256 MiB that no cache holds; the sampler has one thread too. Prints a table, and JSON with
--json.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.figures import positive, script, write
from common.replay import Replay
from common.replay.capacity import GIB, free_memory, record_bytes
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows

STREAMS, EPISODE = 16, 501  # environments, records of an episode
BATCH, LENGTH = 16, 64
SAMPLERS = {"V1, V2": (Episodes, {"ends": 50}, 0), "V3": (Windows, {"online": True}, 1)}


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000], help="stored records"
    )
    parser.add_argument("--draws", type=positive, default=2000, help="batches drawn from each replay")
    parser.add_argument("--disk", default="", help="folder for memory-mapped replays; empty: in memory")
    parser.add_argument("--json", default="", help="file to write")
    return parser.parse_args(argv)


def spec_of(side, context):
    """The entries of a record: image, the usual ones, and latents where the replay keeps them."""
    flags = {key: ((), np.bool_) for key in ("is_first", "is_last", "is_terminal")}
    spec = {"image": ((side, side, 3), np.uint8), "reward": ((), np.float32), "action": ((6,), np.float32), **flags}
    return spec | ({"deter": ((2048,), np.float16), "stoch": ((32,), np.uint8)} if context else {})


def filled(size, side, name, directory):
    """A replay of `size` records, all of them written, in episodes of EPISODE records; and seconds of an `add`."""
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
        place = step % EPISODE
        flags = {"is_first": place == 0, "is_last": place == EPISODE - 1, "is_terminal": False}
        replay.add(kinds[step % 20] | {key: np.full(STREAMS, value) for key, value in flags.items()})
    return replay, (time.perf_counter() - begin) / (size // STREAMS)


def copy_rate():
    """Bytes copied per second by one thread."""
    source, target = (np.full(2**28, value, np.uint8) for value in (1, 2))
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - begin)
    return source.nbytes / statistics.median(times)


def sampled(replay, draws):
    """Seconds of each draw after some to get warm, and bytes of a batch."""
    times = []
    for _ in range(draws + 5):
        begin = time.perf_counter()
        batch = replay.sample(BATCH, LENGTH)
        times.append(time.perf_counter() - begin)
    return times[5:], sum(value.nbytes for value in batch.values())


def written_back(replay, draws=20):
    """Median seconds of storing the fresh latents of a batch."""
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
    """64, or 32 where so many records do not fit into three quarters of the free memory."""
    each = record_bytes(spec_of(64, 1))
    return 64 if disk or size * each < 0.75 * free_memory() else 32


def measure(size, name, options):
    side = side_that_fits(size, options.disk)
    folder = Path(tempfile.mkdtemp(dir=options.disk)) if options.disk else None
    try:
        replay, add = filled(size, side, name, folder)
        times, size_of_batch = sampled(replay, options.draws)
        median, rate = statistics.median(times), copy_rate()
        return {
            "sampler": name, "records": len(replay), "side": side, "gib": replay.gib, "add_ms": 1000 * add,
            "sample_ms": 1000 * median, "worst_ms": 1000 * max(times), "write_back_ms": 1000 * written_back(replay),
            "sample_rate": size_of_batch / median, "copy_rate": rate, "fraction": size_of_batch / median / rate,
        }  # fmt: skip
    finally:
        if folder:
            shutil.rmtree(folder)


def row(found):
    cells = [
        found["sampler"], f"{found['records']:,}", f"{found['side']} x {found['side']} x 3", f"{found['gib']:.2f}",
        f"{found['add_ms']:.2f}", f"{found['sample_ms']:.2f}", f"{found['worst_ms']:.2f}",
        f"{found['write_back_ms']:.2f}", f"{found['sample_rate'] / 1e9:.1f}", f"{found['copy_rate'] / 1e9:.1f}",
        f"{found['fraction']:.0%}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(argv=None):
    options = arguments(argv)
    heads = ["sampler", "records", "image", "GiB", "add ms", "sample ms", "worst ms", "write back ms", "GB/s"]
    print(f"{BATCH} x {LENGTH} records a batch, {STREAMS} environments\n")
    print(f"| {' | '.join([*heads, 'copy GB/s', 'of copy rate'])} |\n" + "| --- " * 11 + "|")
    results = []
    for name in SAMPLERS:
        for size in options.sizes:
            results.append(measure(size, name, options))
            print(row(results[-1]), flush=True)
    write(options, results)


if __name__ == "__main__":
    script(main)
