"""Standard streams that are closed, full or no longer read: commands end without a traceback."""

import io
import os
import subprocess
import sys

import pytest

import dreamer as program
from tests.helpers.command_line import ROOT


@pytest.fixture
def unread(monkeypatch):
    """Makes stdout or stderr a pipe without a reader."""
    files = []

    def close(name):
        read, write = os.pipe()
        os.close(read)
        files.append(os.fdopen(write, "w", buffering=1))
        monkeypatch.setattr(sys, name, files[-1])

    yield close
    for file in files:
        file.close()


@pytest.mark.parametrize("words", ["--help", "config --algo v1", "table", "explain v1 v2", "bench --list"])
def test_output_without_a_reader_ends_the_command(words, unread, capsys):
    unread("stdout")
    assert program.main(words.split()) == 141
    assert not capsys.readouterr().err


def test_errors_without_a_reader_end_the_command(unread, capsys):
    unread("stderr")
    assert program.main(["--algo", "v9"]) == 141
    assert not capsys.readouterr().out


def test_another_broken_pipe_is_an_error(monkeypatch, capsys):
    def broken(command):
        raise BrokenPipeError("an environment is gone")

    monkeypatch.setattr(program, "command_function", broken)
    assert program.main(["config"]) == 2
    assert "an environment is gone" in capsys.readouterr().err


def test_the_interpreter_prints_nothing_at_exit(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, str(ROOT / "dreamer.py"), "config", "--algo", "v1"]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def command(words, **streams):
    """Runs a command line in a process with these streams."""
    run = [sys.executable, str(ROOT / "dreamer.py"), *words.split()]
    return subprocess.run(run, text=True, timeout=120, **streams)


def test_training_works_with_closed_streams(tmp_path):
    words = "--configs debug --task dummy_onehot_7 --steps 8 --run.device cpu --compile off --run.parallel none"
    close_all = lambda: [os.close(number) for number in range(3)]
    done = command(f"{words} --logdir {tmp_path / 'run'}", preexec_fn=close_all)
    assert done.returncode == 0
    assert list(tmp_path.glob("run/checkpoints/*.pt"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
@pytest.mark.parametrize("words", ["--help", "config --algo v1"])
def test_output_on_a_full_disk_is_one_message(words):
    with open("/dev/full", "w") as full:
        done = command(words, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: No space left on device")
        assert len(done.stderr.splitlines()) == 1
        assert command(words, stdout=full, stderr=full).returncode == 2


def test_text_outside_of_the_encoding_is_escaped(monkeypatch):
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    monkeypatch.setattr(program, "command_function", lambda name: lambda config: print("0.5 \xb1 0.1, \udcff"))
    assert program.main(["config"]) == 0
    assert plain.buffer.getvalue() == b"0.5 \\xb1 0.1, \\udcff\n"
