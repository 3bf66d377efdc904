"""Let code for TensorFlow 2.2 to 2.6 and the old `gym` run with TensorFlow 2.15 and gymnasium.

Each function replaces one name that has moved or disappeared. No random seed is set: with `tf.random.set_seed`, all
copies of a nested `tf.function` draw the same noise, so that every step of a sequence has the same sample.
"""

import os
import sys
import types

import numpy as np

ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def install() -> None:
    """Replace all names. Call it before the first import of an official module."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""} | dict.fromkeys(ONE_THREAD, "1")
    old_gym()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    np.bool = bool  # an alias until NumPy 1.23
    tf.optimizers.Adam = tf.keras.optimizers.legacy.Adam  # the class of that name has another interface since 2.11
    tf.distribute.Strategy.experimental_run_v2 = lambda strategy, *args, **kwargs: strategy.run(*args, **kwargs)
    old_mixed_precision(tf)


def old_gym() -> None:
    """Register gymnasium under the name `gym`. Environments of the old interface do not use more of it than spaces."""
    import gymnasium

    sys.modules["gym"] = gymnasium
    for name in ("spaces", "wrappers", "envs"):
        sys.modules[f"gym.{name}"] = getattr(gymnasium, name)


def old_mixed_precision(tf) -> None:
    """Make the module `tensorflow.keras.mixed_precision.experimental`, which is gone since 2.9."""
    import tensorflow.keras.mixed_precision as now

    old = types.ModuleType("tensorflow.keras.mixed_precision.experimental")
    old.global_policy, old.Policy = now.global_policy, now.Policy
    old.set_policy = now.set_global_policy
    old.LossScaleOptimizer = lambda optimizer, scale: now.LossScaleOptimizer(optimizer, dynamic=scale == "dynamic")
    now.experimental = tf.keras.mixed_precision.experimental = old
    sys.modules[old.__name__] = old


def old_yaml() -> None:
    """Give ruamel.yaml its former functions `safe_load` and `safe_dump`."""
    import ruamel.yaml

    ruamel.yaml.safe_load = lambda text: ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    ruamel.yaml.safe_dump = lambda data, stream: ruamel.yaml.YAML(typ="safe", pure=True).dump(data, stream)


def count_numbers(variables) -> int:
    """Return how many numbers TensorFlow variables hold."""
    return int(sum(np.prod(variable.shape) for variable in variables))
