"""Flags for one version of a comparison, through the command line."""

import pytest

import dreamer
from common.experiments.grid import experiment
from tests.helpers.command_line import expect_error, run_in_this_process

TASK = ["--configs", "debug", "--tasks", "dummy_point", "--steps", "1000", "--seeds", "1", "--jobs", "1"]
COMPARE = ["compare", "--algos", "v1,v3", *TASK]


@pytest.fixture
def jobs(monkeypatch):
    """Collect grids and jobs instead of running them; return variant -> config of the last grid."""
    seen = []
    monkeypatch.setattr(experiment, "run_grid", lambda folder, grid, jobs, *_, **__: seen.append((grid, jobs)))
    monkeypatch.setattr(experiment, "write_results", lambda *_: None)
    return seen


def test_a_key_is_set_for_one_version_alone(jobs):
    words = ["--v3.batch_size", "3", "--batch_size", "4", "--v3.schedule.ratio", "7", "--v1.envs=2"]
    assert dreamer.main([*COMPARE, *words]) == 0
    grid, (one, three) = jobs[-1]
    assert (one.config["batch_size"], one.config["run"]["envs"]) == (4, 2)
    assert (three.config["batch_size"], three.config["run"]["envs"], three.config["schedule"]["ratio"]) == (3, 1, 7.0)
    assert grid.own == {"v1": {"run.envs": "2"}, "v3": {"batch_size": "3", "schedule.ratio": "7"}}
    for job in (one, three):  # the stored command line gives the same run
        _, _, algo, blocks, borrowed, flags = dreamer.parse(["train", *job.words])
        assert dreamer.resolve(algo, blocks, flags, borrowed) == job.config


def test_the_flag_of_a_version_follows_globs_for_all(jobs):
    words = ["--mlp.actor.units", "8", "--mlp.*.units", "9", "--v3.mlp.actor.units", "5"]
    assert dreamer.main([*COMPARE, *words]) == 0
    units = [{name: mlp["units"] for name, mlp in job.config["mlp"].items()} for job in jobs[-1][1]]
    assert set(units[0].values()) == {9}
    assert units[1] == dict.fromkeys(units[1], 9) | {"actor": 5}


def test_a_version_has_config_blocks_of_its_own(jobs):
    assert dreamer.main([*COMPARE, "--v3.configs", "size1m"]) == 0
    one, three = jobs[-1][1]
    assert "size1m" not in one.words
    assert three.words[:5] == ["--algo", "v3", "--configs", "debug", "size1m"]


@pytest.mark.parametrize(("command", "variant"), [
    (["bench", "--suite", "tiny", "--tasks", "dummy_point_20", "--algos", "v1,v3-2023"], "v3-2023"),
    (["ladder", "v1", "v3-2023", "--by", "concept", *TASK], "v3-2023 (optimiser)"),
])  # fmt: skip
def test_bench_and_ladder_take_them(jobs, command, variant):
    assert dreamer.main([*command, "--v3-2023.schedule.ratio", "7", "--seeds", "1"]) == 0
    grid, found = jobs[-1]
    (ratio,) = [job.config["schedule"]["ratio"] for job in found if job.variant == variant]
    assert (ratio, grid.own) == (7.0, {"v3-2023": {"schedule.ratio": "7"}})
    assert "ratio" not in found[0].config["schedule"]


@pytest.mark.parametrize(("words", "says"), [
    (["--v3.schedule.ratoi", "7"], "Unknown key 'schedule.ratoi'. Did you mean schedule.ratio"),
    (["--v3.schedule.ratio"], "--v3.schedule.ratio takes one value, got none"),
    (["--v3.schedul.ratoi"], "Unknown key 'schedul.ratoi'. Did you mean schedule.ratio"),
    (["--v3.schedule.ratio", "many"], "schedule.ratio expects float"),
    (["--v2.batch_size", "7"], "is for v2, but the versions of this comparison are v1, v3. Omit it."),
    (["--v9.batch_size", "7"], "is for v9, but the versions of this comparison are v1, v3."),
    (["--v3.steps", "7"], "steps is the same for all runs of a comparison. Use --steps."),
    (["--v3.task", "dummy_bandit"], "Use --tasks."),
    (["--v3.seed", "7"], "Use --seeds and --first-seed."),
    (["--v3.seeds", "7"], "Use --seeds."),
    (["--v3.run.max_seconds", "7"], "Use --match time and --steps."),
    (["--v3.run.*", "7"], "run.max_seconds is the same for all runs"),
    (["--v3.features", "kl=v2"], "Use `ablate` or `ladder`."),
    (["--v1.configs", "size1m"], "Unknown config block for v1 'size1m'"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_what_cannot_be_set_for_one_version_is_refused(tmp_path, words, says):
    expect_error(*COMPARE, *words, "--logdir", "grid", cwd=tmp_path, says=says)
    assert not list(tmp_path.iterdir())


def test_other_commands_name_the_key_for_them(tmp_path):
    words = ["--v3.schedule.ratio", "7"]
    expect_error("ablate", "v3", "--drop", "symlog", *TASK, *words, cwd=tmp_path, says="Use --schedule.ratio.")
    for command in (["train"], ["plan", "--task", "dummy_point"], ["explain", "v3"]):
        expect_error(
            *command, *words, cwd=tmp_path, says="compare, bench, demo and ladder. Here it is --schedule.ratio."
        )
    assert not list(tmp_path.iterdir())


def test_the_help_shows_the_form(tmp_path):
    for command in ("compare", "bench", "ladder", "demo"):
        assert "--VERSION.KEY VALUE" in run_in_this_process(command, "--help", cwd=tmp_path).stdout
    assert "--VERSION.KEY" not in run_in_this_process("ablate", "--help", cwd=tmp_path).stdout


def test_unequal_training_is_listed_before_it_begins(tmp_path):
    printed = run_in_this_process(*COMPARE, "--v3.schedule.ratio", "4000", "--dry-run", cwd=tmp_path).stdout
    assert "The variants train unequally. On dummy_point: " in printed.splitlines()[-1]
    assert "--schedule.ratio 4000" in printed
