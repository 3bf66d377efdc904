"""The files that `make install` reads have one set of versions, and a checksum for every file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import install_packages

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


PIP_OUTPUT = """Looking in indexes: https://host/simple
Ignoring labmaze: markers 'python_version < "3.13"' don't match your environment
Collecting numpy==2.4.6 (from -r requirements.txt (line 1))
  Downloading numpy-2.4.6-cp311-cp311-linux.whl.metadata (62 kB)
Collecting nvidia-cublas (from torch==2.13.0->-r requirements.txt (line 2))
Downloading numpy-2.4.6-cp311-cp311-linux.whl (16.8 MB)
Downloading nvidia_cublas-13.1-py3-none-linux.whl (423.1 MB)
{more}
Installing collected packages: numpy, nvidia-cublas, torch
Successfully installed numpy-2.4.6
"""


def test_installation_prints_few_lines_of_progress():
    more = "\n".join(f"Processing /files/p{i}-1.0-py3.whl (from -r requirements.txt (line {i}))" for i in range(3, 11))
    assert list(install_packages.progress(PIP_OUTPUT.format(more=more).splitlines(keepends=True), 10)) == [
        "downloading nvidia_cublas: 423.1 MB",
        "10 of 10: p10",
        "unpacking 3 packages, without further lines: a minute or more",
    ]


def test_an_installation_that_fails_ends_with_pips_exit_code(tmp_path):
    (tmp_path / "wrong.txt").write_text("no-such-package-here==1\n")
    command = [sys.executable, ROOT / "install_packages.py", "--no-index", "-r", tmp_path / "wrong.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Installing 1 packages and what they need" in done.stdout
    assert "No matching distribution found for no-such-package-here==1" in done.stderr
