"""`report` and `plot` on the command line: one in a separate process, the others in this one, which is faster."""

import json

import pytest

import dreamer as program
from tests.helpers.command_line import SHORT, run_in_new_process, snapshot
from tests.helpers.fake_runs import png_size, write_grid, write_run

pytestmark = pytest.mark.xdist_group("cli_report")  # one worker makes the shared fixtures


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Two variants on two tasks, and a job that failed."""
    jobs = [
        (f"v{i}", task, seed, {"algo": f"v{i}", "best": 300.0 * i, "frames": 4000, "length": 200})
        for i in (1, 3)
        for task in ("dmc_walker_walk", "gym_CartPole-v1")
        for seed in range(3)
    ]
    return write_grid(tmp_path_factory.mktemp("grid"), "compare", jobs, failed=[("v1", "dmc_walker_walk", 9)])


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    """Return the exit code of a command line."""
    return program.main(list(map(str, words)))


def test_report_on_a_grid_in_a_separate_process(grid, tmp_path):
    done = run_in_new_process("report", "--logdirs", grid, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 runs, 1 left out: " in done.stdout
    assert "Left out: v1/dmc_walker_walk/9 (failed): Training diverged" in done.stderr
    assert {"report.html", "report.md", "report.json"} < {path.name for path in (tmp_path / "out").iterdir()}
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert {row["verdict"] for row in report["comparisons"]} == {"better"}


def test_report_and_plot_after_training(tmp_path, capsys):
    for algo in ("v1", "v2"):
        words = ["--algo", algo, "--configs", "debug", "--task", "dummy_point", *SHORT, "--logdir", f"logs/{algo}"]
        assert run("train", *words) == 0
    assert run("report", "logs", "--reach", "-1e9", "1e9") == 0
    assert capsys.readouterr().out.endswith("2 runs, 0 left out: logs/report.html\n")
    report = json.loads((tmp_path / "logs/report.json").read_text())
    assert report["variants"] == ["v1", "v2"]
    for entry in report["runs"]:
        assert entry["frames"] == 120
        assert min(entry["updates"], entry["parameters"], entry["peak_memory"], entry["wall"]) > 0
        assert entry["hardware"]["cores"] >= 1
    assert {row["verdict"] for row in report["comparisons"]} == {None}
    assert {(row["level"], row["reached"]) for row in report["reach"]} == {(1e9, 0)}
    assert "is not above" in report["reach_left_out"][0]["reason"]
    assert run("plot", "logs", "--y", "loss/reward", "--x", "updates") == 0
    assert png_size(tmp_path / "plot.png")[0] > 300


@pytest.mark.parametrize(("x", "y", "name", "begin"), [
    ("frames", "score", "a.png", b"\x89PNG"), ("replayed", "eval", "a.svg", b"<?xml"),
    ("wall", "loss/dyn", "deep/a.pdf", b"%PDF"),
])  # fmt: skip
def test_plots(grid, tmp_path, x, y, name, begin):
    assert run("plot", "--logdirs", grid, "--x", x, "--y", y, "--out", name) == 0
    assert (tmp_path / name).read_bytes().startswith(begin)
    if name == "a.svg":
        text = (tmp_path / name).read_text()
        assert all(word in text for word in ("dmc_walker_walk", "gym_CartPole-v1", "v1 (3 seeds)", "replayed steps"))


def test_a_plot_leaves_out_runs_without_the_quantity(tmp_path, capsys):
    """V1 has one KL, the others have two; and not every task has images."""
    write_run(tmp_path / "v3", frames=2000, length=100)
    plain = write_run(tmp_path / "v1", algo="v1", frames=2000, length=100)
    lines = (plain / "metrics.jsonl").read_text()
    (plain / "metrics.jsonl").write_text(lines.replace("loss/dyn", "loss/kl"))
    assert run("plot", "v1", "v3", "--y", "loss/dyn", "--out", "a.svg") == 0
    printed = capsys.readouterr()
    assert "loss/dyn of 1 run over" in printed.out
    assert printed.err == "Left out: v1 (other metrics): it has no loss/dyn\n"
    text = (tmp_path / "a.svg").read_text()
    assert "v3 (1 seed)" in text
    assert "v1" not in text
    (plain / "scores.jsonl").write_text((plain / "scores.jsonl").read_text().splitlines(True)[0])  # never evaluated
    assert run("plot", "v1", "--y", "eval") == 2
    assert capsys.readouterr().err == "Error: v1 has no eval yet.\n"


def test_a_plot_shows_where_it_is_cut_off(tmp_path):
    for seed, frames in enumerate((2000, 3000)):
        write_run(tmp_path / str(seed), seed=seed, frames=frames, length=100)
    assert run("plot", "0", "1", "--out", "a.svg") == 0
    assert "cut off where v3, seed 0 ends" in (tmp_path / "a.svg").read_text()


MISTAKES = {
    "report": "report needs runs",
    "plot": "plot needs runs",
    "report --logdirs GRID empty": "give --out DIR",
    "report --logdirs empty": "it has no runs",
    "report --logdirs missing": "there is no such folder",
    "report --logdir GRID": "Did you mean --logdirs?",
    "report GRID --algo v3": "omit --algo",
    "report GRID --reach high": "--reach takes scores, got 'high'",
    "report GRID --out file/x": "Choose another --out",
    "plot GRID --x frame": "Did you mean frames",
    "plot GRID --y loss/dym": "Did you mean loss/dyn",
    "plot GRID --out plot.gif": "--out must end in .png, .svg, .pdf",
    "plot GRID --out file/x.png": "Choose another --out",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_give_one_message_and_write_nothing(grid, tmp_path, line, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    before = snapshot(grid) | snapshot(tmp_path)
    assert run(*line.replace("GRID", str(grid)).split()) == 2
    printed = capsys.readouterr().err
    assert printed.count("Error: ") == 1
    assert MISTAKES[line] in printed
    assert snapshot(grid) | snapshot(tmp_path) == before
