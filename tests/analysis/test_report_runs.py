"""Runs of a report: which are found, how variants are named, why runs are left out."""

import json
import math
import shutil

import numpy as np
import pytest

from common.analysis.report import run_tables
from common.analysis.report.analysis import analyse
from common.analysis.report.films import collect_films
from common.analysis.report.run_collection import load_runs
from common.errors import UserError
from common.files import slug
from common.storage.grid_file import lost_file
from tests.helpers.fake_runs import comparison, write_grid, write_run


def reasons(runs):
    return {name.rsplit("/", 1)[-1]: f"{status}: {reason}" for name, status, reason in runs.left_out}


def test_numbers_of_a_logdir(tmp_path):
    logdir = write_run(tmp_path / "run", "v2", "gym_Pendulum-v1", 4, frames=1000, length=100, rate=0.2, wall=0.5)
    (run,) = load_runs([logdir]).runs
    assert (run.variant, run.task, run.seed, run.name) == ("v2", "gym_Pendulum-v1", 4, "v2, seed 4")
    assert run.scores["train"][0].tolist() == list(range(100, 1001, 100))
    batch = run.config["batch_size"] * run.config["batch_length"]
    assert {key: values[-1] for key, values in run.counts.items()} == {
        "frames": 1000, "updates": 200, "replayed": 200 * batch, "wall": 500
    }  # fmt: skip
    assert all(values[0] == 0 for values in run.counts.values())


def test_counts_extend_to_the_last_save(tmp_path):
    logdir = write_run(tmp_path / "run", frames=1000)
    info = json.loads((logdir / "run.json").read_text())
    for frames, expected in ((1500, 1500), (900, 1000)):
        (logdir / "run.json").write_text(json.dumps(info | {"frames": frames, "updates": 120, "wall": 30.0}))
        assert load_runs([logdir]).runs[0].counts["frames"][-1] == expected


def test_a_run_without_an_episode_before_its_last_count_is_left_out(tmp_path):
    """This happens after a kill during the first checkpoint."""
    early = write_run(tmp_path / "early", frames=1000, length=500)
    lines = (early / "metrics.jsonl").read_text().splitlines(True)
    (early / "metrics.jsonl").write_text(lines[0])
    (early / "run.json").unlink()
    runs = load_runs([early, write_run(tmp_path / "whole", seed=1)])
    assert [run.seed for run in runs.runs] == [1]
    assert reasons(runs) == {"early": f"unreadable: {early} has no finished training episode yet."}


def test_paths_may_be_grids_logdirs_and_folders_of_them(tmp_path):
    comparison(tmp_path / "all/grid", seeds=1)
    write_run(tmp_path / "all/deep/er/run", "v2", "gym_CartPole-v1")
    write_run(tmp_path / "single", "v3", "gym_CartPole-v1")
    runs = load_runs([tmp_path / "all", tmp_path / "single", tmp_path / "all/grid/runs/v1/dmc_walker_walk/0"])
    assert len(runs.runs) == 9 + 1 + 1  # the last path is also in the grid
    assert not runs.left_out
    assert (runs.variants, runs.grid) == (["v1", "v2", "v3"], {})


def test_a_grid_names_and_orders_its_variants(tmp_path):
    jobs = [("zeta", "dmc_walker_walk", 0, {}), ("alpha", "dmc_walker_walk", 0, {"advantage__use": "Unscaled"})]
    runs = load_runs([write_grid(tmp_path, "ablate", jobs, baseline="zeta")])
    assert (runs.variants, runs.grid["baseline"]) == (["zeta", "alpha"], "zeta")


def test_a_run_that_was_started_again_names_the_machines_that_lost_it(tmp_path):
    jobs = [("v1", "dmc_walker_walk", seed, {}) for seed in range(2)]
    runs = load_runs([write_grid(tmp_path, "compare", jobs)])
    lost_file(runs.runs[1].logdir).write_text("node7\nnode8\n")
    note = run_tables.runs(analyse(runs)).note
    again = "v1 on dmc_walker_walk, seed 1 was started again after a worker was lost (machine: node7, node8)."
    assert note.endswith(f"is the score. {again}")


def test_jobs_that_are_not_done_are_left_out_with_their_reason(tmp_path):
    comparison(tmp_path, seeds=1, failed=[("v3", "dmc_walker_walk", 7)])
    grid = json.loads((tmp_path / "grid.json").read_text())
    grid["jobs"][0]["status"], grid["jobs"][1]["status"] = "running", "waiting"
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    runs = load_runs([tmp_path])
    assert len(runs.runs) == 7
    left_out = sorted((status, reason.splitlines()[0]) for _, status, reason in runs.left_out)
    assert left_out[0] == ("failed", "Training diverged at frame 1,000: not finite: loss/dyn.")
    assert [status for status, _ in left_out] == ["failed", "running", "waiting"]
    assert len(load_runs([tmp_path], unfinished=True).runs) == 8


def write_scores(logdir, xs, ys):
    row = {"task": "dummy_point", "method": "v3", "seed": 0, "kind": "train", "xs": xs, "ys": ys}
    (logdir / "scores.jsonl").write_text(json.dumps(row) + "\n")


BROKEN = {
    "no scores": (lambda d: (d / "scores.jsonl").unlink(), "scores.jsonl: No such file"),
    "torn scores": (lambda d: (d / "scores.jsonl").write_text('{"kind": "train", "xs"\n'), "is not a score file"),
    "other scores": (lambda d: (d / "scores.jsonl").write_text('{"a": 1}\n'), "lacks task, method, xs or ys"),
    "uneven scores": (lambda d: write_scores(d, [1, 2], [1]), "not lists of the same length"),
    "odd scores": (lambda d: write_scores(d, [1], ["x"]), "not all numbers"),
    "infinite scores": (lambda d: write_scores(d, [1], [math.nan]), "no finished training episode"),
    "no episode": (lambda d: write_scores(d, [], []), "no finished training episode"),
    "no metrics": (lambda d: (d / "metrics.jsonl").unlink(), "has no metrics.jsonl"),
    "list of metrics": (lambda d: (d / "metrics.jsonl").write_text("[1]\n"), "not JSON objects"),
    "other metrics": (lambda d: (d / "metrics.jsonl").write_text('{"frames": 1}\n'), "without frames, updates or wall"),
    "binary metrics": (lambda d: (d / "metrics.jsonl").write_bytes(b"\xff\xfe\n"), "cannot be read"),
    "torn run": (lambda d: (d / "run.json").write_text("{"), "cannot be read"),
    "torn evaluation": (lambda d: (d / "eval.json").write_text("{"), "cannot be read"),
    "foreign config": (lambda d: (d / "config.yaml").write_text("a: 1\n"), "lacks algo"),
    "torn config": (lambda d: (d / "config.yaml").write_text("a: [\n"), "not valid YAML"),
    "empty config": (lambda d: (d / "config.yaml").write_text(""), "lacks algo"),
}


def test_broken_logdirs_are_left_out_with_their_reasons(tmp_path):
    good = write_run(tmp_path / "good", frames=1000)
    for name, (destroy, _) in BROKEN.items():
        destroy(shutil.copytree(good, tmp_path / name))
    runs = load_runs([tmp_path])
    assert [run.logdir.name for run in runs.runs] == ["good"]
    found = reasons(runs)
    assert set(found) == set(BROKEN)
    for name, (_, text) in BROKEN.items():
        assert text in found[name], (name, found[name])


def test_an_incomplete_last_line_is_ignored(tmp_path):
    logdir = write_run(tmp_path / "run", frames=1000)
    with (logdir / "metrics.jsonl").open("a") as file:
        file.write('{"frames": 2000, "upd')
    (run,) = load_runs([logdir]).runs
    assert run.counts["frames"][-1] == 1000


def test_foreign_and_missing_folders_and_grids_are_left_out(tmp_path):
    write_run(tmp_path / "good", frames=1000)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/notes.txt").write_text("x")
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/grid.json").write_text('{"jobs": [{"variant": "v1"}]}')
    runs = load_runs([tmp_path / name for name in ("good", "foreign", "missing", "grid")])
    assert len(runs.runs) == 1
    found = reasons(runs)
    assert found["foreign"].startswith("foreign: no grid.json or config.yaml")
    assert found["missing"] == "missing: there is no such folder"
    assert "is not a list of jobs" in found["grid"]


def test_no_readable_run_is_an_error_with_all_reasons(tmp_path):
    with pytest.raises(
        UserError, match=r"(?s)There is no run to report on\..*there is no such folder.*Give the folder"
    ):
        load_runs([tmp_path / "missing"])


def test_a_repeated_seed_counts_once(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, seed=1, frames=1000)
    write_run(tmp_path / "c", seed=2, frames=1000)
    runs = load_runs([tmp_path])
    assert sorted(run.seed for run in runs.runs) == [1, 2]
    assert reasons(runs)["b"] == f"repeated: same variant, task and seed as {tmp_path / 'a'}"


def test_variants_of_one_version_are_named_by_their_differing_keys(tmp_path):
    write_run(tmp_path / "a", frames=1000)
    write_run(tmp_path / "b", frames=1000, advantage__use="Unscaled")
    write_run(tmp_path / "c", "v2", frames=1000)
    assert load_runs([tmp_path]).variants == [
        "v2",
        "v3 (advantage.use=PercentileReturnNorm)",
        "v3 (advantage.use=Unscaled)",
    ]


def test_variant_names_are_numbered_if_the_shown_keys_are_equal(tmp_path):
    changes = {"discount": "0.9", "batch_size": "3", "batch_length": "7", "imagination__horizon": "5"}
    write_run(tmp_path / "a", frames=1000)
    write_run(tmp_path / "b", frames=1000, **changes)
    write_run(tmp_path / "c", frames=1000, **changes | {"imagination__horizon": "6"})
    first, second, third = [run.variant for run in load_runs([tmp_path]).runs]
    assert first.endswith("…)")
    assert first != second
    assert third == f"{second} #2"


def test_seed_length_and_task_are_not_part_of_the_variant(tmp_path):
    write_run(tmp_path / "a", seed=0, frames=1000)
    write_run(tmp_path / "b", seed=1, frames=2000)
    write_run(tmp_path / "c", task="gym_Pendulum-v1", frames=1000)
    assert load_runs([tmp_path]).variants == ["v3"]


def test_scores_are_arrays_of_floats(tmp_path):
    (run,) = load_runs([write_run(tmp_path / "run", frames=1000)]).runs
    assert all(part.dtype == np.float64 for kind in ("train", "eval") for part in run.scores[kind])


def test_the_rungs_of_a_ladder_have_names_for_people(tmp_path):
    names = ["v1", "data=v3", "kl+latent=v3", "v3 (heads)"]
    jobs = [(name, "dmc_walker_walk", 0, {"frames": 1000}) for name in names]
    runs = load_runs([write_grid(tmp_path, "ladder", jobs, failed=[("critic=v3", "dmc_walker_walk", 0)])])
    assert runs.variants == ["v1", "+ data (v3)", "+ kl + latent (v3)", "v3 (heads)"]
    assert runs.stored_name("+ kl + latent (v3)") == "kl+latent=v3"
    assert runs.named_in_grid[-1] == "+ critic (v3)"
    film = tmp_path / "films/dmc_walker_walk" / slug("data=v3") / "image_0_000001000.gif"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"GIF89a")
    assert [found.variant for found in collect_films(runs)[0]] == ["+ data (v3)"]
