"""Names of custom environments: modules, files anywhere, modules whose name begins with a suite's prefix."""

import sys

import numpy as np
import pytest

import dreamer
from common.envs import make_env, make_envs
from common.errors import UserError

SOURCE = """
from neighbour import LENGTH
from tests.helpers.awkward_envs import Plain

class Own(Plain):
    length = LENGTH
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with own.py and its neighbour, next to the current folder; its modules are removed at the end."""
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "here").mkdir()
    (there / "own.py").write_text(SOURCE)
    (there / "neighbour.py").write_text("LENGTH = 7\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield there
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("spelling", ["../there/own.py:Own", "{folder}/own.py:Own"])
@pytest.mark.parametrize("parallel", ["none", "process"])
def test_files_are_loaded_by_path(spelling, parallel, folder):
    with make_envs(spelling.format(folder=folder), None, 1, parallel=parallel) as envs:
        assert envs.reset()["vector"].shape == (1, 3)
        assert envs.step(np.zeros(1, int))["reward"] == 1
        assert envs.messages() == []


def test_a_file_in_the_current_folder_precedes_modules_of_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "json.py").write_text(SOURCE)
    assert make_env("./json.py:Own").unwrapped.length == 7
    assert make_env("own.py:Own").unwrapped.length == 7  # a module of the current folder


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("../there/owm.py:Own", r"There is no file /.*/there/owm.py. Did you mean /.*/there/own.py\?"),
        ("./nothing.py:Own", r"There is no file /.*/here/nothing.py. Give it as ./my_env.py:MyEnv"),
        ("../there/own.py:Owm", r"has no class or function 'Owm'. Did you mean ../there/own.py:Own\?"),
        ("../there/notes.txt:Own", "its name must end in .py"),
        ("../there/broken.py:Own", "could not be imported from .*: ZeroDivisionError"),
    ],
)
def test_problems_with_a_file_are_reported(task, message, folder):
    (folder / "notes.txt").write_text("")
    (folder / "broken.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match=message):
        make_env(task)


def test_a_file_shadowed_by_a_python_module_is_suggested_by_its_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "random.py").write_text(SOURCE)
    for task in ("random:Own", "random.py:Own"):
        with pytest.raises(UserError, match=r"no class or function 'Own'. .*: use ./random.py:Own.$"):
            make_env(task)


def test_a_class_with_arguments_must_be_named_by_a_function(folder):
    (folder / "demands.py").write_text(f"{SOURCE}\n    def __init__(self, level): ...\nown = None\n")
    with pytest.raises(UserError, match=r"argument: 'level'. Name a function without arguments that makes it.$"):
        make_env("../there/demands.py:Own")
    with pytest.raises(UserError, match=r"Did you mean ../there/demands.py:Own\?"):
        make_env("../there/demands.py:own")


def test_modules_whose_name_begins_with_gym(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "gym_own.py").write_text(SOURCE)
    registers = "import gymnasium\nfrom own import Own\ngymnasium.register('Own-v0', Own, max_episode_steps=3)\n"
    (folder / "maze.py").write_text(registers)
    (folder / "gym_maze.py").write_text("raise ImportError('not this one')\n")
    assert make_env("gym_own:Own").unwrapped.length == 7
    assert make_env("gym_maze:Own-v0").unwrapped.length == 7  # an id, which maze registers
    with pytest.raises(UserError, match="The module 'nowhere' is neither in"):
        make_env("gym_nowhere:Own")


def test_a_run_on_a_file_is_evaluated_from_its_stored_config(folder, tmp_path, capsys):
    words = ["--configs", "debug", "--task", "../there/own.py:Own", "--logdir", str(tmp_path / "run")]
    words += ["--steps", "30", "--run.prefill", "20", "--run.eval_every", "0", "--threads", "1"]
    assert dreamer.main(words) == 0, capsys.readouterr().err
    assert dreamer.main(["eval", "--logdir", str(tmp_path / "run"), "--episodes", "1"]) == 0, capsys.readouterr().err
