"""Command lines of `compare` and `bench`: planned jobs, lists, runs and errors. Training is faked."""

import json
import shlex
import sys
import types

import pytest

import dreamer
from common.analysis.report.run_collection import LeftOut, Runs
from common.errors import UserError
from common.experiments import suites
from common.experiments.grid import experiment, results
from tests.helpers.grid_fakes import FAKE, rows, statuses

CLI = FAKE.parent
COMPARE = ["compare", "--algos", "v1,v3", "--configs", "debug", "--tasks", "dummy_point", "--steps", "1e3"]
TINY = ["bench", "--suite", "tiny", "--algo", "v2"]


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """Fake training, films and report; return the calls of the report, with the statuses in grid.json."""
    calls, films = [], types.ModuleType("common.experiments.film")
    films.write_films = lambda folder: None
    monkeypatch.setitem(sys.modules, "common.experiments.film", films)
    module = types.ModuleType("common.analysis.report")
    module.write_report = lambda paths, out: calls.append((paths, out, statuses(out))) or finished_runs(out)
    monkeypatch.setitem(sys.modules, "common.analysis.report", module)
    monkeypatch.setattr("common.experiments.grid.process.ROOT", FAKE)
    monkeypatch.setattr("common.experiments.grid.runner.POLL_SECONDS", 0.02)
    monkeypatch.setattr(experiment, "available_cores", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.syspath_prepend(CLI)
    monkeypatch.chdir(tmp_path)
    return calls


def finished_runs(folder):
    """Return the runs of a grid as a report does; runs of other statuses are left out."""
    done = [name for name, status in statuses(folder).items() if status == "done"]
    out = [
        LeftOut(name, status, "it has not finished") for name, status in statuses(folder).items() if name not in done
    ]
    return Runs(done, {}, out)


def listed(capsys, *words):
    """Return the command lines that a dry run prints, as lists of arguments of `train`."""
    assert dreamer.main([*words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [shlex.split(line)[3:] for line in lines if line.startswith("python dreamer.py train ")]


def config(words):
    """Return the config of a training command line."""
    _, _, algo, blocks, borrowed, flags = dreamer.parse(["train", *words])
    return dreamer.resolve(algo, blocks, flags, borrowed)


def test_all_jobs_run_and_the_report_is_written(tmp_path, reports, capsys):
    assert dreamer.main([*COMPARE, "--seeds", "2", "--logdir", "grid"]) == 0
    stored = json.loads((tmp_path / "grid/grid.json").read_text())
    assert (stored["kind"], stored["match"], stored["variants"], stored["baseline"]) == (
        "compare", "frames", ["v1", "v3"], None,
    )  # fmt: skip
    assert stored["title"] == "v1, v3 on dummy_point, 2 seeds, 1,000 frames each"
    names = [f"{algo}/dummy_point/{seed}" for seed in (0, 1) for algo in ("v1", "v3")]
    assert list(rows(tmp_path / "grid")) == names
    (paths, out, found), *more = reports
    assert (list(map(str, paths)), str(out), more) == (["grid"], "grid", [])
    assert found == dict.fromkeys(names, "done")
    printed = capsys.readouterr().out
    assert "Ctrl-C stops; rerun the command to continue." in printed
    assert printed.splitlines()[-3:] == [
        "Making films of predictions, then the report.",
        "Report on 4 runs: grid/report.html",
        "Open it in a browser. To add versions, tasks, seeds or steps, rerun the command with the longer lists.",
    ]


def test_the_arguments_of_a_job_give_its_config(monkeypatch):
    seen = []
    monkeypatch.setattr(experiment, "run_grid", lambda folder, grid, jobs, *_, **__: seen.extend(jobs))
    monkeypatch.setattr(experiment, "write_results", lambda *_: None)
    words = ["--features", "retnorm=v1", "--mlp.*.units", "9", "--first-seed", "4", "--episodes", "3", "--envs", "2"]
    assert dreamer.main([*COMPARE, *words, "--seeds", "1"]) == 0
    assert [(job.variant, job.task, job.seed) for job in seen] == [("v1", "dummy_point", 4), ("v3", "dummy_point", 4)]
    for job in seen:
        assert config(job.words) == job.config
    assert seen[1].config["advantage"]["use"] == seen[0].config["advantage"]["use"]
    assert seen[1].config["mlp"]["actor"]["units"] == 9
    assert (seen[1].config["run"]["envs"], seen[1].config["run"]["eval_episodes"]) == (2, 1)


def test_a_dry_run_lists_commands_and_writes_nothing(tmp_path, capsys):
    words = [*COMPARE, "--tasks", "dummy_point", "dummy_bandit", "--logdir", "grid"]
    commands = listed(capsys, *words)
    assert len(commands) == 2 * 2 * 3
    assert commands[0][:4] == ["--algo", "v1", "--configs", "debug"]
    assert commands[0][-2:] == ["--logdir", "grid/runs/v1/dummy_point/0"]
    assert not list(tmp_path.iterdir())
    for given in (["--dry-run", "true"], ["--dry-run=true"]):
        assert dreamer.main([*words, *given]) == 0
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out.count("python dreamer.py train") == 2 * 12


def test_a_dry_run_shows_the_budget_of_each_version(capsys):
    assert dreamer.main([*COMPARE, "--match", "replayed", "--steps", "4000", "--seeds", "1", "--dry-run"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    assert lines == [
        "# 0 v1/dummy_point/0: 5,000 frames, 100 updates, 4,000 replayed steps",
        "# 1 v3/dummy_point/0: 4,010 frames, 100 updates, 4,000 replayed steps",
    ]


def test_an_offline_run_has_the_config_that_training_stores(monkeypatch):
    """Otherwise, the finished grid would be refused as another one when the command is rerun."""
    seen = []
    monkeypatch.setattr(experiment, "run_grid", lambda folder, grid, jobs, *_, **__: seen.extend(jobs))
    monkeypatch.setattr(experiment, "write_results", lambda *_: None)
    assert dreamer.main([*COMPARE, "--run.offline", "records", "--seeds", "1"]) == 0
    assert [job.config["schedule"] for job in seen] == [{"use": "Every", "steps": 1, "updates": 1}] * 2
    assert [job.config["run"]["prefill"] for job in seen] == [0, 0]


def test_equal_time_is_a_limit_of_seconds(capsys):
    words = listed(capsys, *COMPARE, "--match", "time", "--steps", "90", "--seeds", "1")
    assert [config(line)["run"]["max_seconds"] for line in words] == [90, 90]


@pytest.mark.parametrize(
    ("words", "threads"), [([], 1), (["--jobs", "2"], 1), (["--jobs", "1"], 0), (["--threads", "3"], 3)]
)
def test_runs_get_one_thread_each_if_they_use_all_cores(capsys, words, threads):
    assert {config(line)["run"]["threads"] for line in listed(capsys, *COMPARE, *words)} == {threads}


def test_on_a_gpu_runs_are_sequential(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert dreamer.main([*COMPARE, "--dry-run"]) == 0
    assert "6 runs, 1 at a time" in capsys.readouterr().out
    assert dreamer.main([*COMPARE, "--dry-run", "--device", "cpu"]) == 0
    assert "6 runs, 2 at a time" in capsys.readouterr().out


def test_failed_runs_are_listed_after_the_report_is_written(tmp_path, reports, capsys):
    assert dreamer.main([*COMPARE, "--tasks", "broken_envs:Raises", "--seeds", "1", "--logdir", "grid"]) == 2
    said = capsys.readouterr()
    assert (
        "Error: 2 of 4 runs failed:\n  v1/broken_envs:Raises/0: the motor is on fire.\n"
        "    log: grid/runs/v1/broken_envs_Raises/0.log\n  v3/broken_envs"
    ) in said.err
    assert "0.log\nRerun the same command to retry them." in said.err
    assert said.out.splitlines()[-1] == "Report on 2 runs: grid/report.html"
    assert "on fire" in (tmp_path / "grid/runs/v1/broken_envs_Raises/0.log").read_text()
    assert [found["v1/dummy_point/0"] for _, _, found in reports] == ["done"]


def test_runs_that_end_before_an_episode_are_described_and_no_error(tmp_path, monkeypatch, capsys):
    """Short runs and runs of --run.offline have no training episode, so no report; some have an evaluation."""

    def fails(paths, out):
        raise UserError("no finished training episode")

    monkeypatch.setattr(sys.modules["common.analysis.report"], "write_report", fails)
    words = [*COMPARE, "--seeds", "1", "--logdir", "grid"]
    assert dreamer.main(words) == 2  # the fake runs have no score files, which is another error
    for algo in ("v1", "v3"):
        row = {"task": "dummy_point", "method": algo, "seed": 0, "kind": "train", "xs": [], "ys": []}
        (tmp_path / f"grid/runs/{algo}/dummy_point/0/scores.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "grid/runs/v3/dummy_point/0/eval.json").write_text(json.dumps({"mean": 2.5, "std": 0.5, "n": 4}))
    capsys.readouterr()
    results.write_results(tmp_path / "grid")
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "There is no report, because no run finished a training episode. The runs:",
        "  v1/dummy_point/0: 1,000 frames in 2 s, no score",
        "  v3/dummy_point/0: 1,000 frames in 2 s, evaluation 2.5 ± 0.5 (4 episodes)",
        results.WITHOUT_REPORT,
    ]


def test_unequal_training_is_printed_while_runs_train_and_at_the_end(tmp_path, capsys):
    words = [*COMPARE, "--seeds", "1", "--logdir", "grid"]
    assert dreamer.main([*words, "--v3.schedule.ratio", "4000"]) == 0
    planned = capsys.readouterr().out.splitlines()[1]
    assert planned.startswith("The variants train unequally. On dummy_point: ")
    for algo, updates in (("v1", 10), ("v3", 300)):
        logdir = tmp_path / f"grid/runs/{algo}/dummy_point/0"
        (logdir / "run.json").write_text(json.dumps({"updates": updates, "frames": 1000, "wall": 1.0}))
        (logdir / "config.yaml").write_text("{algo: a, steps: 1000, run: {}, batch_size: 2, batch_length: 4}")
    results.write_results(tmp_path / "grid")
    assert "10 updates of v1 to 300 of v3 (30 times); 80 replayed steps of v1 to 2,400" in capsys.readouterr().out


def test_no_report_is_written_if_every_run_fails(reports, capsys):
    words = [*COMPARE[:5], "--tasks", "broken_envs:Raises", "--steps", "1e3", "--seeds", "1", "--logdir", "grid"]
    assert dreamer.main(words) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "There is no report, because every run failed."
    assert "Error: 2 of 2 runs failed" in said.err
    assert reports == []


def test_runs_that_the_report_omits_are_named(monkeypatch, capsys):
    found = Runs(["one"], {}, [LeftOut("grid/runs/v3", "unreadable", "no scores"), LeftOut("b", "failed", "on fire")])
    monkeypatch.setattr(sys.modules["common.analysis.report"], "write_report", lambda paths, out: found)
    assert dreamer.main([*COMPARE, "--seeds", "1", "--logdir", "grid"]) == 0
    printed = capsys.readouterr().out
    assert "Not in the report: grid/runs/v3 (unreadable): no scores\nReport on 1 run: grid/report.html" in printed
    assert "b (failed)" not in printed


def test_the_report_is_written_without_films(reports, monkeypatch, capsys):
    def write_films(folder):
        raise RuntimeError("no display")

    monkeypatch.setattr(sys.modules["common.experiments.film"], "write_films", write_films)
    assert dreamer.main([*COMPARE, "--seeds", "1", "--logdir", "grid"]) == 0
    assert len(reports) == 1
    assert "Films were not written: RuntimeError('no display')" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tasks", "says"), [("dummy_point", "Error: no scores"), ("broken_envs:Raises", "Error: 2 of 4 runs failed")]
)
def test_an_error_in_the_report_does_not_hide_failed_runs(monkeypatch, capsys, tasks, says):
    def fails(paths, out):
        raise UserError("no scores")

    monkeypatch.setattr(sys.modules["common.analysis.report"], "write_report", fails)
    assert dreamer.main([*COMPARE, "--tasks", tasks, "--seeds", "1"]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "no scores" in said.out + said.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*COMPARE, "--algos", "v9"], "Unknown version 'v9'. Did you mean"),
        (COMPARE[:1] + COMPARE[3:], "Name versions with --algos, such as --algos v1,v2,v3."),
        (COMPARE[:5], "compare needs --tasks and --steps"),
        (COMPARE[:7], "compare needs --tasks and --steps"),
        ([*COMPARE, "--steps", "0"], "compare needs --tasks and --steps"),
        ([*COMPARE, "--steps", "-1"], "--steps must be at least 0, got -1"),
        ([*COMPARE, "--steps", "many"], "--steps expects int"),
        ([*COMPARE, "--seeds", "0"], "--seeds must be at least 1, got 0"),
        ([*COMPARE, "--seed", "1"], "--seed does not apply to a grid of runs. Use --seeds and --first-seed"),
        ([*COMPARE, "--match", "steps"], "--match must be one of frames, updates, replayed, time"),
        ([*COMPARE, "--match", "time", "--run.max_seconds", "9"], "Use --match time and --steps"),
        ([*COMPARE, "--dry-run", "yes"], "--dry-run expects true or false"),
        ([*COMPARE, "--configs", "cpuu"], "Unknown config block for v1 'cpuu'"),
        ([*COMPARE, "--batch_sise", "4"], "Did you mean batch_size"),
        ([*COMPARE, "--kl.free", "1", "--returns.start", "true"], "returns.start is an option of ArrivalReturns"),
        ([*COMPARE, "--tasks", "dummy_pint"], "Unknown task 'dummy_pint'. Nearest: dummy_point"),
        ([*COMPARE, "--tasks", "broken_envs:RaisesWhenMade"], "no licence"),
        (["compare", "cpu", *COMPARE[1:]], "Type --configs cpu"),
        (["bench"], "bench needs --suite, one of dmc20_vision, "),
        (["bench", "--suite", "tini"], "Unknown suite 'tini'. Did you mean tiny?"),
        (["bench", "--suite", "dmc5"], "Name versions with --algos"),
        (["bench", "tini"], "Unknown suite 'tini'. Did you mean tiny?"),
        ([*TINY, "--tasks", "dummy_bandits"], "Unknown task of this suite 'dummy_bandits'. Did you mean dummy_bandit"),
        ([*TINY, "--task", "dummy_bandit"], "Select some of them with --tasks"),
        (["train", "--dry-run"], "Unknown key 'dry-run'. To check a run without training"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_reported_before_anything_is_written(tmp_path, capsys, words, says):
    assert dreamer.main(words) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["bench", "list"], ["bench", "--list"], ["bench", "--list", "true"]])
def test_suites_are_listed_with_their_budgets(capsys, words):
    assert dreamer.main(words) == 0
    printed = capsys.readouterr().out
    assert "dmc20_vision: 20 tasks, 1,000,000 frames each, --configs dmc_vision" in printed
    assert "atari26_100k: 26 tasks, 400,000 frames each" in printed
    assert all(f"\n{name}: " in f"\n{printed}" for name in suites.read_suites())


@pytest.mark.parametrize(
    ("suite", "tasks", "block"),
    [
        ("dmc20_vision", 20, "dmc_vision"), ("dmc18_proprio", 18, "dmc_proprio"), ("dmc5", 5, "dmc_vision"),
        ("atari26_100k", 26, "atari100k"), ("atari57", 57, "atari"), ("crafter", 1, "crafter"),
        ("bsuite20", 20, "bsuite"), ("minigrid4", 4, "minigrid"), ("metaworld10", 10, "metaworld"),
        ("memorymaze", 4, "memorymaze"),
    ],
)  # fmt: skip
def test_published_suites_apply_their_block_to_all_tasks(monkeypatch, suite, tasks, block):
    seen = []
    monkeypatch.setattr(experiment, "run_grid", lambda folder, grid, jobs, *_, **__: seen.extend(jobs))
    monkeypatch.setattr(experiment, "check_tasks", lambda folder, jobs: None)
    monkeypatch.setattr(experiment, "write_results", lambda *_: None)
    assert dreamer.main(["bench", "--suite", suite, "--algo", "v3", "--seeds", "1", "--jobs", "1"]) == 0
    assert len({job.task for job in seen}) == len(seen) == tasks
    steps = suites.read_suites()[suite].tasks
    for job in seen[:2]:
        expected = dreamer.resolve("v3", [block], {"task": job.task, "steps": steps[job.task]})
        assert job.config == expected
    assert "quadruped" in " ".join(steps) or suite != "dmc20_vision"


@pytest.mark.parametrize("suite", ["cpu", "tiny"])
def test_the_projects_own_suites_work_for_all_versions_and_their_tasks_exist(capsys, suite):
    commands = listed(capsys, "bench", "--suite", suite, "--algos", ",".join(dreamer.ALGOS), "--seeds", "1")
    tasks = suites.read_suites()[suite].tasks
    assert len(commands) == len(dreamer.ALGOS) * len(tasks)
    for words in commands:
        found = config(words)
        assert found["steps"] == tasks[found["task"]]
    for task in tasks:
        experiment.make_env(task, found["env"]).close()


def test_the_users_flags_override_the_suite(tmp_path, capsys):
    words = [*TINY, "--tasks", "dummy_bandit", "--steps", "77", "--discount", "0.5", "--configs", "size1m"]
    with pytest.raises(UserError, match="Unknown config block for v2 'size1m'"):
        dreamer.main([*words, "--dry-run", "--debug"])
    (line,) = listed(capsys, *words[:-2], "--seeds", "1")
    found = config(line)
    assert (found["task"], found["steps"], found["discount"], found["batch_size"]) == ("dummy_bandit", 77, 0.5, 16)
    assert line[-1] == "logs/bench/tiny/runs/v2/dummy_bandit/0"
