"""`sweep`: spaces, values of runs, the checks of the command line, and its report. No Optuna is needed here."""

import json
import sys

import pytest

import dreamer
from common.analysis.search import write_search_report
from common.errors import UserError
from common.experiments.search import study as studies
from common.experiments.search.measure import common_rungs, final_value, find_direction, metric_name, rung_values
from common.experiments.search.space import Dimension, check_space, read_space, with_values
from common.experiments.variant import Setting
from tests.helpers.command_line import expect_error, run_in_this_process
from tests.helpers.variants import request

SWEEP = ["sweep", "--algo", "v3", "--configs", "debug", "--task", "dummy_point", "--space", "space.yaml"]
SPACE = """
optim.lr.model: {low: 1e-5, high: 1e-3, log: true}
optim: {lr: {actor: {low: 1e-5, high: 1e-4}}}
batch_size: {low: 2, high: 8, step: 2}
kl.use: {choices: [PlainKL, BalancedKL]}
schedule.ratio: {low: 1, high: 8, int: true}
"""


def space(tmp_path, text):
    (tmp_path / "space.yaml").write_text(text)
    return read_space(tmp_path / "space.yaml", dreamer.resolve("v3"))


def test_a_space_has_ranges_choices_and_groups(tmp_path):
    assert space(tmp_path, SPACE) == [
        Dimension("optim.lr.model", (), 1e-5, 1e-3, log=True),
        Dimension("optim.lr.actor", (), 1e-5, 1e-4),
        Dimension("batch_size", (), 2, 8, step=2, whole=True),
        Dimension("kl.use", ("PlainKL", "BalancedKL")),
        Dimension("schedule.ratio", (), 1, 8, whole=True),
    ]


def test_values_become_flags_that_resolve():
    given = request("v3", flags={"task": "dummy_point"})
    found = with_values(
        given, {"configs": "size1m", "batch_size": 4, "kl.free": 0.1234567890123, "sampler.online": False}
    )
    config = found.config("v3")
    assert (config["batch_size"], config["kl"]["free"], config["sampler"]["online"]) == (4, 0.1234567890123, False)
    assert config["rssm"]["deter"] == 512
    assert found.train_arguments()[2:5] == ["--configs", "debug", "size1m"]


@pytest.mark.parametrize(("text", "says"), [
    ("kl.fre: {low: 1, high: 2}", "Unknown key 'kl.fre'. Did you mean kl.free"),
    ("kl.free: {low: 2, high: 1}", "kl.free needs numbers with low < high, got low 2 and high 1."),
    ("kl.free: {low: -1, high: 1}", "kl.free=-1.0 does not work with v3. kl.free must be at least 0"),
    ("kl.free: {low: 0, high: 1, log: true}", "kl.free: a logarithmic scale needs low above 0, got 0."),
    ("kl.free: {lo: 0, high: 1}", "kl.free needs {low: 0.1, high: 3.0} or {choices: [8, 16]}, not lo."),
    ("kl.free: 3", "kl.free needs {low: 0.1"),
    ("kl.free: {choices: [1]}", "kl.free: choices is a list of two or more different values"),
    ("batch_size: {low: 1.5, high: 8}", "batch_size takes whole numbers, got low 1.5, high 8."),
    ("batch_size: {choices: [8, many]}", "batch_size=many does not work with v3. batch_size expects int"),
    ("kl.use: {low: 1, high: 2}", "kl.use is 'BalancedKL': it takes {choices: [...]}."),
    ("kl.use: {choices: [PlainKL, Foo]}", "kl.use=Foo does not work with v3. kl.use must be one of"),
    ("configs: {choices: [size1m, size13m]}", "configs=size13m does not work with v3. Unknown config block"),
    ("conv.depth: {low: 2, high: 4}", "conv.depth=2 and conv.depth=4 have the same effect on dummy_point."),
    ("seed: {low: 0, high: 5}", "seed cannot be searched: it is the same for all trials. Use --seeds"),
    ("steps: {low: 10, high: 50}", "steps cannot be searched"),
    ("run.logger: {choices: [csv, wandb]}", "run.logger cannot be searched"),
    ("- a", "space.yaml is not a space."),
    ("", "space.yaml is not a space."),
], ids=lambda text: text[:40])  # fmt: skip
def test_a_wrong_space_is_refused(tmp_path, text, says):
    given = request("v3", flags={"task": "dummy_point"})
    with pytest.raises(UserError) as error:
        check_space(given, space(tmp_path, text), Setting({"dummy_point": 0}))
    assert says in str(error.value)


def test_the_space_is_checked_before_anything_runs(tmp_path):
    (tmp_path / "space.yaml").write_text("kl.use: {choices: [PlainKL, Foo]}")
    expect_error(*SWEEP, cwd=tmp_path, says="kl.use=Foo does not work with v3.")
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize(("words", "says"), [
    (["--space", ""], "sweep needs --space FILE"),
    (["--space", "none.yaml"], "none.yaml cannot be read"),
    (["--kl.free", "1"], "kl.free is in --space and in --kl.free. Omit one of them."),
    (["--trials", "0"], "--trials must be at least 1, got 0."),
    (["--seed", "3"], "--seed does not apply to sweep. Use --seeds and --first-seed."),
    (["--launcher", "slurm"], "sweep runs on this machine only, got --launcher slurm. Use --launcher local."),
    (["--direction", "up"], "--direction must be one of auto, maximize, minimize"),
    (["--warmup", "3"], "--warmup is a share of a run, from 0 to 1, got 3.0."),
], ids=" ".join)  # fmt: skip
def test_wrong_flags_are_refused(tmp_path, words, says):
    (tmp_path / "space.yaml").write_text("kl.free: {low: 0, high: 1}")
    expect_error(*SWEEP, *words, cwd=tmp_path, says=says)
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


def test_a_sweep_without_optuna_says_what_to_type(tmp_path, monkeypatch):
    (tmp_path / "space.yaml").write_text("kl.free: {low: 0, high: 1}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    expect_error(*SWEEP, "--logdir", "here", cwd=tmp_path, says="sweep needs another package. Type: pip install optuna")
    assert not (tmp_path / "here").exists()


def test_the_plan_lists_the_space_and_a_command(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    text = run_in_this_process(*SWEEP, "--dry-run", "--steps", "400", "--jobs", "1", cwd=tmp_path).stdout
    assert "50 trials with 1 seed(s) of 400 frames each, 1 runs at a time, in logs/sweep/space" in text
    assert "maximize episode/score" in text
    assert "  optim.lr.model: 1e-05 to 0.001, on a logarithmic scale\n" in text
    assert "  batch_size: 2 to 8, whole numbers in steps of 2\n" in text
    assert "--optim.lr.model 1e-05 " in text
    assert "--run.log_every 20" in text


def write_metrics(folder, rows):
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text + '{"frames": 9')  # a line that is being written
    return folder


def test_values_are_means_over_complete_tenths(tmp_path):
    rows = [{"frames": frames, "x": float(frames)} for frames in (5, 10, 15, 20, 35)]
    assert rung_values(write_metrics(tmp_path, rows), "x", 100) == {1: 7.5, 2: 17.5}
    rows += [{"frames": 60}, {"frames": 95, "x": 1.0}, {"frames": 99, "x": 3.0}]
    write_metrics(tmp_path, rows)
    assert rung_values(tmp_path, "x", 100) == {1: 7.5, 2: 17.5, 4: 35.0}
    assert final_value(tmp_path, "x", 100) == 2.0  # the last line is a little before the end
    assert common_rungs([{1: 2.0, 2: 4.0}, {1: 4.0, 3: 5.0}]) == {1: 3.0}
    with pytest.raises(UserError, match=r"It has no y in metrics.jsonl"):
        final_value(tmp_path, "y", 100)
    assert rung_values(tmp_path / "none", "x", 100) == {}


def test_the_score_is_that_of_evaluations_where_there_are_enough():
    config = dreamer.resolve("v3", flags={"steps": 10_000, "run.eval_every": 500})
    assert metric_name("score", config) == "eval/score"
    assert metric_name("score", {**config, "steps": 2000}) == "episode/score"
    assert metric_name("loss/dyn", config) == "loss/dyn"
    assert [find_direction("auto", name) for name in ("loss/dyn", "eval/score")] == ["minimize", "maximize"]
    assert find_direction("minimize", "eval/score") == "minimize"


def trial(number, state, value, params, rungs=(), error=""):
    return {"number": number, "state": state, "value": value, "params": params, "rungs": dict(rungs), "error": error}


def test_the_report_shows_trials_best_values_and_importances(tmp_path):
    rows = [
        trial(0, "done", 12.5, {"optim.lr.model": 1e-4, "kl.use": "PlainKL"}, {1: 3.0, 10: 12.5}),
        trial(1, "pruned", 2.0, {"optim.lr.model": 3e-4, "kl.use": "BalancedKL"}, {3: 2.0}),
        trial(2, "done", 40.0, {"optim.lr.model": 5e-4, "kl.use": "BalancedKL"}, {10: 40.0}),
        trial(3, "failed", None, {"optim.lr.model": 9e-4, "kl.use": "PlainKL"}, error="the motor is <on> fire"),
    ]
    report = {
        "title": "Sweep: v3 on dummy_point", "metric": "episode/score", "direction": "maximize",
        "space": {"optim.lr.model": "1e-05 to 0.001", "kl.use": "PlainKL, BalancedKL"},
        "logarithmic": ["optim.lr.model"], "seeds": 2, "steps": 100, "trials": rows,
        "importances": {"optim.lr.model": 0.75, "kl.use": 0.25},
        "best": {**rows[2], "command": "python dreamer.py train --optim.lr.model 5e-4"},
    }  # fmt: skip
    write_search_report(report, tmp_path)
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert "4 trials (2 done, 1 pruned, 1 failed) of 100 frames with 2 seeds each." in text
    assert "| optim.lr.model | 0.0005 | 1e-05 to 0.001 |" in text
    assert "| 1 | pruned | 0.0003 | BalancedKL | 2 | 30 % |" in text
    assert [line.split(" | ")[0] for line in text.split("## Trials")[1].splitlines() if line.startswith("| ")][2:] == [
        "| 2", "| 0", "| 1", "| 3",
    ]  # fmt: skip
    assert "python dreamer.py train --optim.lr.model 5e-4" in page
    assert "the motor is &lt;on&gt; fire" in page
    assert page.count("<svg") == 3
    assert (tmp_path / "report_figures/key_optim.lr.model.svg").exists()
    assert (tmp_path / "report_tables/trials.csv").read_text().startswith("number,state,value,optim.lr.model,kl.use\n")
    report["importances"] = {}
    write_search_report(report, tmp_path)
    assert "No importances" in (tmp_path / "report.md").read_text()


def test_the_helps_say_which_command_is_which(tmp_path):
    assert "given values: compare --sweep" in run_in_this_process("sweep", "--help", cwd=tmp_path).stdout
    assert "search: command sweep" in run_in_this_process("compare", "--help", cwd=tmp_path).stdout
    assert set(studies.OPTIONS) == {"startup", "prune", "warmup", "sampler-seed"}
