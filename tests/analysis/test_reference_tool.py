"""`python dreamer.py reference`: tables, figures, verdicts, error messages."""

import json

import pytest
from matplotlib.figure import Figure

import dreamer as program
from common.analysis.reference import band, curves, figure
from tests.helpers.command_line import dreamer, refused, snapshot
from tests.helpers.reference import logdir, score_file, seeds

WALKER = next(curve for curve in curves("walker_walk", "dmc_proprio") if curve.algo == "v3")
LAST = WALKER.x[-1]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line in this process, in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = program.main(["reference", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_without_flags_it_lists_benchmarks_methods_and_tasks(run):
    code, out, _ = run()
    assert code == 0
    words = "dmc_vision: DeepMind Control from pixels, 21 tasks|dreamerv2 (v2)|muzero|d4pg, planet, slac|atari100k_pong"
    assert all(word in out for word in words.split("|"))


def test_tables_of_a_task(run):
    code, out, _ = run("--task", "ball_in_cup_catch")
    assert code == 0
    for words in ("dmc_cup_catch in dmc_vision", "dmc_cup_catch in dmc_proprio", "100,000", "1,000,000", "planet",
                  "dreamerv1 (v1)", "danijar/dreamer, scores/dreamer.json", "evaluation episodes", "sampled actions",
                  "action repeat 2", "5 runs"):  # fmt: skip
        assert words in out
    vision = next(curve for curve in curves("cup_catch", "dmc_vision") if curve.algo == "v3")
    assert f"{vision.mean[4]:.4g} ± {vision.std[4]:.3g}" in out  # the fifth bin ends at frame 100,000
    assert "dmc_proprio" not in run("--task", "ball_in_cup_catch", "--benchmark", "dmc_vision")[1]


def test_tables_of_a_game_have_constants(run):
    out = run("--task", "atari100k_jamesbond")[1]
    rows = [line.split() for line in out.splitlines()]
    assert ["human", "302.8", "–"] in rows
    assert ["burchim", "325", "400,000"] in rows


def test_table_and_aggregates_of_a_benchmark(run):
    rows = [line.split() for line in run("--benchmark", "dmc_proprio")[1].splitlines()]
    assert ["dreamerv3", "18", "753.5", "870.5", "–", "–"] in rows
    assert sum(row[:1] == ["dmc_walker_walk"] for row in rows) == 1
    assert "over its tasks" not in run("--benchmark", "procgen")[1]


@pytest.mark.parametrize(("ending", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figure_of_a_task(run, tmp_path, ending, head):
    code, out, _ = run("--task", "atari_pong", "--out", f"pong.{ending}")
    assert code == 0
    assert f"Written: pong.{ending}" in out
    assert (tmp_path / f"pong.{ending}").read_bytes().startswith(head)


def test_figure_with_own_runs(run, tmp_path):
    seeds(tmp_path / "logs/proprio", [100, 300])
    seeds(tmp_path / "logs/pixels", [200], blocks=["dmc_vision"])
    code, out, _ = run("--overlay", "logs", "--out", "both.svg")
    assert code == 0
    assert "Written: both.svg" in out
    text = (tmp_path / "both.svg").read_text()
    for words in ("dmc_walker_walk in dmc_proprio", "dmc_walker_walk in dmc_vision", "own v3 (n = 2, train)",
                  "own v3 (n = 1, train)", "d4pg (n = 10)"):  # fmt: skip
        assert f"<!-- {words} -->" in text
    assert run("--overlay", "logs", "--task", "cup_catch", "--out", "x.png")[0] == 2


def test_axes_end_at_the_given_frames_or_at_twice_those_of_the_runs(run, tmp_path, monkeypatch):
    ends = []
    monkeypatch.setattr("common.analysis.reference.figure.draw", lambda panels, path, frames: ends.append(frames))
    logdir(tmp_path / "run", train={5000: 1.0, 20_000: 2.0}, evals={30_000: 2.0})
    run("--overlay", "run", "--out", "a.png")
    run("--overlay", "run", "--out", "a.png", "--frames", "100000")
    run("--task", "dmc_walker_walk", "--out", "a.png")
    assert ends == [60_000, 100_000, 0]


def test_curves_end_with_the_axes():
    axes, found = Figure().subplots(), curves("dmc_walker_walk", "dmc_vision")
    figure.panel(axes, found, [], 50_000)
    drawn = {line.get_label().split(" ")[0]: line.get_xdata() for line in axes.lines}
    assert list(drawn) == [curve.method for curve in found if curve.x[0] < 50_000] != [curve.method for curve in found]
    assert all(x[0] < 50_000 and len(x[x > 50_000]) <= 1 for x in drawn.values())
    figure.panel(axes, found, [], 0)
    assert len(axes.lines) == len(drawn) + len(found)


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
    assert "v3 on dmc_walker_walk (dmc_proprio)" in run("--check", "states")[1]


LOW, HIGH, RUNS = band(WALKER, LAST)


@pytest.mark.parametrize(("scores", "word"), [
    ([HIGH + 10, HIGH + 12, HIGH + 14], "ABOVE"),
    ([LOW, HIGH, (LOW + HIGH) / 2], "INSIDE"),
    ([LOW - 10, LOW - 12, LOW - 14], "BELOW"),
])  # fmt: skip
def test_verdicts(run, tmp_path, scores, word):
    seeds(tmp_path / "runs", scores)
    code, out, _ = run("--check", "runs")
    assert code == 0
    assert f"v3 on dmc_walker_walk (dmc_proprio): {word} the published band at 490,000 frames" in out
    assert f"{sum(scores) / 3:.4g} ±" in out
    assert "n = 3; training episodes" in out
    assert f"{LOW:.4g} to {HIGH:.4g}, n = {RUNS}: mean ± standard deviation over runs; training episodes" in out
    assert "where the published curve ends" in out
    assert "differs    nothing" in out
    assert "warning" not in out


def test_the_verdict_is_at_frames_that_all_runs_reached(run, tmp_path):
    points = {frame: 100.0 for frame in range(1000, 101_000, 1000)}
    logdir(tmp_path / "a/0", train=points)
    logdir(tmp_path / "a/1", seed=1, train={x: y for x, y in points.items() if x <= 65_000})
    out = run("--check", "a")[1]
    low, high, _ = band(WALKER, 60_000)
    assert f"{low:.4g} to {high:.4g}" in out
    assert "at 60,000 frames." in out
    assert "n = 2 is too few" in out


def test_differing_settings_are_listed(run, tmp_path):
    seeds(tmp_path / "runs", [500], blocks=["dmc_proprio", "cpu"], env__repeat="1", schedule__ratio="64")
    out = run("--check", "runs")[1]
    for words in ("env.repeat 2 -> 1", "schedule.ratio 512.0 -> 64.0", "batch_size 16 -> 8", "and ", " more"):
        assert words in out


def test_repeated_seeds_give_a_warning(run, tmp_path):
    for name in "abc":
        logdir(tmp_path / "runs" / name, train={10_000: 500.0})
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
    assert "INSIDE the published band at 500,000 frames" in out
    assert "source     dmc_proprio-mine.json.gz" in out
    assert "dmc_proprio-mine.json.gz" in run("--task", "walker_walk", *file)[1]
    assert "dreamerv3 on dmc_walker_walk (dmc_proprio)" in run(*file)[1]
    assert run("--overlay", "runs", *file, "--out", "x.png")[0] == 0


def test_a_task_of_a_file_only(run, tmp_path):
    score_file(tmp_path / "mine.json", [("crafter_reward", "v3", seed, [1e5, 1e6], [1, 11]) for seed in range(2)])
    out = run("--task", "crafter_reward", "--file", "mine.json")[1]
    assert "crafter_reward in crafter: from the file" in out
    assert "mine.json" in out


def test_runs_without_a_published_curve_are_reported_after_the_others(run, tmp_path):
    seeds(tmp_path / "runs/good", [500])
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
    seeds(tmp_path / "one", [900.0, 900.0])
    seeds(tmp_path / "two", [900.0], discount=0.9)
    code, out, _ = run("--check", "one/0", tmp_path / "one/1", "two/0")
    assert code == 0
    assert f"v3 ({tmp_path / 'one'}) on dmc_walker_walk" in out
    assert "v3 (two/0) on dmc_walker_walk" in out


REFUSED = {
    "--task dmc_walker_wlak": ["no published scores on dmc_walker_wlak", "dmc_walker_walk"],
    "--task gym_CartPole-v1": "no published scores on gym_CartPole-v1",
    "--task quadruped_run --benchmark dmc_proprio": "in dmc_proprio",
    "--benchmark dmc_pixels": ["Unknown benchmark", "dmc_proprio"],
    "--task atari_air_raid --out x.png": "no curve to draw",
    "--task walker_walk --out x.gif": "--out must end in .png, .svg, .pdf",
    "--task walker_walk --out short/config.yaml/x.png": "Cannot write to short/config.yaml",
    "--out x.png": "--task TASK or --overlay LOGDIR",
    "--overlay short": "--out FILE.png",
    "--overlay none --out x.png": "There is no folder none",
    "--overlay empty --out x.png": "empty holds no run",
    "--overlay fresh --out x.png": "no score yet",
    "--overlay gym --out x.png": "No curve is published on the tasks",
    "--check short": ["scores up to frame 5,000", "starts at 10,000", "Train longer"],
    "--check fresh": "scores up to frame 0",
    "--check gym": "no published curve over several runs of v3 on gym_CartPole-v1",
    "--check preprint": ["over several runs of v3-2023", "single runs reached 961.7 at 1,000,000 frames"],
    "--check damaged": "is not a score file",
    "--check partial": "is not complete",
    "--check short --task cup_catch": "No run in short has this --task",
    "--check short --task walker_walk --benchmark dmc_vision": "No run in short",
    "--check": "--check needs at least one value",
    "--file none.json": "Cannot read none.json",
    "--file short/config.yaml": "is not a score file",
    "--frames -1": "--frames must not be negative",
    "--algo v3": "not --algo",
    "--configs atari": "not --configs",
    "--features retnorm=v2": "not --features",
    "--discount 0.9": "not --discount",
    "walker_walk": "not walker_walk",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs that cannot be compared, for various reasons."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "empty").mkdir()
    logdir(folder / "short", train={5000: 1.0})
    logdir(folder / "fresh")
    logdir(folder / "gym", task="gym_CartPole-v1", blocks=["gym"], train={10_000: 1.0})
    logdir(folder / "preprint", algo="v3-2023", blocks=["dmc_vision"], train={1_000_000: 1.0})
    (logdir(folder / "damaged") / "scores.jsonl").write_text('{"task": "dmc_wal')
    (logdir(folder / "partial") / "config.yaml").write_text("algo: v3\nsteps: 1\nrun: {}\n")
    return folder


@pytest.mark.parametrize("line", REFUSED)
def test_mistakes_give_one_message_and_write_nothing(line, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    assert program.main(["reference", *line.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("Error: ") == 1
    for text in [REFUSED[line]] if isinstance(REFUSED[line], str) else REFUSED[line]:
        assert text in printed.err
    assert snapshot(folder) == before


def test_in_a_separate_process(tmp_path):
    seeds(tmp_path / "runs", [500, 600, 700])
    done = dreamer("reference", "--check", "runs", "--overlay", "runs", "--out", "runs.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Written: runs.png" in done.stdout
    assert "BELOW the published band" in done.stdout
    (tmp_path / "foreign.json").write_text(json.dumps({"a": 1}))
    refused("reference", "--file", "foreign.json", cwd=tmp_path, says=["foreign.json is not a score file", "Expected"])
