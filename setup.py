"""Build the package `dreamer` from the checkout, so that an installation adds no other top-level name.

All files keep their place below `dreamer/`; dreamer.py becomes `dreamer/__init__.py`. Absolute imports of the moved
packages, and strings that name their modules, get the prefix `dreamer.`. Other settings are in pyproject.toml.
"""

import io
import itertools
import re
import shutil
import tokenize
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FOLDERS = ("common", "configs", "dreamer_v1", "dreamer_v2", "dreamer_v3", "pretrained")
MODULE = re.compile(r"""["']?((?:common|dreamer_v\d)(?:\.\w+)*)(?::\w+)?["']?""")
MAIN = "import sys\n\nfrom dreamer import main\n\nif __name__ == '__main__':\n    sys.exit(main())\n"


class BuildPackage(build_py):
    """Write the package `dreamer` into the build folder."""

    def run(self):
        if self.editable_mode:
            raise SystemExit("There is no editable installation: the checkout runs as it is, with `python dreamer.py`.")
        package = Path(self.build_lib) / "dreamer"
        shutil.rmtree(package, ignore_errors=True)
        for name in self.get_source_files():
            target = package / ("__init__.py" if name == "dreamer.py" else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".py":
                target.write_text(moved((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(ROOT / name, target)
        (package / "__main__.py").write_text(MAIN)

    def get_source_files(self):
        files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
        names = [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts]
        return ["dreamer.py", "pyproject.toml", *sorted(names)]


def moved(source: str) -> str:
    """Return the source of a module as it is inside the package."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for before, token in reversed(list(itertools.pairwise(tokens))):
        imported = token.type == tokenize.NAME and token.line.split()[0] == before.string in ("from", "import")
        if (imported or token.type == tokenize.STRING) and names_module(token.string):
            row, column = token.start[0] - 1, token.start[1] + (token.type == tokenize.STRING)
            lines[row] = f"{lines[row][:column]}dreamer.{lines[row][column:]}"
    return "".join(lines).replace("python dreamer.py", "dreamer")


def names_module(text: str) -> bool:
    """Return whether a token is a moved package or a string that names a module in one."""
    match = MODULE.fullmatch(text)
    if not match or (text[0] in "\"'" and "." not in text):
        return False
    path = ROOT / match[1].replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


setup(cmdclass={"build_py": BuildPackage})
