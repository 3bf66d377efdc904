"""A run stored with former names of its parts is resumed, evaluated, explained and reported."""

import shutil

import pytest

import dreamer as program
from common.config import config as configs
from common.config import parts
from tests.helpers.command_line import SHORT, run_in_this_process

WORDS = ["--algo", "v2", "--configs", "debug", "--task", "dummy_bandit", *SHORT, "--run.video_every", "0"]


@pytest.fixture(scope="module")
def older_run(tmp_path_factory):
    """A short V2 run whose config.yaml has the former names."""
    logdir = tmp_path_factory.mktemp("older") / "run"
    done = run_in_this_process(*WORDS, "--logdir", logdir, cwd=logdir.parent)
    assert done.returncode == 0, done.stderr
    config = parts.with_former_names(configs.read(logdir / "config.yaml"))
    assert [config[seam]["use"] for seam in ("kl", "slow", "grad_cont")] == ["SplitKL", "HardCopy", "Dynamics"]
    configs.write(logdir / "config.yaml", config)
    return logdir


def test_it_is_resumed_without_a_notice(older_run, tmp_path):
    shutil.copytree(older_run, tmp_path / "run")
    done = run_in_this_process(*WORDS, "--logdir", tmp_path / "run", "--steps", 160, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Resumed at frame 120" in done.stderr
    assert "is now" not in done.stderr


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["eval", "--logdir", "run", "--episodes", "1"], "eval dummy_bandit v2 at frame 120"),
        (["explain", "run", "--key", "slow.use"], "TargetCritic"),
        (["explain", "run", "v2"], "run → v2"),
        (["explain", "run/config.yaml", "--key", "kl.use"], "BalancedKL"),
        (["report", "run", "--out", "report"], ", 0 left out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_read_without_a_notice(older_run, words, printed, tmp_path):
    shutil.copytree(older_run, tmp_path / "run")
    done = run_in_this_process(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert "is now" not in done.stderr


def test_an_older_run_is_loaded(older_run):
    assert program.load(older_run).config["slow"]["use"] == "TargetCritic"
