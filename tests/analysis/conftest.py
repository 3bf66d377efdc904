"""Fixture shared by the tests of `reference`."""

import pytest

import dreamer as program


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line in this process, in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = program.main(["reference", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
