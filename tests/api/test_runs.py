"""`train`, `evaluate` and `load` with objects and callbacks: the files, errors and signals of the commands."""

import asyncio
import json
import os
import random
import signal
import threading

import pytest
import torch

import dreamer
from common.config import config as configs
from common.config import python_objects
from common.storage.checkpoint_file import read
from tests.api.conftest import SETTINGS, half_kl, line_environment
from tests.helpers.command_line import run_in_this_process


def last_checkpoint(logdir):
    return read(max((logdir / "checkpoints").glob("checkpoint-*.pt")))


def test_a_run_describes_what_its_files_hold(line_run):
    run, _ = line_run
    assert (run.frames, run.finished) == (120, True)
    assert run.updates > 0
    config = configs.read(run.logdir / "config.yaml")
    assert config["task"] == "python-object:Line"
    assert config["kl"] == {"use": "python-object:HalfKL", "scale": 0.25}
    assert run.scores["eval"]["xs"] == [60, 120]
    assert len(run.scores["train"]["ys"]) >= 10


def test_callbacks_get_what_is_logged_with_the_counters(line_run):
    run, recorder = line_run
    lines = [json.loads(line) for line in (run.logdir / "metrics.jsonl").read_text().splitlines()]
    logged = [(metrics, counters) for name, metrics, counters in recorder.events if name == "log"]
    drop_wall = lambda line: {name: value for name, value in line.items() if name != "wall"}
    called = [drop_wall({**counters, **metrics}) for metrics, counters in logged]
    assert called == [drop_wall(line) for line in lines if "fps/env" in line]
    results = [(result["mean"], counters["frames"]) for name, result, counters in recorder.events if name == "eval"]
    assert results == list(zip(run.scores["eval"]["ys"], (60, 120), strict=True))
    saved = [(name, counters["frames"]) for event, name, counters in recorder.events if event == "checkpoint"]
    assert saved == [("checkpoint-00000001.pt", 60), ("checkpoint-00000002.pt", 120)]
    assert {"frames", "agent_steps", "updates", "episodes", "wall"} <= set(recorder.events[0][2])


def test_evaluate_returns_eval_json_and_the_policy_acts(line_run):
    run, _ = line_run
    result = run.evaluate(episodes=2, mode="sample")
    assert result == json.loads((run.logdir / "eval.json").read_text())
    assert (result["n"], result["mode"], result["lengths"]) == (2, "sample", [10, 10])
    assert dreamer.evaluate(run.logdir, episodes=2, mode="sample") == result
    env = line_environment()()
    action, _ = run.load()(env.reset(seed=0)[0])
    assert action in env.action_space


def test_commands_name_the_object_that_only_python_has(line_run, tmp_path, monkeypatch):
    run, _ = line_run
    monkeypatch.setattr(python_objects, "_objects", {})
    done = run_in_this_process("eval", "--logdir", run.logdir, cwd=tmp_path)
    assert done.returncode == 2
    assert "python-object:HalfKL is the part at 'kl' of a Python program" in done.stderr
    assert "For the command line, write HalfKL in a module" in done.stderr
    with pytest.raises(dreamer.UserError, match="python-object:Line is the environment of a Python program"):
        dreamer.evaluate(run, parts={"kl": half_kl()})
    assert dreamer.evaluate(run, env=line_environment(), parts={"kl": half_kl()}, episodes=1)["n"] == 1


def test_a_run_with_an_object_prints_that_only_python_resumes_it(line_run):
    _, recorder = line_run
    for name in ("Line", "HalfKL"):
        assert f"python-object:{name} cannot be imported, so this run is resumed" in recorder.printed


def test_a_callback_stops_a_run_which_then_continues(tmp_path):
    settings = SETTINGS | {"logdir": tmp_path / "run", "task": "dummy_bandit"}
    stop = {"on_log": lambda metrics, counters: counters["frames"] >= 80}
    run = dreamer.train("v1", callbacks=[{"on_eval": lambda result, counters: None}, stop], **settings)
    assert (run.frames, run.finished) == (80, False)
    assert last_checkpoint(run.logdir)["frames"] == 80
    assert dreamer.train(run.config).frames == 120
    lines = [json.loads(line)["frames"] for line in (run.logdir / "metrics.jsonl").read_text().splitlines()]
    assert lines == sorted(lines)
    assert lines.count(80) == 1


@pytest.mark.parametrize("event", ["on_log", "on_checkpoint"])
def test_an_exception_of_a_callback_is_raised_once_the_run_is_saved(event, tmp_path):
    class OwnError(Exception):
        pass

    def fail(value, counters):
        raise OwnError("mine")

    before = random.getstate(), torch.get_num_threads()
    with pytest.raises(OwnError, match="mine"):
        dreamer.train("v3", callbacks={event: fail}, logdir=tmp_path, task="dummy_bandit", **SETTINGS)
    assert last_checkpoint(tmp_path)["frames"] == {"on_log": 40, "on_checkpoint": 60}[event]
    assert before == (random.getstate(), torch.get_num_threads())


def test_an_interrupt_saves_the_run_and_is_raised(tmp_path):
    interrupt = lambda metrics, counters: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        dreamer.train("v3", callbacks={"on_log": interrupt}, logdir=tmp_path, task="dummy_bandit", **SETTINGS)
    assert last_checkpoint(tmp_path)["frames"] == 40


def test_it_runs_in_a_thread_inside_an_event_loop_without_handlers_of_signals(tmp_path):
    handlers = []
    look = lambda metrics, counters: handlers.append(signal.getsignal(signal.SIGINT)) or True

    async def main():
        return dreamer.train("v2", callbacks={"on_log": look}, logdir=tmp_path, task="dummy_bandit", **SETTINGS)

    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(main())))
    thread.start()
    thread.join()
    assert found[0].frames == 40
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_errors_are_raised_and_leave_no_directory(tmp_path):
    with pytest.raises(dreamer.UserError, match="No suite has the task"):
        dreamer.train("v3", task="nothing_at_all", logdir=tmp_path / "run", configs="debug")
    assert not (tmp_path / "run").exists()
    with pytest.raises(dreamer.UserError, match="is not a run directory"):
        dreamer.evaluate(tmp_path / "run")


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ({"on_lgo": print}, "Did you mean on_log"),
        ({"on_log": 3}, "on_log of it is not a function"),
        (object(), "it has none of them"),
    ],
)
def test_wrong_callbacks_are_refused(callbacks, says):
    with pytest.raises(dreamer.UserError, match=says):
        dreamer.train("v3", callbacks=callbacks)


@pytest.mark.long
def test_a_comparison_returns_the_numbers_of_its_report(tmp_path):
    settings = {key: value for key, value in SETTINGS.items() if key != "steps"}
    found = dreamer.compare(
        ["v1", "v3"], ["dummy_bandit"], 120, seeds=1, logdir=tmp_path, v3={"batch_size": 2}, **settings
    )
    assert {run["variant"] for run in found.numbers["runs"]} == {"v1", "v3"}
    assert found.html.is_file()
    assert found.markdown.is_file()
    assert configs.read(next(tmp_path.glob("runs/v3/**/config.yaml")))["batch_size"] == 2
