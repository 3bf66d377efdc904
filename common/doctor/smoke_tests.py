"""Smoke tests: steps of environments, files in the run directory, an update of each version."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.config.request import Request
from common.doctor.check import DoctorCheck, run_check
from common.envs import make_env
from common.errors import UserError
from common.profiling import measure
from common.profiling.speed import FixedBatchUpdate, build_run
from common.replay.capacity import GIB, free_disk
from common.storage.logdir import lock_logdir
from common.training.factory import Factory

STATES, GAME, FILMED = "dmc_cartpole_balance", "atari_pong", "gym_CartPole-v1"
UP, DOWN = 2, 3  # actions of the game with opposite effects
STEPS = 10
MIN_FREE_GIB = 1.0
TEST_FILE_BYTES = 2**24
REINSTALL = "make install, or: pip install -r requirements.txt in a fresh environment"


def smoke_tests(request: Request, logdir: Path) -> Iterator[DoctorCheck]:
    """Yield one check per test."""
    yield run_check("states", step_dmc, REINSTALL)
    yield run_check("atari", play_atari, "pip install 'ale-py>=0.11'", needed=False)
    yield run_check("films", draw_cartpole, "pip install 'gymnasium[classic-control]'", needed=False)
    yield run_check("logdir", partial(check_writable, logdir), "choose another folder with --logdir")
    for algo in request.algos:
        yield run_check(f"update {algo}", partial(run_update, request, algo), REINSTALL)


def step_dmc() -> str:
    """Step dm_control without a renderer."""
    env = make_env(STATES)
    env.reset()
    begin = time.perf_counter()
    observed = [env.step(env.action_space.sample())[0] for _ in range(STEPS)]
    assert all(np.isfinite(value).all() for value in observed[-1].values()), observed[-1]
    return f"{STATES}, {STEPS / (time.perf_counter() - begin):,.0f} steps/s"


def play_atari() -> str:
    """Play a game with repeated and with opposite actions, and check the effects."""
    down, up, again = (_last_image(action) for action in (DOWN, UP, DOWN))
    if not np.array_equal(down, again):
        raise UserError(f"{GAME} is not reproducible with the same seed and actions.")
    if np.array_equal(down, up):
        raise UserError(f"actions have no effect in {GAME}.")
    return f"{GAME}, actions have the right effects"


def _last_image(action: int) -> np.ndarray:
    """Return the image after STEPS repetitions of an action."""
    env = make_env(GAME, {"repeat": 4, "actions": "minimal"}, seed=0)
    env.reset()
    images = [env.step(action)[0]["image"] for _ in range(STEPS)]
    env.close()
    return images[-1]


def draw_cartpole() -> str:
    """Draw a picture of the demo's task without a screen, as `eval --video` does."""
    env = make_env(FILMED, {"film": True})
    env.reset()
    picture: Any = env.render()
    env.close()
    if picture is None or picture.min() == picture.max():
        raise UserError(f"{FILMED} draws no picture.")
    return f"{FILMED}, pictures of {picture.shape[1]} x {picture.shape[0]} pixels"


def check_writable(logdir: Path) -> str:
    """Write and lock a temporary folder in `logdir` or its closest existing parent."""
    parent = next(folder for folder in (logdir.absolute(), *logdir.absolute().parents) if folder.exists())
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=parent) as folder, lock_logdir(Path(folder) / "run"):
        begin = time.perf_counter()
        (Path(folder) / "data").write_bytes(bytes(TEST_FILE_BYTES))
        rate = TEST_FILE_BYTES / (time.perf_counter() - begin)
    free = free_disk(parent) / GIB
    if free < MIN_FREE_GIB:
        raise UserError(f"{logdir} has only {free:.2f} GiB free.")
    return f"{logdir} can be written and locked, {free:,.0f} GiB free, {rate / 2**20:,.0f} MiB/s"


def run_update(request: Request, algo: str) -> str:
    """Update a tiny agent on random states, and check that all metrics are finite."""
    flags = {"task": "dummy_point", "run.compile": "off", "run.threads": str(torch.get_num_threads())}
    config = request.resolve(algo, ["debug"], flags | {"replay.capacity": "1000"})
    with build_run(config, Factory()) as (envs, agent, replay, *_):
        measure.fill_replay(replay, agent, envs.obs_space, config["batch_size"], config["batch_length"])
        one = FixedBatchUpdate(agent, replay.sample(config["batch_size"], config["batch_length"]))
        seconds = measure.time_calls(one, agent.device, 1)[0]
        wrong = [name for name, value in one.metrics.items() if not torch.as_tensor(value).isfinite().all()]
    if wrong:
        raise UserError(f"not finite: {', '.join(wrong)}")
    return f"on {agent.device}, first update in {seconds:.2f} s"
