"""Generate docs/files.md from the docstrings of all modules: python -m tests.helpers.file_table"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "files.md"
COMMON = ROOT / "common"
#: Packages of common/ in the order of imports: a package imports only those after it.
ROOMS = ("api", "commands", "experiments", "analysis", "doctor", "profiling", "viewer", "foreign", "deploy")
ROOMS += ("training", "distributed", "datasets", "agent", "replay", "envs", "nn", "storage", "config")

HEAD = """# Files

Every module with its purpose. The packages of `common/` come in the order of imports: a package imports only packages
that come after it. [architecture.md](architecture.md) explains how they fit together.

`python -m tests.helpers.file_table` generates this page from the docstrings.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    sections = [section("Program", "", [ROOT / "dreamer.py", ROOT / "install_packages.py"])]
    sections += [package(folder) for folder in sorted(ROOT.glob("dreamer_v*"))]
    sections += [package(COMMON / room) for room in ROOMS]
    sections.append(section("`common/`", "Helpers that every package may import", modules(COMMON, "*.py")))
    return "\n".join([HEAD, *sections])


def package(folder: Path) -> str:
    """Return the section of a package and its subpackages."""
    return section(f"`{folder.relative_to(ROOT)}/`", summary(folder / "__init__.py"), modules(folder, "**/*.py"))


def modules(folder: Path, pattern: str) -> list[Path]:
    """Return the modules of a folder, those of subfolders last, without the folder's own `__init__.py`."""
    found = sorted(folder.glob(pattern), key=lambda path: (path.parent, path.name))
    return [path for path in found if path != folder / "__init__.py" and summary(path)]


def section(title: str, about: str, paths: list[Path]) -> str:
    """Return a heading, a sentence and a table with one row for each file."""
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    rows = [f"| [{name}](../{name}) | {summary(path)} |" for name, path in zip(names, paths, strict=True)]
    table = ["| file | purpose |", "|---|---|", *rows]
    return "\n".join([f"## {title}", "", *([f"{about}.", ""] if about else []), *table, ""])


def summary(path: Path) -> str:
    """Return the first line of a module's docstring without its full stop, or an empty string."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.split("\n", 1)[0].rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"Wrote {PAGE}.")
