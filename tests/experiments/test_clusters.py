"""Grids on Ray and through submitit, with the packages themselves. `make extras` installs them."""

import json
import os
import signal
import threading
import time

import pytest

import dreamer
from common.experiments.grid.runner import run_grid
from tests.helpers.grid_fakes import FAKE, GRID, job, rows, statuses

RESOURCES = {"cpu": 1, "gpu": 0}


@pytest.fixture(autouse=True)
def fake_training(monkeypatch):
    monkeypatch.setattr("common.experiments.grid.process.ROOT", FAKE)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes on this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 10**8})
    yield made
    made.shutdown()


@pytest.fixture
def on_ray(cluster, tmp_path):
    from common.experiments.grid.ray_launcher import RayLauncher

    launcher = RayLauncher(tmp_path / "grid", RESOURCES, cluster.address)
    yield launcher
    launcher.close()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def once(condition, action):
    """Call `action` in a thread as soon as `condition` holds."""
    thread = threading.Thread(target=lambda: (wait_for(condition), action()), daemon=True)
    thread.start()


def test_ray_runs_a_grid_with_its_failures(on_ray, tmp_path, capsys):
    run_grid(tmp_path / "grid", GRID, [job("good", 0), job("bad", 1), job("good", 2)], 3, 5, launcher=on_ray)
    found = rows(tmp_path / "grid")
    assert [row["status"] for row in found.values()] == ["done", "failed", "done"]
    assert found["a/bad/1"]["error"] == "the motor is on fire."
    assert json.loads((tmp_path / "grid/runs/a/good/0/eval.json").read_text())["n"] == 5
    printed = capsys.readouterr().out
    assert f"on {os.uname().nodename}" in printed
    assert "a/good/0  queued" in printed


def test_a_signal_saves_runs_on_ray_and_the_grid_continues(cluster, on_ray, tmp_path):
    from common.experiments.grid.ray_launcher import RayLauncher

    folder = tmp_path / "grid"
    once((folder / "runs/a/slow/0/run.json").exists, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(SystemExit):
        run_grid(folder, GRID, [job("slow")], 1, launcher=on_ray)
    assert json.loads((folder / "runs/a/slow/0/run.json").read_text())["frames"] == 10
    assert statuses(folder) == {"a/slow/0": "waiting"}
    on_ray.close()
    run_grid(folder, GRID, [job("slow")], 1, launcher=RayLauncher(folder, RESOURCES, cluster.address))
    assert statuses(folder) == {"a/slow/0": "done"}


@pytest.fixture(params=["debug", "local"])
def through_submitit(request, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from common.experiments.grid import slurm_launcher

    monkeypatch.setattr(slurm_launcher, "CLUSTER", request.param)
    return slurm_launcher.SlurmLauncher(tmp_path / "grid", RESOURCES, {}, 2)


def test_submitit_runs_a_grid_with_its_failures(through_submitit, tmp_path):
    run_grid(tmp_path / "grid", GRID, [job("good", 0), job("bad", 1)], 2, 5, launcher=through_submitit)
    found = rows(tmp_path / "grid")
    assert [row["status"] for row in found.values()] == ["done", "failed"]
    assert found["a/bad/1"]["error"] == "the motor is on fire."
    assert (tmp_path / "grid/runs/a/good/0/eval.json").exists()


def test_slurm_needs_its_programs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    words = ["compare", "--algo", "v1", "--configs", "debug", "--tasks", "dummy_point", "--steps", "1e3"]
    assert dreamer.main([*words, "--launcher", "slurm"]) == 2
    assert "usually on a login node. For another scheduler: --index N" in capsys.readouterr().err
