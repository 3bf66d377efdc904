"""First words other than commands: taken where they have one meaning."""

import pytest

import dreamer as program
from common.commands import first_words
from common.config import versions
from common.envs import SUITES
from common.errors import UserError
from tests.helpers.command_line import run_in_this_process

NAMES = first_words.Names(program.ALGOS, versions.block_names(), versions.ENVIRONMENT_BLOCKS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    {
        "help": "--help",
        "help train": "train --help",
        "train help": "train --help",
        "evaluate --logdir logs/pole": "eval --logdir logs/pole",
        "eval logs/pole --episodes 2": "eval --logdir logs/pole --episodes 2",
        "export logs/pole --out a.onnx": "export --logdir logs/pole --out a.onnx",
        "dream logs/a logs/b": "dream --logdirs logs/a --logdirs logs/b",
        "v3": "train --algo v3",
        "v3 dmc_walker_walk": "train --algo v3 --task dmc_walker_walk",
        "train v1 my_env:MyEnv --seed 1": "train --algo v1 --task my_env:MyEnv --seed 1",
        "gym_CartPole-v1 --algo v2": "train --task gym_CartPole-v1 --algo v2",
        "compare v1 v3 dummy": "compare --algos v1 --algos v3 --tasks dummy",
        "wm-eval logs/v3 v1 v3": "wm-eval --replay logs/v3 --algos v1 --algos v3",
        "check_env dummy": "check-env dummy",
        "bench list": "bench --list",
        "bench tiny v1": "bench --suite tiny --algos v1",
        "reference walker_walk": "reference --task walker_walk",
        "explain v1 v2": "explain v1 v2",
        "report logs": "report logs",
        "--algo v3": "--algo v3",
    }.items(),
)
def test_words_with_one_meaning_are_taken(typed, meant):
    assert first_words.translate(typed.split(), NAMES) == meant.split()


def test_what_was_taken_is_printed_once(capsys):
    first_words.translate(["v3", "dummy"], NAMES)
    assert capsys.readouterr().err == "Read as: python dreamer.py train --algo v3 --task dummy\n"
    first_words.translate(["train", "--algo", "v3"], NAMES)
    assert not capsys.readouterr().err


def test_a_run_directory_without_a_command_is_named(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match=f"is a run directory.*eval --logdir {tmp_path}"):
        first_words.translate([str(tmp_path)], NAMES)


def test_every_suite_has_tasks_that_are_recognised():
    assert all(first_words.is_task(suite.example, NAMES) for suite in SUITES.values())


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-V"]])
def test_the_version_is_printed(words, tmp_path):
    assert run_in_this_process(*words, cwd=tmp_path).stdout.startswith("dreamer-hub 0.")


def test_commas_join_blocks_and_features():
    _, _, _, blocks, borrowed, _ = program.parse(["--configs", "cpu,", "debug", "--features", "kl=v2,latent=v1"])
    assert (blocks, borrowed) == (["cpu", "debug"], {"kl": "v2", "latent": "v1"})


def test_underscores_stand_for_the_dashes_of_a_flag():
    command, *parsed = program.parse(["compare", "--dry_run", "--first_seed", "2"])
    assert (command, parsed[-1]) == ("compare", {"dry-run": "true", "first-seed": "2"})
