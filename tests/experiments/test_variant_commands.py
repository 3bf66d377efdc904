"""Command lines of `explain`, `ablate` and `ladder`."""

import re

import pytest

import dreamer
from common.commands import ablate, ladder
from common.config import config as configs
from tests.helpers.variants import VECTORS

SHORT = ["--configs", "debug", "--tasks", VECTORS, "--steps", "500", "--seeds", "2", "--jobs", "1"]


@pytest.fixture
def tool(capsys):
    """Return a function that runs a command, which must succeed, and returns its output."""

    def run(*words):
        assert dreamer.main(list(words)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys):
    """Return a function that runs a command, which must fail, and returns its message."""

    def run(*words):
        assert dreamer.main(list(words)) == 2
        return capsys.readouterr().err

    return run


@pytest.fixture
def experiments(monkeypatch):
    """Collect the arguments of `run_experiment` instead of running it."""
    calls = []
    for module in (ablate, ladder):
        monkeypatch.setattr(module, "run_experiment", lambda *args: calls.append(args))
    return calls


def test_explain_shows_the_differences_of_two_versions(tool):
    text = tool("explain", "v2", "v3", "--configs", "dmc_vision")
    count = len(configs.differences(*(dreamer.resolve(algo, ["dmc_vision"]) for algo in ("v2", "v3"))))
    assert text.startswith(f"v2 → v3: {count} keys differ\n")
    assert len(re.findall(r"^[a-z_]+(?:\.[a-z_0-9]+)*  ", text, re.M)) == count
    assert "kl.where  mean → element" in text


def test_explain_shows_all_keys_of_one_version(tool):
    text = tool("explain", "v1", "--task", "dmc_walker_walk")
    shown = set(re.findall(r"^([a-z_]+(?:\.[a-z_0-9]+)*)  = ", text, re.M))
    assert shown == set(configs.flatten(dreamer.resolve("v1", [], {"task": "dmc_walker_walk"})))


def test_explain_reads_runs_and_files(tool, tmp_path):
    for name, flags in (("a", {}), ("b", {"kl.free": 2.0})):
        (tmp_path / name).mkdir()
        configs.write(tmp_path / name / "config.yaml", dreamer.resolve("v3", ["debug"], flags))
    one, two = str(tmp_path / "a"), str(tmp_path / "b")
    for words in ((one, two), (one, f"{two}/config.yaml")):
        text = tool("explain", *words)
        assert "1 keys differ" in text
        assert "kl.free  1 → 2" in text
    assert "kl.free  1 → 2" in tool("explain", "v3", two, "--configs", "debug")


def test_explain_key_and_feature(tool):
    text = tool("explain", "--key", "latent.unimix", "--format", "md")
    assert "| `latent.unimix` | – | 0 | 0.01 | 0.01 | share of uniform probability" in text
    text = tool("explain", "v1", "v2", "--feature", "kl")
    assert text.startswith("kl: KL loss: balance, scales, free nats.")
    names = {"use", "scale", "free", "where", "forward", "dyn", "rep"}
    assert set(re.findall(r"^kl\.(\w+)", text, re.M)) == names
    assert "dreamer_v2/actor.py" in tool("explain", "--key", "grad_disc.mix")  # an option of a part that none uses


def test_the_table_has_one_source(tool):
    assert tool("explain", "--table", "--configs", "dmc_vision") == tool("table", "--configs", "dmc_vision")
    assert tool("table", "--algo", "v2") == tool("explain", "v2", "--table", "true") == tool("table", "v2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "v5"], "Unknown version 'v5'. Did you mean"),
        (["explain", "--key", "latent.unimx"], "Unknown key 'latent.unimx'. Did you mean latent.unimix"),
        (["explain", "--feature", "retnrom"], "Unknown feature 'retnrom'. Did you mean retnorm"),
        (["explain", "--format", "html"], "--format must be one of text, md"),
        (["explain", "README.md"], "README.md"),
        (["ablate"], "ablate takes one version"),
        (["ablate", "v3", "v2", *SHORT], "ablate takes one version"),
        (["ablate", "v3", *SHORT], "ablate needs --drop, --add or --suite"),
        (["ablate", "v3", "--drop", "symlog"], "Tasks or steps are missing. Give --tasks"),
        (["ablate", "v3", "--suite", "v9_paper"], "Unknown suite of ablations 'v9_paper'. Did you mean v2_paper"),
        (["ablate", "v3", "--setting", "cpuu", "--drop", "symlog"], "Unknown suite 'cpuu'. Did you mean cpu"),
        (["ablate", "v3", *SHORT, "--drop", "sigmoid"], "There is nothing to compare"),
        (["ladder", "v1", *SHORT], "ladder takes two or more different versions"),
        (["ladder", "v1", "v1", *SHORT], "ladder takes two or more different versions"),
        (["ladder", "v1", "v2", *SHORT, "--by", "line"], "--by must be one of feature, concept"),
        (["ladder", "v1", "v2", *SHORT, "--features", "kl=v2"], "no --features"),
        (["ladder", "v1", "v7", *SHORT], "Unknown version 'v7'"),
    ],
)
def test_wrong_arguments_give_one_message(words, message, refused):
    text = refused(*words)
    assert text.count("Error: ") == 1
    assert message in text


def test_a_run_takes_no_flags(refused, tmp_path):
    configs.write(tmp_path / "config.yaml", dreamer.resolve("v3"))
    assert "cannot be changed here" in refused("explain", str(tmp_path), "--discount", "0.9")


def test_ablate_runs_baseline_and_variants(tool, experiments):
    text = tool("ablate", "v3", *SHORT, "--drop", "symlog,retnorm=v2", "sigmoid", "--add", "order+replay_value=v2")
    ((kind, runs, tasks, folder, baseline),) = experiments
    assert (kind, list(runs), tasks, baseline) == (
        "ablate", ["v3", "no_symlog", "retnorm=v2", "order=v3-2023+replay_value=v2"], {VECTORS: 500}, "v3"
    )  # fmt: skip
    assert str(folder) == "logs/ablate/v3"
    assert "  encoder.symlog    on -> off" in text
    assert f"Omitted, without effect on {VECTORS}: no_sigmoid." in text


def test_ablate_takes_the_version_of_a_suite(tool, experiments):
    tool("ablate", "--suite", "v3_paper_signals", *SHORT)
    assert list(experiments[0][1]) == ["v3", "no_reward_value_gradients", "no_reconstruction_gradients"]


def test_ablate_lists_ablations_and_suites(tool):
    text = tool("ablate", "--list")
    assert "  free_bits, free_nats: the KL is never clamped" in text
    assert "v2_paper (v2)" in text


def test_ladder_runs_its_rungs(tool, experiments):
    text = tool("ladder", "v3", "v3-2023", *SHORT, "--by", "concept", "--logdir", "here")
    ((kind, runs, _, folder),) = experiments
    assert (kind, next(iter(runs)), str(folder)) == ("ladder", "v3", "here")
    assert list(runs)[-1].startswith("v3-2023 (")
    assert "Omitted, without effect" in text


def test_a_setting_has_tasks_steps_and_flags_of_versions(tool, experiments):
    tool("ladder", "v2", "v3", "--setting", "cpu", "--tasks", VECTORS, "--by", "concept")
    (_, runs, tasks, _) = experiments[0]
    assert tasks == {VECTORS: 10_000}
    ends = [list(runs.values())[i].config(algo, task=VECTORS)["schedule"] for i, algo in ((0, "v2"), (-1, "v3"))]
    assert ends == [{"use": "Every", "steps": 8, "updates": 1}, {"use": "Ratio", "ratio": 32.0}]


def test_a_dry_run_prints_keys_and_commands_without_running(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = tool("ablate", "v3", *SHORT, "--drop", "free_bits", "--dry-run")
    assert "no_free_bits: the KL is never clamped\n  kl.free  1 -> 0\n" in text
    commands = re.findall(r"^python dreamer\.py train (.*)$", text, re.M)
    assert len(commands) == 4
    assert sum("--kl.free 0.0" in command for command in commands) == 2
    assert not list(tmp_path.iterdir())
