"""Grids on Ray and through submitit, with the packages themselves. `make extras` installs them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import dreamer
from common.errors import UserError
from common.experiments.grid.runner import run_grid
from common.storage.grid_file import lost_file, lost_workers
from common.storage.runinfo import frames_trained
from tests.helpers.command_line import ROOT
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


def test_a_lost_machine_costs_no_run(cluster, on_ray, tmp_path):
    """The runs of the machine that is killed resume on another machine."""
    folder, hosts = tmp_path / "grid", 4
    extra = cluster.add_node(num_cpus=2, object_store_memory=10**8)
    jobs = [job("steady", seed) for seed in range(hosts)]
    begun = lambda: sum((folder / f"runs/a/steady/{seed}/run.json").exists() for seed in range(hosts)) == hosts
    once(begun, lambda: cluster.remove_node(extra, allow_graceful=False))
    run_grid(folder, GRID, jobs, hosts, launcher=on_ray)
    assert set(statuses(folder).values()) == {"done"}
    ends = [(folder / f"runs/a/steady/{seed}/times.jsonl").read_text().splitlines() for seed in range(hosts)]
    assert [len(lines) for lines in ends] == [1] * hosts  # none was done twice
    spans = [end - begin for begin, end in (json.loads(lines[0]) for lines in ends)]
    assert min(spans) < 5 < 20 < max(spans)  # some had saved before and were resumed, some went through
    lost = [bool(lost_workers(folder / one.logdir)) for one in jobs]
    assert lost == [end - begin < 5 for begin, end in (json.loads(lines[0]) for lines in ends)]


REAL_GRID = [
    "compare",
    "--algos",
    "v1,v2,v3",
    "--configs",
    "debug",
    "--tasks",
    "dummy_point,dummy_chain",
    "--seeds",
    "2",
]
REAL_GRID += ["--steps", "2000", "--run.device", "cpu"]


def start_real_grid(folder, *words):
    """Start a grid of 12 runs that train, in a process."""
    command = [sys.executable, str(ROOT / "dreamer.py"), *REAL_GRID, "--logdir", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder.parent)


def end_of(grid):
    """Wait for a grid and return what it printed."""
    printed = grid.communicate(timeout=600)[0]
    assert grid.returncode == 0, printed
    return printed


def processes_below(pid):
    """A process and all that it started, also in other sessions."""
    children = [int(c) for path in Path(f"/proc/{pid}/task").glob("*/children") for c in path.read_text().split()]
    return [pid, *(below for child in children for below in processes_below(child))]


def runs_of(pids):
    """Run directories of the trainings among processes."""
    words = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in pids]
    return {Path(line[line.index("--logdir") + 1]) for line in words if "train" in line and "--logdir" in line}


def kill_at_once(pids):
    """End processes as a machine without power does: none has time to see the end of another."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def frames_of(logdir):
    return [json.loads(line)["frames"] for line in (logdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_a_machine_without_power_changes_no_score(cluster, tmp_path):
    """12 real runs on two nodes with own addresses: all finish, and none trains twice, although one node is killed."""
    extra = cluster.add_node(num_cpus=2, object_store_memory=10**8, node_ip_address="127.0.0.2")
    raylet = extra.all_processes["raylet"][0].process.pid
    folder = tmp_path / "ray"
    grid = start_real_grid(folder, "--launcher", "ray", "--ray-address", cluster.address)

    def is_in_the_middle():
        """Whether two runs are done, and the second node has a run with a checkpoint from which it will resume."""
        assert grid.poll() is None, grid.communicate()
        if not (folder / "grid.json").exists() or list(statuses(folder).values()).count("done") < 2:
            return False
        return any(0 < frames_trained(run) < 1600 for run in runs_of(processes_below(raylet)))

    wait_for(is_in_the_middle)
    pids = processes_below(raylet)
    lost, finished = runs_of(pids), [run for run, status in statuses(folder).items() if status == "done"]
    kill_at_once(pids)
    cluster.remove_node(extra, allow_graceful=False)
    printed = end_of(grid)
    assert 2 <= len(finished) < 11
    assert len(statuses(folder)) == 12
    assert set(statuses(folder).values()) == {"done"}
    names = {row["name"]: folder / row["logdir"] for row in rows(folder).values()}
    assert {logdir for name, logdir in names.items() if f"{name} was started again" in printed} == lost
    assert (folder / "report.md").read_text().count("was started again after a worker was lost") == len(lost)
    sessions = {run: json.loads((run / "run.json").read_text())["sessions"] for run in names.values()}
    assert {run for run, found in sessions.items() if len(found) > 1} <= lost
    assert max(found[-1]["frames"] for found in sessions.values()) > 0  # one has resumed from its checkpoint

    end_of(start_real_grid(tmp_path / "local"))
    for logdir in names.values():
        same = tmp_path / "local" / logdir.relative_to(folder)
        assert (logdir / "scores.jsonl").read_bytes() == (same / "scores.jsonl").read_bytes()
        assert frames_of(logdir) == frames_of(same) == sorted(frames_of(same))
        assert not lost_file(same).exists()


def test_a_cluster_that_is_not_there_is_reported(tmp_path):
    pytest.importorskip("ray")
    from common.experiments.grid.ray_launcher import RayLauncher

    with pytest.raises(UserError, match="Ray cannot be reached at 127"):
        RayLauncher(tmp_path, RESOURCES, "127.0.0.1:1")


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


def preempt(controller):
    """Send a job its signal as SLURM does: to the process below the controller of submitit's local executor."""
    children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGUSR2)


@pytest.mark.parametrize("through_submitit", ["local"], indirect=True)
def test_a_preempted_job_saves_and_resumes(through_submitit, tmp_path, monkeypatch):
    folder, commands, start = tmp_path / "grid", [], through_submitit.start

    def remember(given):
        started = start(given)
        commands.extend(started)
        return started

    monkeypatch.setattr(through_submitit, "start", remember)
    once((folder / "runs/a/slow/0/run.json").exists, lambda: preempt(int(commands[0].job.job_id)))
    run_grid(folder, GRID, [job("slow")], 1, launcher=through_submitit)
    assert statuses(folder) == {"a/slow/0": "done"}
    assert len(commands) == 1  # submitit itself has queued it again
    assert not lost_file(folder / job("slow").logdir).exists()  # it has saved


def test_slurm_needs_its_programs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    words = ["compare", "--algo", "v1", "--configs", "debug", "--tasks", "dummy_point", "--steps", "1e3"]
    assert dreamer.main([*words, "--launcher", "slurm"]) == 2
    assert "usually on a login node. For another scheduler: --index N" in capsys.readouterr().err
