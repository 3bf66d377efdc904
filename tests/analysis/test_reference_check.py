"""`reference --check`: verdicts on own runs, by the band of their own agent or of another."""

import pytest

from common.analysis.reference import band, curves
from tests.helpers.reference import logdir, score_file, seeds

WALKER = next(curve for curve in curves("walker_walk", "dmc_proprio") if curve.algo == "v3-2023")
LAST = WALKER.x[-1]
LOW, HIGH, RUNS = band(WALKER, LAST)


def test_runs_with_another_render_mode_are_not_compared(run, tmp_path):
    seeds(tmp_path / "ray", [500, 510], blocks=["dmc_vision"], env__render="ray")
    for words in (["--check", "ray"], ["--overlay", "ray", "--out", "x.png"]):
        code, out, err = run(*words)
        assert code == 2
        assert not out
        assert "Leaving out v3 on dmc_walker_walk." in err
        assert "env.render ray" in err
    seeds(tmp_path / "old", [500, 510], blocks=["dmc_vision"])
    for config in (tmp_path / "old").rglob("config.yaml"):
        config.write_text(config.read_text().replace("  render: full\n", ""))
    assert "v3 on dmc_walker_walk (dmc_vision)" in run("--check", "old")[1]
    seeds(tmp_path / "states", [500], env__render="ray")  # no effect on states
    assert "v3 on dmc_walker_walk (dmc_proprio)" in run("--check", "states", "--against", "v3-2023")[1]


@pytest.mark.parametrize(("scores", "word"), [
    ([HIGH + 10, HIGH + 12, HIGH + 14], "ABOVE"),
    ([LOW, HIGH, (LOW + HIGH) / 2], "INSIDE"),
    ([LOW - 10, LOW - 12, LOW - 14], "BELOW"),
])  # fmt: skip
def test_verdicts(run, tmp_path, scores, word):
    seeds(tmp_path / "runs", scores, algo="v3-2023")
    code, out, _ = run("--check", "runs")
    assert code == 0
    assert f"v3-2023 on dmc_walker_walk (dmc_proprio): {word} the published band of v3-2023 at 490,000 frames" in out
    assert f"{sum(scores) / 3:.4g} ±" in out
    assert "n = 3; training episodes" in out
    assert f"{LOW:.4g} to {HIGH:.4g}, n = {RUNS}: mean ± standard deviation over runs\n" in out
    assert "agent      dreamerv3_2023 (v3-2023)" in out
    assert "protocol   training episodes, sampled actions; action repeat 2" in out
    assert "source     danijar/dreamerv3 423291a, scores/data/dmcproprio_dreamerv3.json.gz" in out
    assert "where the published curve ends" in out
    assert "differs    nothing" in out
    assert "warning" not in out


def test_the_verdict_is_at_frames_that_all_runs_reached(run, tmp_path):
    points = {frame: 100.0 for frame in range(1000, 101_000, 1000)}
    logdir(tmp_path / "a/0", algo="v3-2023", train=points)
    logdir(tmp_path / "a/1", algo="v3-2023", seed=1, train={x: y for x, y in points.items() if x <= 65_000})
    out = run("--check", "a")[1]
    low, high, _ = band(WALKER, 60_000)
    assert f"{low:.4g} to {high:.4g}" in out
    assert "at 60,000 frames." in out
    assert "n = 2 is too few" in out


def test_differing_settings_are_listed(run, tmp_path):
    flags = {"env__repeat": "1", "schedule__ratio": "64"}
    seeds(tmp_path / "runs", [500], algo="v3-2023", blocks=["dmc_proprio", "cpu"], **flags)
    out = run("--check", "runs")[1]
    for words in ("env.repeat 2 -> 1", "schedule.ratio 512.0 -> 64.0", "batch_size 16 -> 8", "and ", " more"):
        assert words in out


def test_repeated_seeds_give_a_warning(run, tmp_path):
    for name in "abc":
        logdir(tmp_path / "runs" / name, algo="v3-2023", train={10_000: 500.0})
    assert "have the same seed" in run("--check", "runs")[1]


def test_scores_are_of_the_published_kind_of_episodes(run, tmp_path):
    settings = {"algo": "v1", "blocks": ["dmc_vision"], "task": "dmc_cup_catch"}
    logdir(tmp_path / "both", train={100_000: 900.0}, evals={100_000: 1.0}, **settings)
    logdir(tmp_path / "train", seed=1, train={100_000: 900.0}, env__camera="0", **settings)
    out = run("--check", "both")[1]
    assert "evaluation episodes, mode of the policy" in out
    assert "1 ± –, n = 1" in out
    assert "The published scores are of evaluation episodes; these runs have none" in run("--check", "train")[1]
    assert run("--check", "both", "train")[1].count(" the published band ") == 2  # another camera makes another set


def test_curves_of_a_score_file_replace_published_ones(run, tmp_path):
    rows = [("dmc_walker_walk", "dreamerv3", seed, [100_000, 500_000], [5, 5 + seed]) for seed in range(2)]
    score_file(tmp_path / "dmc_proprio-mine.json.gz", rows)
    file = ["--file", "dmc_proprio-mine.json.gz"]
    seeds(tmp_path / "runs", [5.5])
    code, out, _ = run("--check", "runs", *file)
    assert code == 0
    assert "INSIDE the published band of v3 at 500,000 frames" in out
    assert "source     dmc_proprio-mine.json.gz" in out
    assert "dmc_proprio-mine.json.gz" in run("--task", "walker_walk", *file)[1]
    assert "dreamerv3 on dmc_walker_walk (dmc_proprio)" in run(*file)[1]
    assert run("--overlay", "runs", *file, "--out", "x.png")[0] == 0


def test_a_task_of_a_file_only(run, tmp_path):
    score_file(tmp_path / "mine.json", [("my_env", "v3", seed, [1e5, 1e6], [1, 11]) for seed in range(2)])
    out = run("--task", "my_env", "--file", "mine.json")[1]
    assert "my_env in my: from the file" in out
    assert "mine.json" in out
    seeds(tmp_path / "runs", [11.0], task="my_env", blocks=["gym"])
    assert "of v3 at 500,000 frames" in run("--check", "runs", "--file", "mine.json")[1]


def test_runs_without_a_published_curve_are_reported_after_the_others(run, tmp_path):
    seeds(tmp_path / "runs/good", [500], algo="v3-2023")
    logdir(tmp_path / "runs/other", algo="v2", train={10_000: 1.0})
    logdir(tmp_path / "runs/gym", task="gym_CartPole-v1", blocks=["gym"], train={10_000: 1.0})
    code, out, _ = run("--check", "runs")
    assert code == 0
    assert out.count(" the published band ") == 1
    assert "no published curve over several runs of v2 on dmc_walker_walk (dmc_proprio)" in out
    assert "of v3 on gym_CartPole-v1." in out
    code, _, err = run("--overlay", "runs", "--out", "x.png")
    assert code == 0
    assert "no curve is published on gym_CartPole-v1" in err


def test_relative_and_absolute_logdirs_may_be_mixed(run, tmp_path):
    seeds(tmp_path / "one", [900.0, 900.0], algo="v3-2023")
    seeds(tmp_path / "two", [900.0], algo="v3-2023", discount=0.9)
    code, out, _ = run("--check", "one/0", tmp_path / "one/1", "two/0")
    assert code == 0
    assert f"v3-2023 ({tmp_path / 'one'}) on dmc_walker_walk" in out
    assert "v3-2023 (two/0) on dmc_walker_walk" in out


def test_another_agents_band_needs_a_flag(run, tmp_path):
    """No curve of the Nature agent is published on vectors: its runs are compared with those of 2023 on demand."""
    seeds(tmp_path / "runs", [LOW - 10, LOW - 12, LOW - 14])
    assert run("--check", "runs")[0] == 2
    for name in ("v3-2023", "dreamerv3_2023"):
        code, out, _ = run("--check", "runs", "--against", name)
        assert code == 0
        for words in ("v3 on dmc_walker_walk (dmc_proprio): BELOW the published band of v3-2023",
                      "The band is of another agent: a run of v3 outside of it does not indicate an error",
                      "differs    nothing (setting of v3 for this benchmark -> runs)",
                      "see also   dreamerv3_rerun_e3f0224 785.5 ± 90.3 at 500,000 frames, n = 3",
                      "others     --against d4pg, "):  # fmt: skip
            assert words in out
    out = run("--check", "runs", "--against", "tdmpc2")[1]  # on another benchmark of the same task
    assert "v3 on dmc_walker_walk (dmc_states)" in out
    assert "agent      tdmpc2, not an agent of this repository" in out
    assert "The band is of 3 runs: it is only a hint" in out
    assert "differs    unknown" in out


def test_each_v3_has_its_own_band(run, tmp_path):
    for algo in ("v3", "v3-2023"):
        seeds(tmp_path / algo, [500], algo=algo, blocks=["dmc_vision"])
    out = run("--check", "v3", "v3-2023")[1]
    assert "agent      dreamerv3 (v3)" in out
    assert "agent      dreamerv3_2023 (v3-2023)" in out
    assert "another agent" not in out


def test_the_benchmark_of_runs_can_be_chosen(run, tmp_path):
    seeds(tmp_path / "runs", [500], algo="v3-2023")
    out = run("--check", "runs", "--benchmark", "dmc_states", "--against", "dreamerv3_2023_rerun")[1]
    assert "(dmc_states): BELOW the published band of dreamerv3_2023_rerun at 500,000 frames" in out
