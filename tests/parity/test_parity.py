"""Parity with the official implementations: every file of a directory of golden numbers.

pytest tests/parity/test_parity.py [--golden DIR]; DIR holds v1_v2/*.npz, v3/*.npz and
p2e/*.npz, or is one of these three folders, with any seeds, shapes and settings.
"""

import pathlib

from tests.parity import p2e_v1, p2e_v2, p2e_v3, v1, v2, v3
from tests.parity.common import Golden

CHECKS = {"v1_v2": v1.CHECKS | v2.CHECKS, "v3": v3.CHECKS, "p2e": p2e_v1.CHECKS | p2e_v2.CHECKS | p2e_v3.CHECKS}
OWN = pathlib.Path(__file__).parents[1] / "golden"


def pytest_generate_tests(metafunc):
    """One test for each file that is there or should be. Another directory may lack whole folders."""
    given = pathlib.Path(metafunc.config.getoption("golden")).resolve()
    alone = given.name in CHECKS and any(given.glob("*.npz"))
    root, searched = (given.parent, [given.name]) if alone else (given, list(CHECKS))
    folders = searched if root == OWN else [folder for folder in searched if (root / folder).is_dir()] or searched
    known = {(folder, stem) for folder in folders for stem in CHECKS[folder]}
    found = {(folder, path.stem) for folder in searched for path in (root / folder).glob("*.npz")}
    names = sorted(known | found)
    metafunc.parametrize(("root", "folder", "stem"), [(root, *name) for name in names], ids=map("-".join, names))


def test_file(root, folder, stem):
    path = root / folder / f"{stem}.npz"
    assert path.is_file(), f"{path} is missing"
    assert stem in CHECKS[folder], f"no check for {path}"
    golden = Golden(path)
    CHECKS[folder][stem](golden)
    golden.finish()
