"""The Dockerfile: what it copies exists and is not ignored, versions are pinned, and it does not run as root."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent


def instructions() -> list[tuple[str, list[str]]]:
    """Returns the instructions with their words, without comments."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = filter(None, text.replace("\\\n", " ").splitlines())
    return [(words[0], words[1:]) for words in (shlex.split(line) for line in lines)]


def copied() -> list[str]:
    """Returns the files and folders that the image gets."""
    found = []
    for name, words in instructions():
        if name == "COPY":
            found += [word for word in words if not word.startswith("--")][:-1]
    return found


def test_what_is_copied_exists_and_is_not_ignored():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in copied():
        assert (ROOT / name).exists(), name
        assert any(Path(name).match(pattern) for pattern in kept), name
    assert all(list(ROOT.glob(pattern)) for pattern in kept)


def test_the_image_has_all_packages_of_an_installation():
    folders = re.search(r"FOLDERS = \((.*)\)", (ROOT / "setup.py").read_text())
    assert folders
    assert {*re.findall(r'"(.*?)"', folders[1]), "dreamer.py", "pyproject.toml"} <= set(copied())


def test_versions_are_pinned_and_checked():
    found = dict(instructions())
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", found["FROM"][0])
    pip = [words for name, words in instructions() if name == "RUN" and "pip" in words]
    assert len(pip) == 1
    assert {"--require-hashes", "--no-deps", "requirements-hashes.txt"} <= set(pip[0])


def test_it_runs_the_demo_and_not_as_root():
    found = dict(instructions())
    assert found["USER"] == ["1000"]
    assert "".join(found["ENTRYPOINT"] + found["CMD"]) == "[python,dreamer.py][demo]"
