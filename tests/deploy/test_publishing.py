"""`push`: what is published evaluates, loads, dreams and starts new runs as the run does, and has no private data."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

import dreamer
from common.analysis.publishing import destinations
from common.analysis.publishing.public_files import public_config, public_text
from common.errors import UserError
from common.storage.checkpoints import Checkpoints, load_newest
from common.storage.logdir import config_digest, stored_config
from common.storage.publication import MAX_BYTES, WEIGHTS_FILE
from common.training.factory import Factory
from common.training.initial_weights import load_initial_weights
from common.viewer.runs import load_runs
from dreamer import load
from tests.helpers.command_line import expect_error, snapshot
from tests.helpers.saved_runs import say, untrained

CASES = {"v1": "dummy_pixels_6", "v2": "dummy_mixed_6", "v3": "dummy_point_multi_6", "v3-2023": "dummy_bandit"}
#: Each version also with the other kind of observations and actions.
OTHERS = {"v1": "dummy_bandit", "v2": "dummy_pixels_6", "v3": "dummy_pixels_6", "v3-2023": "dummy_pixels_6"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with the run of each version, and what was published of it: VERSION-public and VERSION.zip."""
    folder = tmp_path_factory.mktemp("published")
    for algo, task in CASES.items():
        flags = {"run__eval_episodes": 2, "run__video_every": 0, "explore__use": "Plan2Explore"}
        untrained(folder / algo, algo, task, **(flags if algo == "v2" else {}))
        assert say("push", folder / algo, folder / f"{algo}-public") == 0
        assert say("push", folder / algo, folder / f"{algo}.zip") == 0
    return folder


def actions(source, mode, steps=3):
    """Return actions of a policy on random observations, with the same random numbers for every source."""
    policy, state, chosen = load(source, mode=mode), None, []
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    for _ in range(steps):
        obs = {
            key: random.uniform(0, 255, box.shape).astype(box.dtype) for key, box in policy.spaces.observation.items()
        }
        action, state = policy(obs, state)
        chosen.append(np.asarray(action))
    return np.array(chosen)


@pytest.mark.parametrize("mode", ["mode", "sample"])
@pytest.mark.parametrize("algo", CASES)
def test_a_published_policy_chooses_the_same_actions(made, algo, mode):
    expected = actions(made / algo, mode)
    assert np.array_equal(actions(made / f"{algo}-public", mode), expected)
    assert np.array_equal(actions(made / f"{algo}.zip", mode), expected)
    assert load(made / f"{algo}.zip").frames == 70


@pytest.mark.parametrize(("algo", "task"), OTHERS.items())
def test_other_observations_and_actions_survive(algo, task, tmp_path):
    untrained(tmp_path / "run", algo, task)
    assert say("push", tmp_path / "run", tmp_path / "agent") == 0
    assert np.array_equal(actions(tmp_path / "agent", "sample"), actions(tmp_path / "run", "sample"))


@pytest.mark.parametrize("algo", [pytest.param("v2", marks=pytest.mark.long), "v3"])
def test_a_published_agent_evaluates_like_the_run_and_stays_as_it_is(made, algo, tmp_path, capsys):
    words = ["--episodes", 2, "--threads", 1, "--out", tmp_path / "out"]
    assert say("eval", "--logdir", made / algo, *words) == 0
    expected = json.loads((tmp_path / "out" / "eval.json").read_text())
    for source in (f"{algo}-public", f"{algo}.zip"):
        before = snapshot(made / f"{algo}-public")
        assert say("eval", "--logdir", made / source, *words[:4]) == 0
        assert "Nothing was written" in capsys.readouterr().out
        assert snapshot(made / f"{algo}-public") == before
        assert say("eval", "--logdir", made / source, *words) == 0
        assert json.loads((tmp_path / "out" / "eval.json").read_text()) == expected
    expect_error("eval", "--logdir", made / f"{algo}.zip", "--video", 1, cwd=tmp_path, says="--out DIR")


def test_published_agents_dream_and_start_new_runs(made, tmp_path):
    folder, zipped = load_runs([str(made / "v3-public"), str(made / "v3.zip")])
    stored = load_newest(made / "v3")["agent"]
    state = zipped.agent.state_dict()
    weights = [key for key, value in stored.items() if torch.is_tensor(value)]
    assert all(torch.equal(state[key], stored[key]) for key in weights)
    assert (folder.name, zipped.name, zipped.frames) == ("v3-public", "v3", 70)
    flags = {"task": CASES["v3"], "run.init": str(made / "v3.zip"), "run.init_parts": "all", "seed": 9}
    config = dreamer.resolve("v3", ["debug"], flags)
    agent = Factory().agent(load(made / "v3").spaces.observation, load(made / "v3").spaces.action, config)
    assert "frame 70" in load_initial_weights(agent, config)
    assert all(torch.equal(agent.state_dict()[key], stored[key]) for key in weights)


def test_training_in_a_published_folder_is_refused(made, tmp_path):
    before = snapshot(made / "v3-public")
    words = ["--algo", "v3", "--configs", "debug", "--task", CASES["v3"], "--seed", 3, "--logdir", made / "v3-public"]
    message = expect_error(*words, cwd=tmp_path, says="cannot be resumed")
    assert f"--run.init {made / 'v3-public'} --run.init_parts all" in message
    assert snapshot(made / "v3-public") == before


@pytest.fixture
def private(tmp_path):
    """Return a run whose files hold paths and commands, and that was trained and evaluated."""
    logdir = tmp_path / "secret-place" / "run"
    untrained(logdir, "v1", "dummy_point_6", run__init="/users/someone/logs/first", run__threads=7)
    text = (logdir / "config.yaml").read_text()
    (logdir / "config.yaml").write_text(text.replace("dummy_point_6", "/users/someone/code/my_env.py:MyEnv"))
    session = {
        "command": "dreamer.py --logdir /users/someone/x",
        "git": "0123abc",
        "python": "3.11",
        "host": "someone-pc",
    }
    session["packages"] = {"torch": "2.13.0"}
    info = {"frames": 70, "updates": 9, "wall": 7200.0, "sessions": [session], "cluster": "someone"}
    (logdir / "run.json").write_text(json.dumps(info))
    scores = {
        "task": "/users/someone/my_env.py:MyEnv",
        "method": "v1",
        "seed": 3,
        "kind": "train",
        "xs": [6],
        "ys": [1.5],
    }
    (logdir / "scores.jsonl").write_text(json.dumps(scores) + "\n")
    result = {
        "mean": -4.5,
        "std": 2.0,
        "interval": [-6.0, -3.0],
        "n": 12,
        "frames": 70,
        "mode": "mode",
        "host": "someone",
    }
    (logdir / "eval.json").write_text(json.dumps(result))
    checkpoints = Checkpoints(logdir / "checkpoints")
    checkpoints.save(checkpoints.load() | {"digest": config_digest(stored_config(logdir))})
    return logdir


def test_private_data_is_not_published_and_a_dry_run_shows_all(private, tmp_path, capsys):
    assert say("push", private, tmp_path / "agent.zip", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert not (tmp_path / "agent.zip").exists()
    assert "--- config.yaml ---" in shown
    assert "task: my_env.py:MyEnv" in shown
    assert "Nothing was published" in shown
    assert say("push", private, tmp_path / "agent", "--license", "cc-by-4.0") == 0
    texts = {path.name: path.read_bytes().decode(errors="replace") for path in (tmp_path / "agent").iterdir()}
    assert set(texts) == set(MAX_BYTES)
    assert not [name for name, text in texts.items() if "someone" in text or "secret-place" in text]
    assert "0123abc" in texts["run.json"]
    assert "threads: 0" in texts["config.yaml"]
    assert texts["curve.png"][1:4] == "PNG"


def test_the_card_has_score_interval_licence_and_example(private, tmp_path):
    assert say("push", private, tmp_path / "agent", "--license", "cc-by-4.0", "--name", "Mine") == 0
    _, front, body = (tmp_path / "agent" / "README.md").read_text().split("---\n", 2)
    meta = YAML(typ="safe").load(front)
    assert (meta["license"], meta["library_name"]) == ("cc-by-4.0", "dreamer-hub")
    assert {"reinforcement-learning", "dreamer-v1", "my_env.py:MyEnv"} <= set(meta["tags"])
    metric = meta["model-index"][0]["results"][0]["metrics"][0]
    assert (metric["type"], metric["value"]) == ("mean_reward", "-4.50 +/- 2.00")
    for words in ("# Mine", "-4.50 [-6.00, -3.00], n = 12", "70 environment frames", "torch 2.13.0", "0123abc",
                  'load("agent")', "cc-by-4.0", "curve.png", "no optimiser and no replay"):  # fmt: skip
        assert words in body


def test_paths_are_shortened_and_names_with_slashes_stay():
    assert public_text("see /a/b.txt, ~/c/d and ../e/f") == "see b.txt, d and f"
    for name in ("bsuite_catch/0", "gym_ALE/Pong-v5", "my_env:MyEnv", ".*", "linear(0.1, 0, 2.5e6)"):
        assert public_text(name) == name
    run = {"init": "a/b", "device": "cuda:3", "logger_entity": "someone"}
    clean = {"init": "", "device": "auto", "logger_entity": ""}
    config = {"logdir": "x", "kl": {"use": "../mine/kl.py:KL"}, "run": run}
    assert public_config(config) == {"logdir": "", "kl": {"use": "kl.py:KL"}, "run": clean}


def test_half_precision_rounds_and_refuses_what_does_not_fit(made, tmp_path):
    assert say("push", made / "v1", tmp_path / "half", "--half") == 0
    sizes = [(folder / WEIGHTS_FILE).stat().st_size for folder in (tmp_path / "half", made / "v1-public")]
    assert sizes[0] < 0.6 * sizes[1]
    whole, half = load(made / "v1"), load(tmp_path / "half")
    for one, two in zip(whole.acting.rssm.parameters(), half.acting.rssm.parameters(), strict=True):
        assert two.dtype == torch.float32
        assert torch.equal(one.half().float(), two)
    shutil.copytree(made / "v1", tmp_path / "large")
    state = Checkpoints(tmp_path / "large" / "checkpoints").load()
    state["agent"]["world.reward.net.1.bias"][:] = 1e6
    Checkpoints(tmp_path / "large" / "checkpoints").save(state)
    expect_error("push", tmp_path / "large", "x", "--half", cwd=tmp_path, says="world.reward.net.1.bias")
    assert not (tmp_path / "x").exists()


def test_a_destination_is_replaced_only_if_asked_and_completely(made, tmp_path, monkeypatch):
    shutil.copytree(made / "v1-public", tmp_path / "agent")
    shutil.copyfile(made / "v1.zip", tmp_path / "agent.zip")
    before = snapshot(tmp_path)
    for dest in ("agent", "agent.zip"):
        expect_error("push", made / "v3", dest, cwd=tmp_path, says="Add --overwrite")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    expect_error("push", made / "v3", "other", "--overwrite", cwd=tmp_path, says="not a published agent")
    monkeypatch.setattr(destinations.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "disk full")))
    expect_error("push", made / "v3", "agent", "--overwrite", cwd=tmp_path, says="disk full")
    shutil.rmtree(tmp_path / "other")
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    for dest in ("agent", "agent.zip"):
        assert say("push", made / "v3", tmp_path / dest, "--overwrite") == 0
        assert load(tmp_path / dest).config["algo"] == "v3"
    assert {path.name for path in tmp_path.iterdir()} == {"agent", "agent.zip"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["v3"], "push needs a run and a destination"),
        (["v3", "x", "--batch_size", 3], "omit --batch_size"),
        (["v3", "hf://me"], "hf://USER/NAME"),
        (["absent", "x"], "not a run directory"),
        (["v3", "x", "--license", "my own/terms"], "--license takes a short name"),
    ],
)
def test_mistakes_are_named(made, words, says, tmp_path):
    expect_error("push", *words, cwd=made, says=says)
    assert not (made / "x").exists()


def test_an_agent_can_be_published_from_a_published_one(made, tmp_path):
    assert say("push", made / "v3.zip", tmp_path / "again") == 0
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (made / "v3-public" / WEIGHTS_FILE).read_bytes()


def test_the_best_checkpoint_is_published_if_asked(made, tmp_path):
    shutil.copytree(made / "v3", tmp_path / "run")
    state = load_newest(made / "v3")
    Checkpoints(tmp_path / "run" / "checkpoints").save_best(
        {"agent": state["agent"], "frames": 50, "digest": state["digest"]}, "eval", 1.0
    )
    assert say("push", tmp_path / "run", tmp_path / "agent", "--best") == 0
    assert load(tmp_path / "agent").frames == 50
    assert "the one with the best score" in (tmp_path / "agent" / "README.md").read_text()


def test_a_missing_package_is_named_with_the_command(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (["push", made / "v3", "hf://me/agent"], ["eval", "--logdir", "hf://me/agent"]):
        expect_error(*words, cwd=tmp_path, says="pip install huggingface_hub")
    with pytest.raises(UserError, match="hf://USER/NAME"):
        load("hf://me/too/long")


def test_an_unknown_pretrained_agent_is_named(tmp_path):
    expect_error("eval", "--logdir", "pretrained:v9-go", cwd=tmp_path, says="There is no agent 'pretrained:v9-go'")
