"""The agents that come with the project: small, complete, and as good as their cards report."""

import json
import os
import re
import shlex
import subprocess

import numpy as np
import pytest

from common.analysis.publishing.public_files import public_config
from common.config import config as configs
from common.experiments.random_policy import random_scores
from common.storage.logdir import stored_config
from common.storage.publication import MAX_BYTES
from common.storage.run_source import PRETRAINED_FOLDER, pretrained_names
from common.viewer.runs import load_runs
from dreamer import load
from tests.helpers.command_line import ROOT
from tests.helpers.saved_runs import say

TASKS = {"v1": ("pendulum", "pixels"), "v2": ("pendulum", "pixels"), "v3": ("pendulum", "pixels")}
NAMES = [f"pretrained:{algo}-{task}" for algo, tasks in TASKS.items() for task in tasks]
MAX_MB = 15


def test_the_agents_are_complete_and_small_together():
    assert sorted(pretrained_names()) == sorted(NAMES)
    files = [path for path in PRETRAINED_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_MB * 1e6
    for folder in pretrained_names().values():
        assert {path.name for path in folder.iterdir()} == set(MAX_BYTES)


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_acts_and_its_card_has_its_score(name):
    policy = load(name)
    obs = {key: np.zeros(box.shape, box.dtype) for key, box in policy.spaces.observation.items()}
    assert policy(obs)[0].shape == (1,)
    folder = pretrained_names()[name]
    result = json.loads((folder / "eval.json").read_text())
    assert result["n"] >= 20
    assert result["frames"] == policy.frames
    text = f"{result['mean']:.2f} [{result['interval'][0]:.2f}, {result['interval'][1]:.2f}], n = {result['n']}"
    card = (folder / "README.md").read_text()
    assert text in card
    assert f'load("{name}")' in card
    assert not re.findall(r"/(?:home|tmp|root|work)\b", card + (folder / "run.json").read_text())


def test_the_script_trains_every_agent_with_the_config_that_it_has(tmp_path, capsys):
    script = ["bash", str(ROOT / "pretrained" / "make.sh")]
    commands = subprocess.run(script, env={**os.environ, "PYTHON": "echo"}, capture_output=True, text=True, check=True)
    flags = [shlex.split(line)[1:] for line in commands.stdout.splitlines() if line.startswith("dreamer.py --algo")]
    for words in flags:
        capsys.readouterr()
        assert say("config", *words) == 0
        (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
        made = configs.read(tmp_path / "config.yaml")
        name = made["logdir"].removeprefix("logs/pretrained/").replace("/", "-")
        assert public_config(made) == public_config(stored_config(pretrained_names()[f"pretrained:{name}"]))
    assert len(flags) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_documents_have_the_score_of_each_agent(name):
    result = json.loads((pretrained_names()[name] / "eval.json").read_text())
    row = next(line for line in (ROOT / "docs" / "publish.md").read_text().splitlines() if f"| `{name}`" in line)
    assert f"{result['mean']:.1f}".replace("-", "−") in row


@pytest.mark.long
@pytest.mark.parametrize(("name", "episodes"), [("pretrained:v1-pixels", 8), ("pretrained:v3-pendulum", 3)])
def test_an_agent_is_as_good_as_its_card(name, episodes, tmp_path):
    """Its score in a few episodes is nearer to the card than to random actions."""
    folder = pretrained_names()[name]
    words = ["--episodes", episodes, "--run.eval_envs", episodes, "--run.parallel", "none", "--seed", 1000]
    assert say("eval", "--logdir", folder, *words, "--threads", 1, "--out", tmp_path) == 0
    score, card = (json.loads((place / "eval.json").read_text())["mean"] for place in (tmp_path, folder))
    random = np.mean(random_scores(load(name).config, 40))
    assert score > (random + card) / 2


def test_agents_of_several_versions_dream_next_to_each_other(tmp_path):
    names = [f"pretrained:{algo}-pixels" for algo in TASKS]
    assert [run.name for run in load_runs(names)] == ["v1/pixels", "v2/pixels", "v3/pixels"]
    assert say("dream", "--logdirs", *names, "--record", tmp_path / "dream.gif", "--steps", 3) == 0
    assert (tmp_path / "dream.gif").stat().st_size > 1000
