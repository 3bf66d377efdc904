"""The help screens: complete, short, and with examples that parse."""

import re
import shlex

import pytest

import dreamer as program
from common.commands import COMMANDS, command_module, command_options
from common.commands.command_line import PROGRAM
from common.config.arguments import Option, default_values
from tests.helpers.command_line import run_in_this_process


def screen(*words, cwd):
    done = run_in_this_process(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    return done.stdout


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_screen_of_the_program_is_one_screen(flag, tmp_path):
    text = screen(flag, cwd=tmp_path)
    lines = text.splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 100
    assert all(re.search(rf"^  {name} +[A-Z]", text, re.M) for name in COMMANDS)
    assert f"{PROGRAM} COMMAND --help" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_flags_and_three_examples(name, tmp_path):
    text = screen(name, "--help", cwd=tmp_path)
    assert f"{COMMANDS[name].summary}." in text
    for flag, option in command_options(name).items():
        assert isinstance(option, Option), flag
        assert option.help, flag
        assert re.search(rf"^  --{re.escape(flag)}\b.* {re.escape(option.help)}", text, re.M), flag
    examples = command_module(name).EXAMPLES
    assert len(examples) == 3
    for example in examples:
        assert f"  {PROGRAM} {example}\n" in f"{text}\n"
        command, *parsed = program.parse([word for word in shlex.split(example) if word != "--debug"])
        assert command == name
        if name != "eval":  # needs a run
            program.command_input(command, *parsed)


def test_defaults_are_shown(tmp_path):
    text = screen("speed", "--help", cwd=tmp_path)
    for name, default in default_values(command_options("speed")).items():
        assert not default or re.search(rf"--{name} .*\(default: {default}\)", text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("eval", "--logdir DIR .*needed"),
        ("check-env", "--algo VERSION .*all of them"),
        ("compare", r"--steps N .*needed"),
        ("ablate", r"--steps N .*that of --setting"),
        ("demo", r"--jobs N .*0: all\n"),
        ("play", r"--task TASK .*needed"),
        ("dream", r"--seed N .*default: that of"),
        ("resume", r"--steps N .*as stored in the run"),
    ],
)
def test_a_default_of_training_is_not_shown_where_it_does_not_hold(name, shown, tmp_path):
    text = screen(name, "--help", cwd=tmp_path)
    assert re.search(shown, text)
    assert not re.search(
        r"logs/TASK/VERSION|--algo.*default: v3|run.envs \(default|below logs|\(default: dummy\)", text
    )


@pytest.mark.parametrize(("name", "target"), {"plan": "the run", "bench": "every run", "table": "every config"}.items())
def test_the_heading_names_what_the_flags_set(name, target, tmp_path):
    assert f"\nflags of {target}:\n" in screen(name, "--help", cwd=tmp_path)


def test_names_to_choose_from_are_listed(tmp_path):
    text = screen("train", "--help", cwd=tmp_path)
    assert all(word in text for word in ("dmc_vision", "size12m", "retnorm", "--envs", "run.envs", "--logdir"))
    assert "retnorm" not in screen("doctor", "--help", cwd=tmp_path)


def test_an_unknown_command_has_no_help(tmp_path):
    done = run_in_this_process("trian", "--help", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean train?" in done.stderr
