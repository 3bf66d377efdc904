"""The committed results: every run finished at a known revision, and the reports follow from the runs."""

import json
import shlex
from pathlib import Path

import pytest

import dreamer
from common.analysis.world_models import is_comparison
from common.analysis.world_models.tables import fine_interval
from common.storage.logdir import stored_config

RESULTS = Path(dreamer.__file__).parent / "results"
GRIDS = sorted(path.parent for path in RESULTS.glob("*/grid.json"))
WORLD_MODELS = [folder for folder in GRIDS if is_comparison(folder)]
LINES = (RESULTS / "README.md").read_text().splitlines()
COMMANDS = [shlex.split(line)[2:] for line in LINES if line.startswith("python dreamer.py ") and "--out" not in line]
BY_NAME = pytest.mark.parametrize("folder", GRIDS, ids=lambda folder: folder.name)
SCORED = pytest.mark.parametrize("folder", [one for one in GRIDS if one not in WORLD_MODELS], ids=lambda one: one.name)


def test_there_are_results():
    assert GRIDS


@BY_NAME
def test_every_run_finished_at_a_committed_revision(folder):
    jobs = json.loads((folder / "grid.json").read_text())["jobs"]
    for job in jobs:
        logdir = folder / job["logdir"]
        info, config = json.loads((logdir / "run.json").read_text()), stored_config(logdir)
        assert job["status"] == "done"
        assert info["frames"] >= config["steps"], job["name"]
        assert (config["seed"], config["task"]) == (job["seed"], job["task"])
        for session in info["sessions"]:
            assert len(session["git"]) == 40, (job["name"], "changed files, or no revision")
            kind = "wm-eval" if folder in WORLD_MODELS else "train"
            assert session["command"].startswith(f"dreamer.py {kind} ")
    seeds = [[job["seed"] for job in jobs if (job["variant"], job["task"]) == pair]
             for pair in {(job["variant"], job["task"]) for job in jobs}]  # fmt: skip
    assert all(sorted(one) == [0, 1, 2] for one in seeds)


@pytest.mark.parametrize("folder", WORLD_MODELS, ids=lambda folder: folder.name)
def test_the_report_on_world_models_follows_from_the_runs(folder, tmp_path):
    assert dreamer.main(["report", str(folder), "--out", str(tmp_path)]) == 0
    fresh, stored = (json.loads((path / "report.json").read_text()) for path in (tmp_path, folder))
    for part in ("errors", "comparisons", "one_step", "own_loss", "calibration", "latents", "batches", "seeds"):
        assert fresh[part] == stored[part], part
    assert (tmp_path / "films" / "image.gif").read_bytes() == (folder / "films" / "image.gif").read_bytes()
    for row in stored["errors"]:
        if row["steps"] == "all" and not row.get("baseline") and row["key"] != "continue":
            assert any(row["key"] in line and fine_interval(row) in line for line in LINES), row


@SCORED
def test_the_report_follows_from_the_runs(folder, tmp_path):
    assert dreamer.main(["report", str(folder), "--out", str(tmp_path)]) == 0
    fresh, stored = (json.loads((path / "report.json").read_text()) for path in (tmp_path, folder))
    for part in ("scores", "comparisons", "aggregates", "reach", "seeds"):
        assert fresh[part] == stored[part], part
    flags = lambda report: [[row[key] for key in ("variant", "task", "seed", "name")] for row in report["health"]]
    assert flags(fresh) == flags(stored)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_the_commands_in_the_readme_plan_the_committed_runs(command, capsys):
    """--dry-run lists the runs of a grid: the committed ones."""
    tool, *words = command
    if tool == "reference":
        words = [str(RESULTS.parent / word) if word.startswith("results/") else word for word in words]
        assert dreamer.main([tool, *words]) == 0
        return
    jobs = json.loads((RESULTS.parent / words[-1] / "grid.json").read_text())["jobs"]
    if tool == "wm-eval":  # its replay is not among the results
        algos, seeds = (words[words.index(flag) + 1] for flag in ("--algos", "--seeds"))
        assert [job["variant"] for job in jobs] == algos.split(",") * int(seeds)
        return
    assert dreamer.main([tool, *words, "--dry-run"]) == 0
    planned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    assert [line.split(": ")[0] for line in planned] == [f"# {i} {job['name']}" for i, job in enumerate(jobs)]


@SCORED
def test_the_readme_has_the_numbers_of_the_reports(folder):
    rows = [line for line in LINES if line.startswith("| ")]
    text = lambda value: f"{value:.0f}".replace("-", "−")
    for score in json.loads((folder / "report.json").read_text())["scores"]:
        shown = f"{text(score['value'])} [{text(score['low'])}, {text(score['high'])}]"
        assert any(score["task"] in row and shown in row for row in rows), (folder.name, score, shown)
