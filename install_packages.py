"""Install packages with pip, and show the progress in a few lines: install_packages.py -r FILE ...

It takes the arguments of `pip install`. It imports Python's own modules only, since it runs before any package is
installed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

PACKAGES_PER_LINE = 10
LARGE_FILE = 20.0  # MB
DISK = "2 GB of disk with the CPU build of torch, about 6 GB with CUDA"
PIN = re.compile(r"^[A-Za-z].*==", re.MULTILINE)
LISTED = re.compile(r"(?:Collecting|Processing|Ignoring) ([^\s:]+).*(?:\(from -r |: markers )")
FILE = re.compile(r"\s*(?:Downloading|Using cached) (\S+) \(([\d.]+) (MB|GB)\)")
UNPACKING = "Installing collected packages: "


def main(arguments: list[str]) -> int:
    """Install what the arguments of `pip install` name; return pip's exit code. pip prints warnings and errors."""
    files = [Path(value) for flag, value in pairwise(arguments) if flag == "-r"]
    count = sum(len(PIN.findall(file.read_text())) for file in files)
    print(f"Installing {count} packages and what they need: one to ten minutes, {DISK}.", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, *arguments], env=environment, stdout=subprocess.PIPE, text=True) as pip:
        assert pip.stdout
        for line in progress(pip.stdout, count):
            print(f"  {line}", flush=True)
    return pip.returncode


def progress(lines: Iterable[str], count: int) -> Iterator[str]:
    """Yield a line for every tenth package, for each large file, and for the start of unpacking.

    lines: what pip prints. Packages that others need, but the files do not list, are not counted.
    """
    found = 0
    for line in lines:
        if match := LISTED.match(line):
            found += 1
            if found % PACKAGES_PER_LINE == 0:
                yield f"{found} of {count}: {package_name(match[1])}"
        elif (match := FILE.match(line)) and (match[3] == "GB" or float(match[2]) >= LARGE_FILE):
            yield f"downloading {package_name(match[1])}: {match[2]} {match[3]}"
        elif line.startswith(UNPACKING):
            yield f"unpacking {line.count(',') + 1} packages, without further lines: a minute or more"


def package_name(text: str) -> str:
    """Return the name of a package from a requirement or from the address of a file."""
    return re.split(r"[=<>!;\[]|-\d", os.path.basename(text))[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
