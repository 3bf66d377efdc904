"""Construction, imports, render and close may raise anything: the place is named, and a run continues."""

import sys
import time

import gymnasium
import numpy as np
import pytest

import dreamer
from common.envs import DEFAULTS, make_env, make_envs
from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.any_interface import as_gymnasium
from common.envs.check.random_rollout import RandomRollout
from common.envs.faults import describe_error, hidden_arguments, missing_module_hint
from common.errors import UserError
from tests.helpers.contained_envs import Quiet

CONTAINED = "tests.helpers.contained_envs"
BOTH = pytest.mark.parametrize("parallel", ["none", "process"])


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("CloseRaises", "AttributeError: 'NoneType' object has no attribute 'shutdown' ("),
        ("CloseExits", "SystemExit: 3 ("),
        ("CloseAsserts", "AssertionError: assert self.server_is_up() ("),
    ],
)
def test_an_exception_of_close_is_printed_with_its_place(task, reason, capsys):
    env = make_env(f"{CONTAINED}:{task}")
    env.reset()
    env.close()
    assert env.close_failure.startswith(f"close failed with {reason}")
    assert "contained_envs.py, line " in env.close_failure
    make_env(f"{CONTAINED}:{task}").close()
    assert dreamer.main(["check-env", f"{CONTAINED}:{task}", "--algo", "v3", "--limit", "9"]) == 0
    found = capsys.readouterr()
    assert found.err.count(reason) <= 1  # the same text is printed once in a process
    assert f"  - close failed with {reason}" in found.out


@BOTH
def test_environments_whose_close_raises_are_stepped_and_closed(parallel):
    with make_envs(f"{CONTAINED}:CloseRaises", None, 2, parallel=parallel) as envs:
        envs.reset()
        assert envs.step(np.zeros(2, int))["reward"].tolist() == [1, 1]
        assert envs.messages() == []


@pytest.mark.parametrize("task", [f"{CONTAINED}:Wordless", f"gym_{CONTAINED}:KeptWordless-v0"])
def test_an_assertion_without_words_is_named_by_its_source_and_place(task):
    with pytest.raises(UserError, match=r"assert version < \(3, 0\) \(.*contained_envs.py, line \d+, in __init__\)"):
        make_env(task)


def test_spaces_that_raise_are_named_with_their_place():
    with pytest.raises(UserError, match=r"RuntimeError: no server \(.*contained_envs.py, line \d+, in observation_sp"):
        make_env(f"{CONTAINED}:SpacesRaise")


def test_an_exception_of_an_installed_package_has_a_place(tmp_path, monkeypatch):
    """Only installed packages took part, so that the last place in them counts."""
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "frail.py").write_text("def make():\n    assert 1 > 2\n")
    monkeypatch.syspath_prepend(package)
    with pytest.raises(UserError, match=r"AssertionError: assert 1 > 2 \(.*frail.py, line 2, in make\)"):
        make_env("frail:make")


def test_exceptions_of_a_module_are_named_with_their_place(tmp_path, monkeypatch):
    (tmp_path / "leaves.py").write_text("import sys\n\nsys.exit(4)\n")
    (tmp_path / "lacks.py").write_text("import nonesuch.part\n")
    monkeypatch.chdir(tmp_path)
    for task in ("leaves:Env", "gym_leaves:Env-v0"):
        with pytest.raises(UserError, match=r"SystemExit: 4 \(.*leaves.py, line 3, in <module>\)"):
            make_env(task)
    for task in ("lacks:Env", "gym_lacks:Env-v0"):
        with pytest.raises(UserError, match=r"lacks.py, line 1, in <module>\). Try pip install nonesuch.$"):
            make_env(task)


def test_a_suite_that_raises_is_named_and_its_own_package_is_not_advised_again(monkeypatch):
    def fail(name, config):
        raise ModuleNotFoundError("No module named 'nonesuch'", name="nonesuch")

    monkeypatch.setattr("common.envs.suites.dummy.make", fail)
    with pytest.raises(UserError, match=r"No module named 'nonesuch' \(.*\)\. Try pip install nonesuch\.$"):
        make_env("dummy")


def test_hints_for_missing_modules_name_packages():
    lacks = lambda name: ModuleNotFoundError(f"No module named {name!r}", name=name)
    assert missing_module_hint(lacks("cv2")) == " Try pip install opencv-python."
    assert "The installed numpy has no numpy.nothing" in missing_module_hint(lacks("numpy.nothing"))
    assert missing_module_hint(ModuleNotFoundError("nameless")) == missing_module_hint(ValueError()) == ""


@BOTH
def test_an_environment_that_parses_the_command_line_does_not_get_the_hub_s(parallel, monkeypatch):
    words = ["dreamer.py", "--algo", "v3", "--steps", "200"]
    monkeypatch.setattr(sys, "argv", [*words])
    with make_envs(f"{CONTAINED}:Parses", None, 1, parallel=parallel) as envs:
        envs.reset()
        assert envs.step(np.zeros(1, int))["reward"] == 1
        assert envs.messages() == []
    assert sys.argv == words


def test_a_parser_that_needs_an_argument_is_named(capfd):
    with pytest.raises(UserError, match=r"SystemExit: 2, .*argparse.*sys.argv.* \(.*contained_envs.py, line \d+"):
        make_env(f"{CONTAINED}:NeedsArgument")


def test_arguments_return_even_if_the_list_was_replaced(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dreamer.py", "--algo", "v3"])
    with hidden_arguments():
        assert sys.argv == ["dreamer.py"]
        sys.argv = ["other"]
    assert sys.argv == ["dreamer.py", "--algo", "v3"]


@pytest.mark.parametrize("task", [f"{CONTAINED}:CannotDraw", f"gym_{CONTAINED}:KeptCannotDraw-v0"])
def test_an_environment_that_cannot_draw_is_made_without_drawing(task):
    with make_envs(task, {"film": True}, 1, parallel="none") as envs:
        envs.reset()
        assert envs.step(np.zeros(1, int))["reward"] == 1
        (message,) = envs.messages()
    assert "It is not filmed" in message
    assert "assert render_mode is None (" in message


RAISES_AGAIN = """
def again(call):
    try:
        call()
    except ValueError as error:
        raise KeyError(1) from error
"""


def test_the_place_of_an_exception_that_was_raised_again_is_that_of_its_cause():
    namespace = {"__name__": "again"}
    exec(compile(RAISES_AGAIN, "/x/site-packages/again.py", "exec"), namespace)

    def own():
        raise ValueError

    with pytest.raises(KeyError) as caught:
        namespace["again"](own)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # without this test's own frame
    assert describe_error(caught.value).endswith("in own)")


class OwnInterrupt(KeyboardInterrupt):
    """An exception of an environment; Ctrl-C raises no subclass."""


class InterruptsItself(Quiet):
    """Raises an interrupt of its own, and has an observation that no encoder reads."""

    parts = gymnasium.spaces.Sequence(gymnasium.spaces.Box(-1, 1, (2,)))
    observation_space = gymnasium.spaces.Dict({"parts": parts, "seen": gymnasium.spaces.Discrete(2)})

    def reset(self, *, seed=None, options=None):
        return {"parts": (np.zeros(2), np.zeros((2, 2))), "seen": 1}, {}

    def step(self, action):
        raise OwnInterrupt("stop")


def test_check_env_names_an_interrupt_of_the_environment_and_omits_what_no_encoder_reads():
    rollout = RandomRollout(lambda: adapt_env(as_gymnasium(InterruptsItself(), "it"), DEFAULTS), 1, 3)
    assert rollout.failure.startswith("OwnInterrupt: stop (")
    assert list(rollout.ranges) == ["seen"]


def test_check_env_limits_the_time_of_a_step():
    class Hangs(Quiet):
        def step(self, action):
            time.sleep(1000)

    rollout = RandomRollout(lambda: adapt_env(as_gymnasium(Hangs(), "it"), DEFAULTS), 1, 3, timeout=0.1)
    assert "no answer within 0.1 seconds (env.timeout)" in rollout.failure
