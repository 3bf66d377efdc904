"""Training workloads of the benchmarks: observations, actions, batch and nominal sizes.

Plain data without imports, so that contestants with other packages can read it. An update of a workload is one complete
training step on a fixed random batch: world model, imagination over `horizon` steps, actor, critic, optimizer steps and
target network. It does not include replay, environment and logging.
"""

V3_TINY = {"deter": 16, "hidden": 8, "stoch": 4, "classes": 4, "units": 8, "depth": 4}
V3_1M = {"deter": 512, "hidden": 64, "stoch": 32, "classes": 4, "units": 64, "depth": 4}
V3_12M = {"deter": 2048, "hidden": 256, "stoch": 32, "classes": 16, "units": 256, "depth": 16}
V3_200M = {"deter": 8192, "hidden": 1024, "stoch": 32, "classes": 64, "units": 1024, "depth": 64}
V1 = {"deter": 200, "hidden": 200, "stoch": 30, "units": 400, "depth": 32}
V2 = {"deter": 600, "hidden": 600, "stoch": 32, "classes": 32, "units": 400, "depth": 48}


def workload(batch, length, sizes, *, vector=0, channels=0, actions=6, discrete=False):
    """Return one workload. vector: width of the vector observation. channels: of the 64x64 image. 0: none."""
    return {
        "batch": batch,
        "length": length,
        "horizon": 15,
        "vector": vector,
        "channels": channels,
        "actions": actions,
        "discrete": discrete,
        "sizes": sizes,
    }


WORKLOADS = {
    "tiny": workload(2, 4, V3_TINY, channels=3),
    "P": workload(16, 64, V3_1M, vector=24),
    "R": workload(16, 64, V3_1M, channels=3, actions=18, discrete=True),
    "Q": workload(16, 64, V3_12M, channels=3),
    "Q4x32": workload(4, 32, V3_12M, channels=3),
    "XL": workload(16, 64, V3_200M, channels=3),
    "V1": workload(50, 50, V1, channels=3),
    "V1_4x32": workload(4, 32, V1, channels=3),
    "V2": workload(16, 50, V2, channels=3),
    "V2_4x32": workload(4, 32, V2, channels=3),
    "V2A": workload(16, 50, V2, channels=1, actions=18, discrete=True),
    "V2A_4x32": workload(4, 32, V2, channels=1, actions=18, discrete=True),
}
