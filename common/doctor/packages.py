"""Python and packages: whether their versions are in the ranges of pyproject.toml."""

import importlib.metadata
import platform
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from common.doctor.check import BROKEN, MISSING, OK, Check

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
ASIDE = ("ale-py", "matplotlib", "jinja2")  # for Atari, figures and reports: training on states does without

#: Package -> what is known to go wrong outside its range, and how to get out of there where pip alone does not.
TRAPS = {
    "mujoco": "from 4.0 on, dm_control breaks with it",
    "ale-py": "0.10.0 and 0.10.1 confuse actions",
}
REPAIRS = {"mujoco": "pip uninstall -y mujoco mujoco-core mujoco-studio && pip install --no-deps '{requirement}'"}


def packages(project: Path = PROJECT) -> Iterator[Check]:
    """Python, one line for all packages that are as they should be, one for each that is not; then optional ones."""
    about = tomllib.loads(project.read_text())["project"]
    yield python(about["requires-python"])
    needs = [need for need in map(Requirement, about["dependencies"]) if need.marker is None or need.marker.evaluate()]
    checks = [package(need, needed=need.name not in ASIDE) for need in needs]
    good = [f"{check.name} {check.found}" for check in checks if check.status == OK]
    yield Check("packages", OK, f"{len(good)} of {len(checks)} fit: {', '.join(good)}")
    yield from (check for check in checks if check.status != OK)
    for extra in about.get("optional-dependencies", {}).values():
        yield from (package(need, needed=False) for need in map(Requirement, extra))


def python(versions: str) -> Check:
    """The interpreter."""
    here = platform.python_version()
    fits = SpecifierSet(versions).contains(here, prereleases=True)
    return Check("python", OK if fits else BROKEN, here, f"install Python {versions}, then: make install")


def package(need: Requirement, needed: bool) -> Check:
    """Whether a package is there, in a version that fits."""
    name, line = need.name, f"{need.name}{need.specifier}"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, MISSING, "not installed", f"pip install '{line}'", needed)
    if need.specifier.contains(version, prereleases=True):
        return Check(name, OK, version, needed=needed)
    trap = f" ({TRAPS[name]})" if name in TRAPS else ""
    todo = REPAIRS.get(name, "pip install '{requirement}'").format(requirement=line)
    return Check(name, BROKEN, f"{version}, needed is {need.specifier}{trap}", todo, needed)
