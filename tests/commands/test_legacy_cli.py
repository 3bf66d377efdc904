"""Command lines of another repository run unchanged and say what they mean; output that nobody reads ends quietly."""

import io
import os
import shlex
import subprocess
import sys

import pytest

import dreamer as program
from common.commands import legacy_cli
from common.errors import UserError
from tests.helpers.command_line import ROOT, SHORT

TRAIN = "--env 'walker-walk' --algo 'Dreamerv1' --exp 'default_hp' --train"
EVALUATE = "--env 'walker-walk' --algo 'Dreamerv1' --exp 'eval' --evaluate --restore --checkpoint_path"
RUN = "logs/dmc_walker_walk/v1/default_hp"
TINY = ["--configs", "debug", *SHORT, "--env.obs", "vector", "--env.time_limit", "40", "--run.compile", "off"]


def meant(line):
    return " ".join(legacy_cli.translate(shlex.split(line), "v9"))


@pytest.mark.parametrize(
    ("line", "today"),
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
def test_familiar_lines_in_todays_words(line, today):
    assert meant(line) == today


def test_the_line_is_said_aloud(capsys):
    today = meant(TRAIN)
    assert capsys.readouterr().err.splitlines() == [
        "A familiar command line: v1, dmc_walker_walk. Today's spelling:",
        f"  python dreamer.py {today}",
    ]
    meant("--env walker-walk --train")
    assert "no --algo, so v9" in capsys.readouterr().err
    meant("--algo DreamerV3")
    assert not capsys.readouterr().err


def test_pixels_are_what_it_trains_from():
    command, *said = program.parse(legacy_cli.translate(shlex.split(TRAIN), "v3"))
    config = program.command_input(command, *said)
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
        ("--exp x --train", "--exp is only understood together with --env"),
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
    """Folder in which the training command has run, cut short and without a renderer."""
    folder = tmp_path_factory.mktemp("familiar")
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


def test_another_run_than_the_line_says_is_refused(trained, monkeypatch):
    monkeypatch.chdir(trained)
    oldest = min((trained / RUN / "checkpoints").iterdir())
    for line, says in {
        f"{EVALUATE} {oldest}": "is not the newest checkpoint",
        f"{EVALUATE} {RUN}/checkpoints/checkpoint-9.pt": "is neither the logdir of a run nor a checkpoint",
        f"{EVALUATE} {RUN} --algo Dreamerv2": "has algo v1, the command line says v2",
        f"{EVALUATE} {RUN} --env walker-run": "has task dmc_walker_walk, the command line says dmc_walker_run",
    }.items():
        with pytest.raises(UserError, match=says):
            meant(line)


def test_restore_goes_on_where_the_run_stopped(trained, monkeypatch, capsys):
    line = f"--env walker-walk --algo Dreamerv1 --train --restore --checkpoint_path {trained / RUN}"
    monkeypatch.chdir(trained)
    assert program.main([*shlex.split(line), *TINY]) == 0
    assert "This run is finished: 120 of 120 frames" in capsys.readouterr().out


@pytest.fixture
def unread(monkeypatch):
    """Makes stdout or stderr a pipe that nobody reads."""
    files = []

    def close(name):
        read, write = os.pipe()
        os.close(read)
        files.append(os.fdopen(write, "w", buffering=1))
        monkeypatch.setattr(sys, name, files[-1])

    yield close
    for file in files:
        file.close()


@pytest.mark.parametrize("words", ["--help", "config --algo v1", "table", "explain v1 v2", "bench --list"])
def test_nobody_reads_what_is_printed(words, unread, capsys):
    unread("stdout")
    assert program.main(words.split()) == 141
    assert not capsys.readouterr().err


def test_nobody_reads_the_errors(unread, capsys):
    unread("stderr")
    assert program.main(["--algo", "v9"]) == 141
    assert not capsys.readouterr().out


def test_another_broken_pipe_is_an_error(monkeypatch, capsys):
    def broken(command):
        raise BrokenPipeError("an environment is gone")

    monkeypatch.setattr(program, "command_function", broken)
    assert program.main(["config"]) == 2
    assert "an environment is gone" in capsys.readouterr().err


def test_the_interpreter_ends_as_quietly(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, str(ROOT / "dreamer.py"), "config", "--algo", "v1"]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def command(words, **streams):
    """What came of a command line in a process with these streams."""
    run = [sys.executable, str(ROOT / "dreamer.py"), *words.split()]
    return subprocess.run(run, text=True, timeout=120, **streams)


def test_streams_that_are_closed_are_no_hindrance(tmp_path):
    words = "--configs debug --task dummy_onehot_7 --steps 8 --run.device cpu --compile off --run.parallel none"
    shut = lambda: [os.close(number) for number in range(3)]
    done = command(f"{words} --logdir {tmp_path / 'run'}", preexec_fn=shut)
    assert done.returncode == 0
    assert list(tmp_path.glob("run/checkpoints/*.pt"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
@pytest.mark.parametrize("words", ["--help", "config --algo v1"])
def test_output_on_a_full_disk_is_one_message(words):
    with open("/dev/full", "w") as full:
        done = command(words, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: No space left on device")
        assert len(done.stderr.splitlines()) == 1
        assert command(words, stdout=full, stderr=full).returncode == 2


def test_text_that_a_terminal_cannot_show_is_escaped(monkeypatch):
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    monkeypatch.setattr(program, "command_function", lambda name: lambda config: print("0.5 \xb1 0.1, \udcff"))
    assert program.main(["config"]) == 0
    assert plain.buffer.getvalue() == b"0.5 \\xb1 0.1, \\udcff\n"
