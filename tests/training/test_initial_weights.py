"""Runs that start with the weights of another one, and configs older than a key."""

import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.envs import make_envs
from common.errors import UserError
from common.storage.checkpoints import load_newest
from common.storage.logdir import DEFAULTS_OF_LATER_KEYS, config_changes, config_digest, store_config, stored_config
from common.training.initial_weights import load_initial_weights
from tests.helpers.saved_runs import say, untrained

TASK = "dummy_point_6"


def agent_for(config):
    with make_envs(config["task"], config["env"], 1, 0, "none") as envs:
        return Agent(envs.obs_space, envs.act_space, config)


def matching(one, other):
    """Return the prefixes of weights that are equal in both states, other than by chance."""
    equal = {key for key, x in one.items() if torch.is_tensor(x) and x.ndim > 1 and torch.equal(x, other[key])}
    return {".".join(key.split(".")[:2]) for key in equal if not key.startswith("optim")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    untrained(folder, "v2", TASK)
    return folder


@pytest.mark.parametrize(("parts", "taken"), [("world_model", set()), ("all", {"actor", "critic", "slow"})])
def test_a_new_run_starts_with_the_weights_of_another(source, tmp_path, parts, taken, capsys):
    """The run only collects, so it saves its initial weights."""
    words = ["--algo", "v2", "--configs", "debug", "--task", TASK, "--logdir", tmp_path / "run", "--steps", 8]
    words += ["--run.init", source, "--run.init_parts", parts, "--replay.capacity", 500, "--threads", 1]
    assert say(*words, "--run.prefill", 99) == 0
    assert f"Started with {parts.replace('_', ' ')} of {source}: v2 on {TASK}, frame 70." in capsys.readouterr().err
    world = {f"world.{name}" for name in ("encoder", "rssm", "decoder", "reward", "con")}
    before, after = load_newest(source)["agent"], load_newest(tmp_path / "run")["agent"]
    assert matching(before, after) == world | {f"behavior.{name}" for name in taken}
    assert say(*words, "--run.prefill", 99) == 0  # the same command finds its own run


@pytest.mark.parametrize(("use", "taken"), [("Plan2Explore", {"explore"}), ("NoNoise", set())])
def test_exploration_is_taken_if_both_runs_have_it(use, taken, tmp_path):
    untrained(tmp_path / "source", "v2", TASK, explore__use="Plan2Explore")
    flags = {"task": TASK, "run.init": str(tmp_path / "source"), "run.init_parts": "all", "explore.use": use}
    agent = agent_for(config := dreamer.resolve("v2", ["debug"], flags))
    load_initial_weights(agent, config)
    source, state = load_newest(tmp_path / "source")["agent"], agent.state_dict()
    found = matching({key: x for key, x in source.items() if key in state}, state)
    assert {name.split(".")[0] for name in found} == {"world", "behavior"} | taken


def test_networks_of_other_shapes_are_named(source):
    wide = dreamer.resolve("v2", ["debug"], {"task": TASK, "run.init": str(source), "rssm.deter": 24})
    with pytest.raises(UserError, match=r"(?s)there -> here.*world\.rssm\.cell\.gates\.weight: 48 x 32 -> 72 x 40"):
        load_initial_weights(agent_for(wide), wide)
    other = dreamer.resolve("v3", ["debug"], {"task": TASK, "run.init": str(source)})
    agent = agent_for(other)
    before = {key: x.clone() for key, x in agent.state_dict().items() if torch.is_tensor(x)}
    with pytest.raises(UserError, match="absent"):
        load_initial_weights(agent, other)
    assert all(torch.equal(x, agent.state_dict()[key]) for key, x in before.items())


def test_a_run_older_than_a_key_resumes(tmp_path):
    config = dreamer.resolve("v1", ["debug"], {"task": TASK})
    old = dreamer.resolve("v1", ["debug"], {"task": TASK})
    old["run"] = {key: value for key, value in old["run"].items() if f"run.{key}" not in DEFAULTS_OF_LATER_KEYS}
    assert config_digest(old) == config_digest(config)
    store_config(tmp_path, old)
    assert config_changes(stored_config(tmp_path), config) == {}
    (tmp_path / "run.json").write_text('{"sessions": [{}]}')
    assert store_config(tmp_path, config) == {}
    changed = dreamer.resolve("v1", ["debug"], {"task": TASK, "run.offline": "elsewhere"})
    assert config_digest(changed) != config_digest(config)
    with pytest.raises(UserError, match=r"run\.offline:  -> elsewhere"):
        store_config(tmp_path, changed)
