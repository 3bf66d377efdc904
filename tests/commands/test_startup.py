"""Packages of versions that do not fit are named before anything that needs them is imported."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import dreamer as program
from common.doctor import packages, startup
from common.doctor.check import BROKEN, OK, DoctorCheck

ROOT = Path(__file__).parents[2]


def old_package(folder, name, module, source):
    """Install a package of version 0.1 in a folder."""
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text(source)
    about = folder / f"{name}-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")


@pytest.mark.parametrize(
    ("words", "name", "module", "source"),
    [
        (["doctor"], "gymnasium", "gymnasium", ""),  # an ImportError follows
        (["--help"], "gymnasium", "gymnasium", "raise AttributeError('np.bool8 was removed')"),
        (["doctor"], "ruamel.yaml", "ruamel", "raise RuntimeError('compiled for another version')"),
        (["config", "--algo", "v3"], "ruamel.yaml", "ruamel", ""),
    ],
)
def test_an_old_package_is_named_with_the_line_to_type(words, name, module, source, tmp_path):
    old_package(tmp_path, name, module, source)
    command = [sys.executable, str(ROOT / "dreamer.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    assert "Traceback" not in text
    assert "0.1, needed is " in text
    assert f"pip install '{name}" in text
    if words == ["doctor"]:
        assert text.startswith("python ")
        assert "\nimports        broken" in text
    else:
        assert text.startswith("Error: Packages do not fit: ")


def test_training_in_one_process_starts_without_the_compiler_of_torch():
    """Its import takes more than a second, and a run that does not compile needs none of it."""
    code = "import sys, common.training.train; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


def test_a_failure_that_packages_do_not_explain_is_raised(monkeypatch):
    monkeypatch.setattr(packages, "packages", lambda: iter([DoctorCheck("numpy", OK, "2.4")]))
    with pytest.raises(ImportError, match="a bug"):
        startup.report_failed_import(ImportError("a bug"), "")


def test_a_missing_module_of_an_installed_package_is_not_a_missing_package():
    assert startup.missing_package(ModuleNotFoundError("", name="nonesuch.part")) == "nonesuch"
    assert startup.missing_package(ModuleNotFoundError("", name="gymnasium.nothing")) == ""
    assert startup.missing_package(ImportError("")) == ""


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("__main__", ["/x/dreamer.py"], True),
        ("dreamer", ["/x/bin/dreamer", "doctor"], True),
        ("dreamer", ["-m", "doctor"], True),
        ("dreamer", ["/x/my_script.py"], False),
    ],
)
def test_only_the_program_ends_itself(name, argv, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    assert startup.is_program(name) == expected


def test_an_unexpected_error_names_packages_that_do_not_fit(monkeypatch, capsys):
    monkeypatch.setattr(program, "packages", lambda: iter([DoctorCheck("filelock", BROKEN, "3.0", "pip install x")]))
    assert program.report_error(TypeError("on_acquired")) == 1
    assert "filelock 3.0" in capsys.readouterr().err
    monkeypatch.setattr(program, "packages", lambda: iter([DoctorCheck("filelock", OK, "4.3")]))
    assert program.report_error(TypeError("on_acquired")) == 1
    assert "filelock" not in capsys.readouterr().err


@pytest.mark.parametrize("version", [None, "", "of today"])
def test_a_version_that_is_malformed_does_not_fit(version):
    assert not packages.fits(packages.SpecifierSet(">=1"), version)
    assert packages.fits(packages.SpecifierSet(">=1"), "1.2.dev3")


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "0"}, "0"), ({"OMP_WAIT_POLICY": "passive"}, None)],
)
def test_waiting_threads_spin_for_a_short_time_unless_the_user_chose(monkeypatch, given, found):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    monkeypatch.setattr(os, "environ", environment)
    runpy.run_path(str(ROOT / "dreamer.py"), run_name="read_again")
    assert environment.get("GOMP_SPINCOUNT") == found
