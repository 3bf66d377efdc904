"""Runs with actors on Ray. `make extras` installs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dreamer
from common.envs import make_envs
from common.errors import UserError
from common.replay.metadata import stored_keys
from common.training.actors.factory import ActorFactory
from common.training.actors.shares import with_seed
from common.training.factory import record_spec
from common.training.loop import Loop
from common.training.train import train
from tests.helpers.command_line import ROOT
from tests.helpers.run_fakes import lines, newest
from tests.learning.test_learning import POINT, solves

pytest.importorskip("ray")


def flags(logdir, **more):
    tiny = {
        "task": "dummy_counter_10", "steps": 200, "batch_size": 2, "batch_length": 6, "run.threads": 1,
        "run.device": "cpu", "run.compile": "off", "run.prefill": 30, "run.envs": 2, "run.parallel": "none",
        "run.log_every": 20,
        "run.save_every": 80, "run.eval_every": 0, "run.video_every": 0, "schedule.ratio": 1.5,
        "run.actors": "ray", "run.actor_chunk": 4, "run.actor_refresh": 2,
    }  # fmt: skip
    return {**tiny, **more, "logdir": str(logdir)}


def config(logdir, **more):
    return dreamer.resolve("v3", ["debug"], flags(logdir, **more))


def command(logdir, **more):
    words = [word for key, value in flags(logdir, **more).items() for word in (f"--{key}", str(value))]
    return [sys.executable, str(ROOT / "dreamer.py"), "--algo", "v3", "--configs", "debug", *words]


def parts_of(logdir):
    """Return the records of each part of a run's replay, arrays (n, T, ...)."""
    full, state = config(logdir), newest(logdir)
    factory = ActorFactory(full, None)
    envs = make_envs(full["task"], full["env"], 1)
    agent = factory.agent(envs.obs_space, envs.act_space, full)
    spec = record_spec(envs.obs_space, agent, stored_keys(Path(logdir) / "replay", state["replay"]))
    replay = factory.replay(full, spec, 2, Path(logdir) / "replay")
    replay.load(Path(logdir) / "replay", state["replay"])
    return [{key: s.ring.block(key, s.ring.oldest, s.ring.count) for key in spec} for s in replay.shards]


def replayed(full, actor, life, actions, is_last):
    """Return the records that local environments give for actions (T, A)."""
    own = with_seed(full, actor, life)
    envs = make_envs(full["task"], full["env"], 1, own["seed"], "none")
    rows = [envs.reset()]
    for action in actions[:-1]:
        rows.append(envs.step(np.array([int(action.argmax())])))
    return {key: np.stack([row[key][0] for row in rows]) for key in rows[0] if key != "log"}


def test_a_run_on_ray_stores_what_local_environments_give(tmp_path):
    """Trains; the records equal those of a local environment with the same actions; weights and lag are logged."""
    train(config(tmp_path / "run"))
    rows = [row for row in lines(tmp_path / "run") if "actors/replaced" in row]
    assert rows[-1]["updates"] > 10
    assert rows[-1]["actors/replaced"] == 0
    most = 2 + 2 * 2 * 2 * 4 * 0.25  # refresh, and updates of the steps of all open requests, twice
    assert 0 < max(row.get("actors/lag_max", 0) for row in rows) <= most
    total = 0
    for actor, part in enumerate(parts_of(tmp_path / "run")):
        found = {key: value[0] for key, value in part.items()}
        number = len(found["reward"]) - 1  # the last record closes the open episode
        wanted = replayed(config(tmp_path / "run"), actor, 0, found["action"][:number], found["is_last"])
        for key in wanted:
            assert np.array_equal(found[key][:number], wanted[key]), (actor, key)
        total += int((~found["is_last"][:number]).sum())
    assert total == newest(tmp_path / "run")["counters"]["agent_steps"]


def test_a_killed_actor_is_replaced_and_its_episode_is_truncated(tmp_path, monkeypatch, capsys):
    update, killed = Loop._update, []

    def killing(self):
        if self.updates == 5 and not killed:
            pool = self.collector.actors.pool
            killed.append(pool.ray.get(pool.handles[1].process_id.remote()))
            os.kill(killed[0], signal.SIGKILL)
        if self.collector.actors.replaced and self.collector.actors.healthy_steps[1] > 60:
            self.config["steps"] = self.frames  # the new actor has acted: end
        update(self)

    monkeypatch.setattr(Loop, "_update", killing)
    train(config(tmp_path / "run", **{"steps": 100_000, "task": "dummy_counter_50"}))
    rows = [row for row in lines(tmp_path / "run") if "actors/replaced" in row]
    assert rows[-1]["actors/replaced"] == 1
    assert rows[-1]["train/broken"] == 1
    assert "Actor 1 was lost and is started again: The actor is dead" in capsys.readouterr().err
    part = {key: value[0] for key, value in parts_of(tmp_path / "run")[1].items()}
    assert np.array_equal(part["is_first"][1:], part["is_last"][:-1])
    lengths = np.diff(np.flatnonzero(part["is_first"]))
    assert sum(lengths != 51) == 1, lengths  # before the new actor's first episode
    end = np.flatnonzero(part["is_last"])[np.flatnonzero(lengths != 51)[0]]
    assert not part["is_terminal"][end]
    assert part["reward"][end] == 0
    assert np.array_equal(part["vector"][end], part["vector"][end - 1])


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_resumes(tmp_path, number):
    words = command(tmp_path / "run", steps=100_000)
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 240
    while not (tmp_path / "run/checkpoints").is_dir() or not list((tmp_path / "run/checkpoints").glob("*.pt")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(number)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 128 + number, printed
    assert "To resume, rerun the same command." in printed
    frames = json.loads((tmp_path / "run/run.json").read_text())["frames"]
    done = subprocess.run(command(tmp_path / "run", steps=frames + 100), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"Resumed at frame {frames:,}" in done.stderr
    assert newest(tmp_path / "run")["frames"] >= frames + 100


def test_an_address_where_nothing_listens_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"Ray cannot be reached at 127\.0\.0\.1:9: .*--run\.ray_address"):
        train(config(tmp_path / "run", **{"run.ray_address": "127.0.0.1:9"}))
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_an_actor_that_always_dies_ends_the_run_with_one_message(tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom tests.helpers.faulty_envs import Steady\n\n"
        "class Deadly(Steady):\n    def __init__(self):\n        os._exit(3)\n"
    )
    with pytest.raises(UserError, match=r"Actor \d was lost 3 times in a row\. The last time: The actor"):
        train(config(tmp_path / "run", **{"task": f"{tmp_path}/deadly.py:Deadly", "env.max_failures": 2}))
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.learning
def test_it_learns_from_the_records_of_two_actors(tmp_path):
    assert solves("v3", POINT, tmp_path, **{"run.actors": "ray", "run.actor_count": 2, "run.envs": 2})
