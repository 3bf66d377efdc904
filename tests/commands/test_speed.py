"""`python dreamer.py speed`: output, files and errors."""

import json
import re

import pytest

import dreamer as program
from common.commands.speed import si_number
from common.config import tables
from common.nn import machine
from tests.helpers.command_line import SHORT, run_in_fork, run_in_new_process

pytestmark = pytest.mark.xdist_group("cli_speed")  # they share a slow fixture

DEBUG = ["speed", "--algo", "v3", "--configs", "debug", "--updates", "3"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the folder in which the command ran, and its output."""
    folder = tmp_path_factory.mktemp("speed")
    words = [*DEBUG, "--task", "dummy_point", "--logdir", "run", "--profile", "traces/update.json"]
    done = run_in_new_process(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def found(measured):
    return json.loads((measured[0] / "run" / "speed.json").read_text())


def test_it_prints_tables(measured):
    for text in ("updates/s", "replayed steps/s", "FLOP forward", "peak memory", "encoder", "forward only", "1 thread"):
        assert text in measured[1]
    assert all(f"Written: {file}" in measured[1] for file in ("run/speed.json", "traces/update.json"))


def test_figures_are_consistent(found):
    timed, cost, here = found["updates"], found["cost"], found["machine"]
    assert len(timed["seconds"]) == 3
    assert timed["per_second"] == pytest.approx(1 / timed["median"])
    assert timed["replayed_per_second"] == pytest.approx(timed["per_second"] * 4 * 10)
    assert cost["flops"] == sum(p["flops"] for p in cost["passes"])
    assert here["flops_per_second"] == pytest.approx(cost["flops"] * timed["per_second"])
    assert here["bytes_per_second"] == pytest.approx(cost["bytes"] * timed["per_second"])
    assert found["acting"].keys() == {"1", "16"}
    assert all(0 < times["median"] <= times["p90"] for times in found["acting"].values())
    assert min(found["peak_memory"], found["replay_bytes"], here["matmul_flops_per_second"], found["threads"]) > 0


def test_the_split_has_all_parts(found):
    inside = {"world model", "imagination", "actor-critic", "backward", "optimiser", "rest of the update"}
    assert found["split"].keys() == inside | {"replay", "policy", "environment", "logging"}
    assert all(seconds >= 0 for seconds in found["split"].values())


def test_the_trace_has_one_update(measured):
    events = json.loads((measured[0] / "traces" / "update.json").read_text())["traceEvents"]
    assert {"aten::mm", "imagination"} <= {event.get("name") for event in events}


def test_a_run_may_start_in_the_logdir_of_speed(measured):
    words = ["--algo", "v3", "--configs", "debug", "--task", "dummy_point", "--logdir", "run", *SHORT]
    done = run_in_fork(*words, cwd=measured[0])
    assert done.returncode == 0, done.stderr


def test_only_the_requested_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "MATMUL_SIDES", {"cpu": (64,)})
    monkeypatch.setattr(machine, "COPY_BYTES", {"cpu": 2**20})
    words = ["speed", "--algo", "v1", "--configs", "debug", "--task", "dummy_point", "--json", "deep/er/figures.json"]
    assert program.main(words) == 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["figures.json"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*DEBUG, "--updates", "0"], "--updates must be at least 1, got 0"),
        ([*DEBUG, "--updates", "few"], "--updates expects int"),
        ([*DEBUG, "--json"], "--json takes one value, got none"),
        ([*DEBUG, "--json", "."], "Choose another file with --json"),
        ([*DEBUG, "--profile", "/proc/trace.json"], "Choose another file with --profile"),
        ([*DEBUG, "--json", "a", "--profile", "a"], "name the same file"),
        ([*DEBUG, "--run.offline", "a"], "Omit --run.offline"),
        ([*DEBUG, "--logdir", "/proc/run"], "Choose another"),
        ([*DEBUG, "--task", "dummy_pint"], "Nearest: dummy_point"),
        (["train", "--algo", "v3", "--updates", "3"], "Unknown key 'updates'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_reported(words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program.main(words) == 2
    assert says in capsys.readouterr().err


ROWS = [("name", "count", "note"), ("a", "1", ""), ("longer", "1,000", f"[b]forward[/b] :star: {'x' * 200}")]
PLAIN = f"name    count  note\na           1\nlonger  1,000  {ROWS[-1][-1]}"


def test_tables_are_plain_lines_outside_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    tables.show(tables.table(ROWS), tables.listing([("a", "b"), ("", "c " * 99 + "d")]))
    assert capsys.readouterr().out == f"{PLAIN}\n\na  b\n   {'c ' * 99}d\n"


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm")])
def test_tables_fit_into_a_terminal(name, value, capsys, monkeypatch):
    for key, text in {"TERM": "xterm-256color", "COLUMNS": "40", name: value}.items():
        monkeypatch.setenv(key, text)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    tables.show(tables.table(ROWS))
    printed = capsys.readouterr().out
    if value == "dumb":
        assert printed == f"{PLAIN}\n"
        return
    plain = re.sub(r"\x1b\[\dm", "", printed)
    assert max(map(len, plain.splitlines())) <= 40
    assert plain.count("x") == 200


@pytest.mark.parametrize(("value", "text"), [(0, "0 "), (12, "12 "), (30_453_000_000, "30.45 G"), (2e13, "20 T")])
def test_prefixes(value, text):
    assert si_number(value) == text
