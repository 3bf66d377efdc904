"""The how-tos of docs/ work: their steps are done in a copy of the program, their links lead somewhere."""

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dreamer
from common.agent.agent import Agent
from common.config import config as configs
from common.config.parts import PARTS
from tests.agent.test_matrix import check_updates
from tests.helpers.fakes import action_space, obs_space

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("v3_update.md", "add_a_part.md", "add_a_version.md")
PROGRAM = ("common", "configs", "dreamer_v1", "dreamer_v2", "dreamer_v3", "examples", "tests")
BLOCK = re.compile(r"^( *)```(\w+)(?: file=(\S+))?\n(.*?)^ *```$", re.S | re.M)


def blocks(page):
    """(language, file, text) of the code blocks of a page, in order."""
    found = BLOCK.findall((DOCS / page).read_text())
    return [(language, file, textwrap.dedent(text)) for _, language, file, text in found]


def definitions(path):
    """Names of the functions and classes of a file, methods as Class.method, inherited ones not included."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        names.add(getattr(node, "name", ""))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_their_functions(page):
    text = (DOCS / page).read_text()
    links = re.findall(r"\[(`?)([^\]`]+)`?\]\(([^)#]+)\)", text)
    assert links
    for code, name, target in links:
        path = (DOCS / target).resolve()
        assert path.is_file(), target
        if code and path.suffix == ".py":
            assert name in definitions(path), f"{target} does not define {name}"


def test_every_row_of_the_v3_update_names_its_function():
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*?) ?\|$", (DOCS / "v3_update.md").read_text(), re.M)
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert 30 <= len(rows) <= 45
    assert all("](../" in row[2] for row in rows)


@pytest.fixture
def copy_of_the_program(tmp_path):
    """A folder with the program, in which the steps of a page are done."""
    for folder in PROGRAM:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in ("dreamer.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(command, folder):
    words = command.replace("python ", f"{sys.executable} ", 1) if command.startswith("python ") else command
    done = subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def follow(page, folder, skip=()):
    """Do what a page says: write its files, run its commands."""
    outputs = {}
    for language, file, text in blocks(page):
        if file == "register":  # in the page's words: one more string in the list of the seam
            seam, part = re.search(r'PARTS\["(\w+)"\]\.append\("(.+)"\)', text).groups()
            last = PARTS[seam][-1]
            table = folder / "common" / "config" / "parts.py"
            head, begin, rest = table.read_text().partition(f'    "{seam}": [')
            entry = rest.replace(f'"{last}"', f'"{last}", "{part}"', 1)
            table.write_text(head + begin + entry)
        elif file:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        elif language == "sh":
            for command in text.splitlines():
                if not any(word in command for word in skip):
                    outputs[command] = run(command, folder)
    return outputs


@pytest.mark.long
def test_a_part_is_added_in_ten_steps(copy_of_the_program):
    """Including the contract tests of the new parts and a short training run with each."""
    text = (DOCS / "add_a_part.md").read_text()
    assert len(re.findall(r"^(\d+)\. ", text, re.M)) == 20
    outputs = follow("add_a_part.md", copy_of_the_program)
    assert any("JeffreysKL" in output and "free: 0.5" in output for output in outputs.values())
    tested = [output for command, output in outputs.items() if "pytest" in command]
    assert len(tested) == 2
    assert all("passed" in output or "100%" in output for output in tested)


def test_a_version_is_added_in_ten_steps(copy_of_the_program):
    """The tests of the last step are those of this suite, so one of them stands for all."""
    text = (DOCS / "add_a_version.md").read_text()
    assert len(re.findall(r"^(\d+)\. ", text, re.M)) == 10
    outputs = follow("add_a_version.md", copy_of_the_program, skip=("pytest", "examples."))
    assert any("algo: v4" in output and "JeffreysKL" in output for output in outputs.values())
    run("python -m pytest -q -x tests/agent/test_closure.py -k 'v3-v4 or v4-v3'", copy_of_the_program)


@pytest.fixture
def v4(monkeypatch):
    """The example's version, registered for one test."""
    monkeypatch.setitem(PARTS, "kl", list(PARTS["kl"]))
    sys.modules.pop("examples.dreamer_v4", None)
    __import__("examples.dreamer_v4")
    yield
    del dreamer.ALGOS["v4"]
    sys.modules.pop("examples.dreamer_v4", None)


def test_the_example_of_a_version_is_short():
    assert len((ROOT / "examples" / "dreamer_v4.py").read_text().splitlines()) < 50


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_the_example_of_a_version_updates(v4, kind):
    check_updates(Agent(obs_space(image=False), action_space(kind), dreamer.resolve("v4", ["debug"])))


def test_the_example_differs_from_v3_in_its_parts_only(v4):
    found = configs.differences(dreamer.resolve("v3", ["debug"]), dreamer.resolve("v4", ["debug"]))
    assert {key.split(".")[0] for key in found} == {"algo", "kl", "explore"}


def test_the_example_trains_as_a_program(tmp_path):
    flags = f"--configs debug --task dummy_point --steps 200 --logdir {tmp_path / 'v4'}"
    run(f"python -m examples.dreamer_v4 {flags}", ROOT)
    assert "algo: v4" in (tmp_path / "v4" / "config.yaml").read_text()
