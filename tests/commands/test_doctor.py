"""`doctor`: all checks in this process, then each check with a problem that it must find."""

import contextlib
import importlib.metadata
import io
import sys
import types

import numpy as np
import pytest
from gymnasium import spaces

import dreamer as program
from common.commands import doctor
from common.doctor import hardware, packages, smoke_tests, suites
from common.doctor.check import BROKEN, MISSING, OK, DoctorCheck, run_check
from common.envs import Suite
from common.envs.suites import dmc
from common.errors import UserError
from common.nn import machine


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return exit code and output of the command on this machine, and its folder."""
    folder, printed = tmp_path_factory.mktemp("doctor"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(machine, "MATMUL_SIDES", {"cpu": (64,), "cuda": (64,)})
        code = program.main(["doctor", "--logdir", "deep/er"])
    return code, printed.getvalue().splitlines(), folder


def test_all_checks_run_and_training_on_states_works(whole):
    code, lines, _ = whole
    assert code == 0, lines
    names = ["python", "packages", "device", "threads", "memory", "bfloat16", "egl", "osmesa", "glfw", "pixels"]
    names += ["states", "atari", "films", "logdir", *(f"update {algo}" for algo in program.ALGOS)]
    places = [next(i for i, line in enumerate(lines) if line.startswith(f"{name} ")) for name in names]
    assert places == sorted(places)
    assert lines[-1] == "Training on states works here."


def test_no_files_remain(whole):
    assert not list(whole[2].iterdir())


def exit_code(monkeypatch, *checks):
    monkeypatch.setattr(doctor, "checks", lambda request: iter(checks))
    return program.main(["doctor"])


def test_only_checks_that_states_need_make_it_fail(monkeypatch, capsys):
    renderer = DoctorCheck("egl", MISSING, "libEGL is not installed", "apt-get install libegl1 libgl1", needed=False)
    assert exit_code(monkeypatch, DoctorCheck("python", OK, "3.11"), renderer) == 0
    assert "-> apt-get install libegl1 libgl1" in capsys.readouterr().out
    broken = DoctorCheck("mujoco", BROKEN, "4.0.0", "pip install")
    assert exit_code(monkeypatch, renderer, broken, DoctorCheck("states", OK, "")) == 2
    assert "does not work here: mujoco." in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--task", "dmc_walker_walk"], ["now"], ["--batch_size", "3"]])
def test_flags_of_training_are_refused(words, capsys):
    assert program.main(["doctor", *words]) == 2
    message = capsys.readouterr().err
    assert "doctor takes only" in message
    assert f"got {words[0]}" in message.replace("'", "")


def test_a_check_that_raises_is_broken():
    assert run_check("x", lambda: 1 / 0, "fix it")[:4] == (
        "x", BROKEN, "ZeroDivisionError: division by zero", "fix it",
    )  # fmt: skip


def project(folder, versions, monkeypatch, dependencies, extras=()):
    """Return the checks of a project with these dependencies, with these versions installed."""

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    file = folder / "pyproject.toml"
    text = f'[project]\nrequires-python = ">=3.11"\ndependencies = {[*dependencies]}\n'
    file.write_text(f"{text}[project.optional-dependencies]\nmore = {[*extras]}\n")
    return {check.name: check for check in packages.packages(file)}


def test_versions_are_compared_with_the_project(tmp_path, monkeypatch):
    installed = {"torch": "2.13.0+cpu", "mujoco": "4.0.0", "ale-py": "0.10.1"}
    needs = ["torch>=2.7", "mujoco>=3.17,<4", "ale-py>=0.11", "numpy[fast]>=2", "other>=1; python_version < '3'"]
    found = project(tmp_path, installed, monkeypatch, needs, ["crafter>=1.8"])
    assert {name: check.status for name, check in found.items()} == {
        "python": OK, "packages": OK, "mujoco": BROKEN, "ale-py": BROKEN, "numpy": MISSING, "crafter": MISSING,
    }  # fmt: skip
    assert found["packages"].found == "1 of 4 fit: torch 2.13.0+cpu"
    assert "break dm_control" in found["mujoco"].found
    assert "pip install --no-deps 'mujoco<4,>=3.17'" in found["mujoco"].todo
    assert "mix up actions" in found["ale-py"].found
    assert found["numpy"].todo == "pip install 'numpy[fast]>=2'"
    assert [name for name, check in found.items() if check.needed and check.status != OK] == ["mujoco", "numpy"]


def test_renderers_report_their_missing_requirements(monkeypatch):
    monkeypatch.setattr(dmc, "backend_error", lambda name: "" if name == "osmesa" else "a long story")
    monkeypatch.setattr(dmc, "working_backend", lambda: "osmesa")
    monkeypatch.setattr(hardware.ctypes.util, "find_library", lambda name: None)
    monkeypatch.delenv("DISPLAY", raising=False)
    found = {check.name: check for check in hardware.renderers()}
    assert {name: check.status for name, check in found.items()} == {
        "egl": MISSING, "osmesa": OK, "glfw": MISSING, "pixels": OK,
    }  # fmt: skip
    assert found["egl"].todo == "apt-get install libegl1 libgl1"
    assert "DISPLAY is not set" in found["glfw"].found
    monkeypatch.setattr(hardware.ctypes.util, "find_library", lambda name: "there")
    assert next(hardware.renderers())[:3] == ("egl", BROKEN, "a long story")


def game(answer):
    """Return a make_env whose images are `answer(action)`."""
    step = lambda action: ({"image": np.full((1, 1, 1), answer(action))}, 0, False, False, {})
    env = types.SimpleNamespace(reset=lambda: None, step=step, close=lambda: None, action_space=spaces.Discrete(6))
    return lambda *_, **__: env


@pytest.mark.parametrize(
    ("answer", "says"),
    [(lambda action: 0, "actions have no effect"), (lambda action: next(CLOCK), "is not reproducible")],
)
def test_a_game_that_ignores_actions_or_seed_is_reported(answer, says, monkeypatch):
    monkeypatch.setattr(smoke_tests, "make_env", game(answer))
    with pytest.raises(UserError, match=says):
        smoke_tests.play_atari()


CLOCK = iter(range(1000))


def test_an_environment_that_draws_nothing_is_reported(monkeypatch):
    env = types.SimpleNamespace(reset=lambda: None, render=lambda: np.zeros((4, 4, 3), np.uint8), close=lambda: None)
    monkeypatch.setattr(smoke_tests, "make_env", lambda *_: env)
    with pytest.raises(UserError, match="CartPole-v1 draws no picture"):
        smoke_tests.draw_cartpole()


def test_a_logdir_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file" / "run", smoke_tests.Path("/proc/run")):
        assert run_check("logdir", lambda path=path: smoke_tests.check_writable(path), "").status == BROKEN
    monkeypatch.setattr(smoke_tests, "free_disk", lambda path: 2**20)
    with pytest.raises(UserError, match="GiB free"):
        smoke_tests.check_writable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_losses_that_are_not_finite_are_reported(monkeypatch):
    class Diverging(smoke_tests.FixedBatchUpdate):
        def __call__(self):
            self.metrics = {"loss/kl": float("nan")}

    monkeypatch.setattr(smoke_tests, "FixedBatchUpdate", Diverging)
    request = types.SimpleNamespace(resolve=program.resolve)
    with pytest.raises(UserError, match="not finite: loss/kl"):
        smoke_tests.run_update(request, "v1")


def test_checks_that_cannot_be_imported_are_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "common.doctor.hardware", None)
    (check,) = doctor.checks_of("common.doctor.hardware", "hardware")
    assert check.name == "hardware"
    assert check.status == BROKEN
    assert check.needed


def test_suites_are_checked_one_by_one_and_none_ends_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "common.py").write_text("raise RuntimeError('this is the module of a user')")
    (tmp_path / "suite_aborts.py").write_text("import os; os.abort()")
    (tmp_path / "suite_raises.py").write_text("raise ValueError('no screen')")
    found = {"absent": Suite("", "no-such-package", "no_task")}
    found |= {name: Suite("", "numpy", f"suite_{name}:Env") for name in ("aborts", "raises")}
    monkeypatch.setattr(suites, "SUITES", found | {"gym": Suite("", "gymnasium", "gym_CartPole-v1")})
    assert program.main(["doctor", "--envs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=2) == ["absent", "missing", "no-such-package is not installed"]
    assert lines[1].split() == ["->", "pip", "install", "no-such-package"]
    line = {name: next(line for line in lines if line.startswith(f"{name} ")) for name in ("aborts", "raises", "gym")}
    assert " broken " in line["aborts"]
    assert "exit code -6" in line["aborts"]
    assert " broken " in line["raises"]
    assert "no screen" in line["raises"]
    assert "5 steps, draws 600 x 400 pixels" in line["gym"]


def test_a_suite_that_hangs_is_broken(monkeypatch):
    monkeypatch.setattr(suites, "SECONDS", 0.1)
    check = suites.check_suite("dummy", Suite("", "numpy", "dummy"))
    assert (check.status, check.found.endswith("no answer in 0 s")) == (BROKEN, True)


def test_a_suite_is_made_stepped_over_its_end_and_drawn():
    assert suites.play("dummy_point_3") == "5 steps, draws 64 x 64 pixels"
    assert suites.play("dummy_pixels") == "5 steps, image 'image'"
