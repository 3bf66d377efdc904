"""`--sweep`: variants with several values of a key, through the command line."""

import json

import pytest

import dreamer
from common.analysis.report import write_report
from common.experiments.grid import experiment
from tests.helpers.command_line import expect_error
from tests.helpers.fake_runs import write_grid

BENCH = ["bench", "--suite", "cpu", "--tasks", "gym_Pendulum-v1", "--algos", "v3", "--seeds", "1", "--jobs", "1"]
COMPARE = ["compare", "--configs", "debug", "--tasks", "dummy_point", "--steps", "1000", "--seeds", "1", "--jobs", "1"]


@pytest.fixture
def jobs(monkeypatch):
    """Collect grids with their folders and jobs instead of running them."""
    seen = []
    monkeypatch.setattr(
        experiment, "run_grid", lambda folder, grid, jobs, *_, **__: seen.append((str(folder), grid, jobs))
    )
    monkeypatch.setattr(experiment, "write_results", lambda *_: None)
    return seen


def test_each_value_is_a_variant_next_to_the_versions_own_value(jobs, capsys):
    assert dreamer.main([*BENCH, "--sweep", "schedule.ratio=64,32,8"]) == 0
    ((folder, grid, found),) = jobs
    assert (folder, grid.kind, grid.baseline) == ("logs/bench/cpu-schedule.ratio", "bench", "schedule.ratio=32")
    assert grid.variants == ["schedule.ratio=32", "schedule.ratio=64", "schedule.ratio=8"]
    assert [job.config["schedule"]["ratio"] for job in found] == [32.0, 64.0, 8.0]
    assert "schedule.ratio=64: v3\n  schedule.ratio  32 -> 64\n" in capsys.readouterr().out


def test_sweeps_multiply_also_over_sizes(jobs):
    assert dreamer.main([*BENCH, "--sweep", "batch_size=4,8", "configs=size1m,size12m", "--logdir", "here"]) == 0
    ((folder, grid, found),) = jobs
    names = [f"batch_size={size} {block}" for size in (4, 8) for block in ("size1m", "size12m")]
    assert (folder, grid.variants, grid.baseline) == ("here", names, names[0])
    assert [(job.config["batch_size"], job.config["rssm"]["deter"]) for job in found] == [
        (4, 512), (4, 2048), (8, 512), (8, 2048)
    ]  # fmt: skip


def test_several_versions_are_swept_together(jobs):
    words = ["--algos", "v1,v3", "--v1.batch_length", "9", "--sweep", "batch_size=4", "--sweep", "batch_size=8"]
    assert dreamer.main([*COMPARE, *words]) == 0
    ((_, grid, found),) = jobs
    assert grid.variants == ["v1 batch_size=4", "v1 batch_size=8", "v3 batch_size=4", "v3 batch_size=8"]
    assert (grid.baseline, grid.own) == (None, {"v1": {"batch_length": "9"}})
    assert [job.config["batch_length"] == 9 for job in found] == [True, True, False, False]


def test_a_schedule_is_one_value(jobs):
    assert dreamer.main([*BENCH, "--sweep", "actor.entropy=0.1,linear(0.1,0,1e4)"]) == 0
    assert jobs[0][1].variants == ["actor.entropy=0.1", "actor.entropy=linear(0.1,0,1e4)"]


@pytest.mark.parametrize(("sweep", "says"), [
    (["schedule.ratoi=8,9"], "Unknown key 'schedule.ratoi'. Did you mean schedule.ratio"),
    (["configs=size1m,size13m"], "size13m does not work with v3. Unknown config block for v3 'size13m'. Did you mean"),
    (["kl.free=1,-5"], "kl.free=-5 does not work with v3. kl.free must be at least 0"),
    (["kl.use=BalancedKL,Foo"], "kl.use must be one of PlainKL, BalancedKL"),
    (["schedule.ratio=8"], "needs two or more different values, got 8."),
    (["schedule.ratio=8,8.0"], "schedule.ratio=8 and schedule.ratio=8.0 have the same effect on gym_Pendulum-v1."),
    (["policy_disc.unimix=0.01,0.02"], "have the same effect"),
    (["8,9"], "--sweep takes KEY=VALUE,VALUE, such as schedule.ratio=64,256, got '8'."),
    (["steps=5,6"], "--sweep steps: steps is the same for all runs of a comparison. Use --steps."),
    (["algo=v1,v3"], "Use --algos."),
    (["seed=5,6"], "Use --seeds and --first-seed."),
    (["batch_size=4,8", "--v3.batch_size", "9"], "batch_size is in --sweep and in --v3.batch_size. Omit one of them."),
], ids=" ".join)  # fmt: skip
def test_what_cannot_be_swept_is_refused_before_anything_runs(tmp_path, sweep, says):
    expect_error(*BENCH, "--sweep", *sweep, "--logdir", "grid", cwd=tmp_path, says=says)
    assert not list(tmp_path.iterdir())


def test_the_report_of_a_sweep_has_effects(tmp_path):
    runs = [(f"kl.free={free}", "dmc_walker_walk", seed, {"best": 200.0 * free, "kl__free": str(free), "frames": 4000})
            for free in (1, 3) for seed in range(3)]  # fmt: skip
    grid = write_grid(tmp_path, "bench", runs, baseline="kl.free=1")
    write_report([grid], grid)
    assert "## Effects" in (grid / "report.md").read_text()
    assert json.loads((grid / "report.json").read_text())["pairs"] == [["kl.free=3", "kl.free=1"]]
    assert "| kl.free | 1.0 | 3.0 |" in (grid / "report.md").read_text()
