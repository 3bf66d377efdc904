"""Flags of launchers, one run by its number, and what a worker does on its machine. Training is faked."""

import fcntl
import json
import sys
import threading

import pytest

import dreamer
from common.config import notices
from common.errors import UserError
from common.experiments.grid import experiment, worker
from common.experiments.grid.launcher import OPTIONS, Command, launcher_choice
from common.experiments.grid.remote_command import RemoteCommand
from common.experiments.grid.results import print_lost_workers
from common.experiments.grid.runner import run_grid
from common.experiments.grid.worker import CommandResult, Worker
from common.storage.grid_file import JobState, lost_workers, write_grid
from tests.helpers.grid_fakes import FAKE, GRID, job, statuses

COMPARE = ["compare", "--algos", "v1,v3", "--configs", "debug", "--tasks", "dummy_point", "--steps", "1e3"]
COMPARE += ["--seeds", "2", "--logdir", "grid"]
DEFAULTS = {name: option.default for name, option in OPTIONS.items()}


@pytest.fixture(autouse=True)
def fake_training(tmp_path, monkeypatch):
    monkeypatch.setattr("common.experiments.grid.process.ROOT", FAKE)
    monkeypatch.setattr("common.experiments.grid.runner.POLL_SECONDS", 0.02)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)
    monkeypatch.setattr("common.storage.grid_file._refused_changes", lambda *_: [])  # the fake writes another config
    monkeypatch.setattr(experiment, "available_cores", lambda: 2)
    monkeypatch.syspath_prepend(FAKE.parent)
    monkeypatch.chdir(tmp_path)


def choice(**given):
    return launcher_choice(DEFAULTS | {name.replace("_", "-"): value for name, value in given.items()})


# Flags.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"launcher": "kubernetes"}, "--launcher"),
        ({"resources": ["cpu=2"]}, "has no effect with --launcher local.*for --launcher ray or --launcher slurm"),
        ({"launcher": "slurm", "ray_address": "auto"}, "--ray-address has no effect.*--launcher ray"),
        ({"launcher": "ray", "resources": ["tpu=1"]}, "takes cpu and gpu"),
        ({"launcher": "ray", "resources": ["cpu=two"]}, "a whole number is needed, such as cpu=1"),
        ({"launcher": "ray", "resources": ["2"]}, "takes KEY=VALUE"),
        ({"launcher": "ray", "index": 1}, "Omit it, or --launcher ray"),
    ],
)  # fmt: skip
def test_wrong_flags_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        choice(**given)


def test_a_dry_run_numbers_the_runs_and_describes_the_array(capsys):
    words = ["--launcher", "slurm", "--resources", "cpu=2", "gpu=1", "--slurm", "partition=long", "--dry-run"]
    assert dreamer.main([*COMPARE, *words]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "4 runs, 4 at a time, in grid, as a SLURM array, 2 CPUs, 1 GPU for each run, partition=long"
    assert [line.split(":")[0] for line in lines if line.startswith("#")] == [
        "# 0 v1/dummy_point/0", "# 1 v3/dummy_point/0", "# 2 v1/dummy_point/1", "# 3 v3/dummy_point/1",
    ]  # fmt: skip
    assert all("--run.threads 2" in line for line in lines if line.startswith("python"))


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named_before_any_run(name, package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert dreamer.main([*COMPARE, "--launcher", name]) == 2
    assert f"needs another package: pip install {package}" in capsys.readouterr().err


# --index.


def test_each_number_does_one_run_and_the_grid_file_follows(tmp_path, capsys):
    folder = tmp_path / "grid"
    assert dreamer.main([*COMPARE, "--index", "2"]) == 0
    assert "1 of 4 runs are done. When all are, the same command without --index" in capsys.readouterr().out
    assert statuses(folder) == {
        "v1/dummy_point/0": "waiting", "v3/dummy_point/0": "waiting",
        "v1/dummy_point/1": "done", "v3/dummy_point/1": "waiting",
    }  # fmt: skip
    assert dreamer.main([*COMPARE, "--index", "0"]) == 0
    assert list(statuses(folder).values()).count("done") == 2
    assert not (folder / "runs/v3").exists()


def test_a_number_without_a_run_is_refused(capsys):
    assert dreamer.main([*COMPARE, "--index", "4"]) == 2
    assert "--index is 0 to 3 for these runs, got 4. --dry-run lists them." in capsys.readouterr().err


def test_a_folder_with_unrelated_files_is_refused(tmp_path, capsys):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/thesis.tex").write_text("ten years of work")
    assert dreamer.main([*COMPARE, "--index", "0"]) == 2
    assert "unrelated files (thesis.tex)" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "grid").iterdir()] == ["thesis.tex"]


def test_a_failed_run_keeps_its_error_while_others_write_the_grid_file(tmp_path, capsys):
    words = [word if word != "dummy_point" else "broken_envs:Raises,dummy_point" for word in COMPARE]
    assert dreamer.main([*words, "--index", "0"]) == 2
    assert "the motor is on fire." in capsys.readouterr().err
    assert dreamer.main([*words, "--index", "2"]) == 0
    assert statuses(tmp_path / "grid")["v1/broken_envs:Raises/0"] == "failed"


def test_a_run_that_another_process_does_is_waited_for_and_not_done_twice(tmp_path, capsys):
    logdir = tmp_path / "grid/runs/v1/dummy_point/0"
    logdir.mkdir(parents=True)
    lock = (logdir / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    write_grid(tmp_path / "grid", GRID._replace(variants=["v1", "v3"]), [], [])

    def finish():
        (logdir / "run.json").write_text(json.dumps({"sessions": [{}], "frames": 1000, "wall": 1.0}))
        lock.close()

    timer = threading.Timer(0.3, finish)
    timer.start()
    assert dreamer.main([*COMPARE, "--index", "0"]) == 0
    timer.join()
    assert "Another process does this run, v1/dummy_point/0: waiting for its end." in capsys.readouterr().out


# Workers and results on a cluster.


def make_folder(tmp_path, locked=True):
    """A folder of a grid, as its driver leaves it for the workers."""
    folder = tmp_path / "grid"
    folder.mkdir()
    write_grid(folder, GRID, [job("good")], [JobState()])
    if not locked:
        return folder, None
    lock = (folder / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def work(folder, task="good"):
    logdir = folder / job(task).logdir
    words = ["train", *job(task).words, "--logdir", str(logdir)]
    return Worker().run(str(FAKE), words, logdir, folder), logdir


def test_a_worker_runs_the_command_and_names_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    folder, _lock = make_folder(tmp_path)
    result, logdir = work(folder)
    assert result == CommandResult(0)
    assert RemoteCommandOf(logdir, result, remove=False).host == "node7"
    assert work(folder, "bad")[0] == CommandResult(2, "the motor is on fire.")


def test_a_run_that_is_started_again_names_the_machine_that_was_lost(tmp_path, monkeypatch, capsys):
    folder, _lock = make_folder(tmp_path)
    logdir = folder / job("good").logdir
    for host in ("node7", "node8"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        work(folder)
    assert lost_workers(logdir) == ["node7"]
    RemoteCommandOf(logdir, CommandResult(0))  # the next command of the run, which nothing has lost yet
    work(folder)
    assert lost_workers(logdir) == ["node7"]
    print_lost_workers(folder, [{"name": "a/good/0", "logdir": job("good").logdir}])
    assert capsys.readouterr().out == "a/good/0 was started again after its worker on node7 was lost.\n"


def test_a_worker_that_is_stopped_is_not_lost(tmp_path, monkeypatch):
    folder, _lock = make_folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", raise_interrupt)  # of the worker, as Ray and SLURM do
        with pytest.raises(KeyboardInterrupt):
            work(folder)
    work(folder)
    assert lost_workers(folder / job("good").logdir) == []


def raise_interrupt(_):
    raise KeyboardInterrupt


def test_a_worker_that_does_not_see_the_folder_names_it(tmp_path):
    result = work(tmp_path / "elsewhere")[0]
    assert result.code == 2
    assert "give --logdir a folder that all machines share" in result.error


def test_a_worker_warns_if_locks_do_not_reach_its_machine(tmp_path):
    folder, _ = make_folder(tmp_path, locked=False)
    assert "file locks do not work between machines there" in work(folder)[0].warning


def test_a_worker_waits_for_the_run_of_a_lost_worker(tmp_path):
    folder, _lock = make_folder(tmp_path)
    logdir = folder / job("good").logdir
    logdir.mkdir(parents=True)
    held = (logdir / ".lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    found = []
    thread = threading.Thread(target=lambda: found.append(work(folder)[0]))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert not (logdir / "run.json").exists()
    held.close()
    thread.join(20)
    assert found == [CommandResult(0)]


class RemoteCommandOf(RemoteCommand):
    """A command whose cluster returns a given result."""

    def __init__(self, logdir, result, remove=True):
        if remove:
            super().__init__(Command(["train"], logdir))
        self.logdir, self.given, self.result, self.words = logdir, result, None, ["train"]

    def has_ended(self):
        return True

    def fetch(self):
        return self.given

    def await_end(self):
        pass

    def send(self, number):
        pass


class Cluster:
    """A launcher that loses every worker of one task, and warns about locks."""

    shows_host = True

    def start(self, commands):
        lost = CommandResult(1, "the worker was lost", "locks do not work")
        return [RemoteCommandOf(one.logdir, lost) for one in commands]

    def close(self):
        pass


def test_a_lost_run_is_reported_and_its_warning_printed_once(tmp_path, capsys):
    notices.drop_all()
    run_grid(tmp_path / "grid", GRID, [job("good", 0), job("good", 1)], 2, launcher=Cluster())
    assert set(statuses(tmp_path / "grid").values()) == {"failed"}
    assert "a/good/1  failed  0%  0 frames  0 updates  the worker was lost" in capsys.readouterr().out
    notices.print_all()
    assert capsys.readouterr().err == "locks do not work\n"
