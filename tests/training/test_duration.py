"""The warning before a long run on a CPU."""

import pytest

import dreamer
from common.config import versions
from common.training import duration
from common.training.factory import Factory
from common.training.threads import ThreadChoice
from tests.helpers.command_line import SHORT, run_in_this_process

LARGE = duration.LARGE_PARAMETERS


def warning(choice=ThreadChoice(2, "", 36.0), parameters=LARGE, updates=1000, **flags):  # noqa: B008
    config = dreamer.resolve("v3", [], {"task": "my_env:MyEnv", "run.device": "cpu"} | flags)
    return duration.long_run_warning(config, Factory(), None, choice, parameters, updates)


def test_it_names_rate_hours_and_what_to_type():
    text = warning()
    assert "0.0278 updates/s measured, so 1,000 updates take about 10 hours" in text
    assert "python dreamer.py --algo v3 --configs cpu --task my_env:MyEnv\n" in text


@pytest.mark.parametrize(
    "change",
    [{"parameters": LARGE - 1}, {"updates": 49}, {"run.max_seconds": "1799"}, {"run.device": "cuda"}],
)
def test_short_runs_small_networks_and_gpus_print_nothing(change, monkeypatch):
    monkeypatch.setattr(duration, "resolve_device", lambda device: device)
    assert not warning(**change)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_every_version_has_the_block_that_it_names(algo):
    assert "cpu" in versions.version_blocks(algo)


def test_a_run_measures_updates_and_prints_it_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(duration, "LARGE_PARAMETERS", 0)
    monkeypatch.setattr(duration, "LONG_SECONDS", 0)
    words = ["--algo", "v1", "--configs", "debug", "--task", "gym_CartPole-v1", *SHORT, "--run.device", "cpu"]
    words += ["--run.compile", "off", "--run.threads", "1", "--logdir", "run"]
    done = run_in_this_process(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "updates/s measured" in done.stderr
    assert "--algo v1 --configs cpu --task gym_CartPole-v1" in done.stderr
    assert "measured" not in run_in_this_process(*words, "--steps", "160", cwd=tmp_path).stderr


def test_the_measurement_changes_no_result(tmp_path, monkeypatch):
    words = ["--algo", "v3", "--configs", "debug", "--task", "dummy_bandit", *SHORT, "--run.compile", "off"]
    words += ["--run.threads", "1"]
    assert run_in_this_process(*words, "--logdir", "plain", cwd=tmp_path).returncode == 0
    monkeypatch.setattr(duration, "LARGE_PARAMETERS", 0)
    done = run_in_this_process(*words, "--logdir", "measured", cwd=tmp_path)
    assert done.returncode == 0
    scores = [(tmp_path / name / "scores.jsonl").read_text() for name in ("plain", "measured")]
    assert scores[0] == scores[1].replace("measured", "plain")
