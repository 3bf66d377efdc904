"""The files that `make install` reads have one set of versions, and a checksum for every file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HASHES = {name: ROOT / f"requirements-{name}.txt" for name in ("hashes", "cpu", "cuda")}


def pins(path: Path) -> dict[str, str]:
    """Version of each package in a file, under its normalized name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): pin for name, pin in found}


def test_files_with_hashes_have_the_tested_versions():
    tested = pins(ROOT / "requirements.txt")
    assert pins(HASHES["hashes"]) | {"torch": tested["torch"]} == tested
    assert pins(HASHES["cpu"]) == {"torch": tested["torch"] + "+cpu"}
    assert pins(HASHES["cuda"])["torch"] == tested["torch"]


@pytest.mark.parametrize("path", HASHES.values(), ids=HASHES)
def test_every_pin_has_a_checksum(path):
    blocks = re.split(r"\n(?=\S)", path.read_text().strip())
    named = [block for block in blocks if not block.startswith("#")]
    assert named
    for block in named:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), block


def test_other_kinds_of_hashes_are_refused():
    make = subprocess.run(["make", "-n", "HASHES=all", "install"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert make.returncode == 2
    assert "HASHES is cpu, cuda or nothing" in make.stderr


def test_hashes_are_required_of_every_file():
    make = subprocess.run(
        ["make", "-n", "-B", "HASHES=cpu", f"PYTHON={sys.executable}", "install"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "--require-hashes --no-deps -r requirements-hashes.txt -r requirements-cpu.txt" in make.stdout
