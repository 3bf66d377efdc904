"""Command lines of another Dreamer repository run unchanged, and are printed in the words of this one."""

import shlex

import pytest

import dreamer as program
from common.commands import legacy_cli
from common.errors import UserError
from tests.helpers.command_line import SHORT

TRAIN = "--env 'walker-walk' --algo 'Dreamerv1' --exp 'default_hp' --train"
EVALUATE = "--env 'walker-walk' --algo 'Dreamerv1' --exp 'eval' --evaluate --restore --checkpoint_path"
RUN = "logs/dmc_walker_walk/v1/default_hp"
TINY = ["--configs", "debug", *SHORT, "--env.obs", "vector", "--env.time_limit", "40", "--run.compile", "off"]


def translated(line):
    return " ".join(legacy_cli.translate(shlex.split(line), "v9"))


@pytest.mark.parametrize(
    ("line", "new"),
    [
        (TRAIN, f"train --algo v1 --configs dmc_vision --task dmc_walker_walk --logdir {RUN}"),
        ("--train --env=ball_in_cup-catch", "train --algo v9 --configs dmc_vision --task dmc_ball_in_cup_catch"),
        (f"{TRAIN} --seed 3 --configs debug --logdir here",
         f"train --algo v1 --configs dmc_vision --task dmc_walker_walk --logdir {RUN} --seed 3 --configs debug "
         "--logdir here"),
        ("--env cartpole-swingup_sparse --algo=dreamer_V3-2023 --exp-name x",
         "train --algo v3-2023 --configs dmc_vision --task dmc_cartpole_swingup_sparse "
         "--logdir logs/dmc_cartpole_swingup_sparse/v3-2023/x"),
        ("--algo DreamerV3 --task dmc_walker_walk", "--algo v3 --task dmc_walker_walk"),
        ("eval --algo dreamerv2 --env x", "eval --algo v2 --env x"),
        ("--logdir dreamerv2 --env.repeat 2 --algo v1", "--logdir dreamerv2 --env.repeat 2 --algo v1"),
    ],
)  # fmt: skip
def test_old_lines_are_translated(line, new):
    assert translated(line) == new


def test_the_translation_is_printed(capsys):
    new = translated(TRAIN)
    assert capsys.readouterr().err.splitlines() == [
        "These are the flags of another Dreamer repository: v1, dmc_walker_walk. In this one:",
        f"  python dreamer.py {new}",
    ]
    translated("--env walker-walk --train")
    assert "no --algo, which means v9" in capsys.readouterr().err
    translated("--algo DreamerV3")
    assert not capsys.readouterr().err


def test_old_lines_train_from_pixels():
    command, *parsed = program.parse(legacy_cli.translate(shlex.split(TRAIN), "v3"))
    config = program.command_input(command, *parsed)
    assert [command, config["algo"], config["task"]] == ["train", "v1", "dmc_walker_walk"]
    assert config["env"]["obs"] == "image"
    assert config == program.resolve("v1", ["dmc_vision"], {"task": "dmc_walker_walk", "logdir": RUN})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--env walker_walk --train", "--env takes DOMAIN-TASK of DeepMind Control, such as walker-walk"),
        ("--env --train", "--env takes one value, got none"),
        ("--env walker-walk --train --evaluate", "--train and --evaluate exclude each other"),
        ("--env walker-walk --train yes", "--train takes no value, got yes"),
        ("--env walker-walk --evaluate", "--evaluate needs --checkpoint_path PATH"),
        ("--exp x --train", "--exp needs --env"),
        ("--env walker-walk --evaluate --checkpoint_path nowhere", "nowhere is neither the logdir of a run nor"),
        ("--env walker-walk --algo Dreamer --train", "Unknown version 'Dreamer'"),
        ("--env walker-walk --algo Dreamerv9 --train", "Unknown version 'v9'"),
        ("--env walker-walk --algo Dreamerv1 --action-noise 0.1", "Unknown key 'action-noise'"),
        ("--env walker-wolk --algo Dreamerv1", "Nearest: dmc_walker_walk"),
    ],
)
def test_mistakes_end_with_one_message(line, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program.main(shlex.split(line)) == 2
    printed = capsys.readouterr().err
    assert printed.count("Error: ") == 1
    assert says in printed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder in which a short training from states has run."""
    folder = tmp_path_factory.mktemp("legacy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert program.main([*shlex.split(TRAIN), *TINY]) == 0
    return folder


@pytest.mark.parametrize("path", [RUN, f"{RUN}/checkpoints", "newest"])
def test_evaluation_takes_a_logdir_or_a_checkpoint_in_it(trained, path, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    newest = max((trained / RUN / "checkpoints").iterdir())
    assert program.main([*shlex.split(EVALUATE), str(newest) if path == "newest" else path, "--episodes", "1"]) == 0
    assert "eval dmc_walker_walk v1 at frame 120" in capsys.readouterr().out


def test_a_run_that_differs_from_the_line_is_refused(trained, monkeypatch):
    monkeypatch.chdir(trained)
    oldest = min((trained / RUN / "checkpoints").iterdir())
    for line, says in {
        f"{EVALUATE} {oldest}": "is not the newest checkpoint",
        f"{EVALUATE} {RUN}/checkpoints/checkpoint-9.pt": "is neither the logdir of a run nor a checkpoint",
        f"{EVALUATE} {RUN} --algo Dreamerv2": "has algo v1, the command line has v2",
        f"{EVALUATE} {RUN} --env walker-run": "has task dmc_walker_walk, the command line has dmc_walker_run",
    }.items():
        with pytest.raises(UserError, match=says):
            translated(line)


def test_restore_resumes_the_run(trained, monkeypatch, capsys):
    line = f"--env walker-walk --algo Dreamerv1 --train --restore --checkpoint_path {trained / RUN}"
    monkeypatch.chdir(trained)
    assert program.main([*shlex.split(line), *TINY]) == 0
    assert "This run is finished: 120 of 120 frames" in capsys.readouterr().out
