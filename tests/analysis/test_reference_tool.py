"""`python dreamer.py reference`: tables, error messages."""

import json

import pytest

import dreamer as program
from common.analysis.reference import curves
from tests.helpers.command_line import expect_error, run_in_new_process, snapshot
from tests.helpers.reference import logdir, seeds


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
    assert ["human", "302.8", "–", "–"] in rows
    assert ["burchim", "(v3-2023)", "325", "400,000", "1"] in rows


def test_table_and_aggregates_of_a_benchmark(run):
    rows = [line.split() for line in run("--benchmark", "dmc_proprio")[1].splitlines()]
    assert ["dreamerv3_2023", "18", "753.5", "870.5", "–", "–"] in rows
    assert sum(row[:1] == ["dmc_walker_walk"] for row in rows) == 1
    assert "over its tasks" not in run("--benchmark", "procgen")[1]


def test_crafter_has_scores_and_rates_of_success(run):
    rows = [line.split() for line in run("--benchmark", "crafter")[1].splitlines()]
    assert ["dreamerv3_2023", "(v3-2023)", "14.5", "±", "1.6", "1,000,000", "–"] in rows
    assert ["dreamerv3_2023", "(v3-2023)", "11.7", "±", "1.9", "1,000,000", "–"] in rows
    assert ["place_stone", "29", "1.7", "0.0374", "0.263", "0.36", "0.0101", "90"] in rows
    assert "number of runs not stated, up to 990,000 frames" in " ".join(word for row in rows for word in row)


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
    "--check nature": [
        "over several runs of v3 on",
        "rerun_2411f7d 550.5 ± 53.7 at 500,000 frames, n = 5",
        "add --against v3-2023, d4pg",
    ],
    "--check nature --against drqv2": "over several runs of drqv2",
    "--check meta": "no published curve over several runs of v3 on metaworld_reach-v3.",
    "--overlay meta --out x.png": "No curve is published on the tasks",
    "--against v3": "--against chooses the band for --check",
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
    "nonsense_task": "no published scores on nonsense_task",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs that cannot be compared, for various reasons."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "empty").mkdir()
    logdir(folder / "short", algo="v3-2023", train={5000: 1.0})
    logdir(folder / "fresh", algo="v3-2023")
    logdir(folder / "gym", task="gym_CartPole-v1", blocks=["gym"], train={10_000: 1.0})
    logdir(folder / "nature", task="dmc_cheetah_run", train={500_000: 1.0})
    logdir(folder / "meta", task="metaworld_reach-v3", blocks=["metaworld"], train={500_000: 1.0})
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
    seeds(tmp_path / "runs", [500, 600, 700], algo="v3-2023")
    done = run_in_new_process("reference", "--check", "runs", "--overlay", "runs", "--out", "runs.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Written: runs.png" in done.stdout
    assert "BELOW the published band of v3-2023" in done.stdout
    (tmp_path / "foreign.json").write_text(json.dumps({"a": 1}))
    expect_error(
        "reference", "--file", "foreign.json", cwd=tmp_path, says=["foreign.json is not a score file", "Expected"]
    )
