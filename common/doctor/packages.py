"""Versions of Python and packages, compared with the ranges in pyproject.toml."""

import importlib.metadata
import platform
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from common.doctor.check import BROKEN, MISSING, OK, DoctorCheck

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
OPTIONAL = ("ale-py", "matplotlib", "jinja2")  # for Atari, figures and reports: not needed to train on states

#: Package -> known problem outside of its range, and the fix if a plain `pip install` does not work.
KNOWN_PROBLEMS = {
    "mujoco": "version 4.0 and later break dm_control",
    "ale-py": "0.10.0 and 0.10.1 mix up actions",
}
INSTALL_COMMANDS = {
    "mujoco": "pip uninstall -y mujoco mujoco-core mujoco-studio && pip install --no-deps '{requirement}'"
}


def packages(project: Path = PROJECT) -> Iterator[DoctorCheck]:
    """Check Python, all required packages (one line for those that fit), and the optional ones."""
    about = tomllib.loads(project.read_text())["project"]
    yield check_python(about["requires-python"])
    needs = [need for need in map(Requirement, about["dependencies"]) if need.marker is None or need.marker.evaluate()]
    checks = [check_package(need, needed=need.name not in OPTIONAL) for need in needs]
    good = [f"{check.name} {check.found}" for check in checks if check.status == OK]
    yield DoctorCheck("packages", OK, f"{len(good)} of {len(checks)} fit: {', '.join(good)}")
    yield from (check for check in checks if check.status != OK)
    extras = {name: needs for name, needs in about.get("optional-dependencies", {}).items() if name != "dev"}
    for extra in extras.values():
        yield from (check_package(need, needed=False) for need in map(Requirement, extra))


def check_python(versions: str) -> DoctorCheck:
    """Check the version of the interpreter."""
    here = platform.python_version()
    status = OK if fits(SpecifierSet(versions), here) else BROKEN
    return DoctorCheck("python", status, here, f"install Python {versions}, then: make install")


def fits(versions: SpecifierSet, version: str | None) -> bool:
    """Return whether a version is in a range; False for one that is malformed or, after a broken install, None."""
    try:
        return versions.contains(version or "", prereleases=True)
    except InvalidVersion:
        return False


def check_package(need: Requirement, needed: bool) -> DoctorCheck:
    """Check whether a package is installed in a version that fits."""
    extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
    name, line = need.name, f"{need.name}{extras}{need.specifier}"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return DoctorCheck(name, MISSING, "not installed", f"pip install '{line}'", needed)
    if fits(need.specifier, version):
        return DoctorCheck(name, OK, version, needed=needed)
    trap = f" ({KNOWN_PROBLEMS[name]})" if name in KNOWN_PROBLEMS else ""
    todo = INSTALL_COMMANDS.get(name, "pip install '{requirement}'").format(requirement=line)
    return DoctorCheck(name, BROKEN, f"{version}, needed is {need.specifier}{trap}", todo, needed)
