"""Runs that were started before the block `cpu` had a budget and a schedule resume with the same command."""

import pytest

import dreamer
from common.config import config as configs
from common.training.budget import count_updates
from tests.helpers.command_line import run_in_this_process

TASK = "gym_CartPole-v1"
#: Version -> values of `--configs cpu` in the past.
FORMER = {
    "v1": {"schedule.every": 1000, "schedule.updates": 100, "steps": 100_000, "optim.lr.actor": 3e-4},
    "v2": {"schedule.steps": 5, "steps": 100_000, "optim.lr.actor": 3e-4},
    "v3": {"schedule.ratio": 512.0, "steps": 100_000},
}


def resolved(words):
    command, *parsed = dreamer.parse(["train", *map(str, words)])
    return configs.flatten(dreamer.command_input(command, *parsed))


@pytest.mark.parametrize("algo", FORMER)
def test_an_older_run_keeps_its_values(algo, tmp_path, capsys):
    words = ["--algo", algo, "--configs", "cpu", "--task", TASK, "--logdir", tmp_path]
    new = resolved(words)
    assert not FORMER[algo].items() & new.items()
    configs.write(tmp_path / "config.yaml", dreamer.resolve(algo, ["cpu"], {"task": TASK} | FORMER[algo]))
    assert resolved(words) == new, "it has not started"
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"frames": 1}\n')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-00000001.pt").write_text("")
    assert resolved(words) == new | FORMER[algo]
    assert "continues with its stored " in capsys.readouterr().err
    key = next(iter(FORMER[algo]))
    assert resolved([*words, "--steps", 77, f"--{key}", 7]) == new | FORMER[algo] | {"steps": 77, key: 7}
    other = resolved([*words, "--task", "gym_Acrobot-v1"])
    assert not FORMER[algo].items() & other.items()


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_a_run_of_the_block_is_short(algo):
    for task in (TASK, "dmc_walker_walk", "my_env:Balance", "atari_pong"):
        assert count_updates(dreamer.resolve(algo, ["cpu"], {"task": task})) <= 1300


def test_a_new_logdir_needs_nothing(tmp_path):
    done = run_in_this_process("config", "--algo", "v3", "--configs", "cpu", "--task", TASK, cwd=tmp_path)
    assert "ratio: 32.0" in done.stdout
