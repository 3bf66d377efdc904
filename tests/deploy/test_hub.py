"""`push` to and `load` from the Hugging Face Hub, played by a server on this machine, with the real package."""

import numpy as np
import pytest
import torch

from common.storage import run_source
from dreamer import load
from tests.helpers.command_line import expect_error
from tests.helpers.hub_server import TOKEN, serve
from tests.helpers.saved_runs import say, untrained

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "run"
    untrained(folder, "v3", "dummy_point_6")
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    run_source._downloaded.cache_clear()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve() as (hub, address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def act(source):
    torch.manual_seed(0)
    return load(source)({"vector": np.zeros(2, np.float32)})[0]


def test_a_pushed_agent_is_one_commit_and_acts_the_same(hub, run, tmp_path, capsys):
    assert say("push", run, "hf://me/point") == 0
    assert "/me/point" in capsys.readouterr().out
    assert hub.commits == {"me/point": 1}
    assert {"model.safetensors", "config.yaml", "spaces.json", "README.md"} <= set(hub.repos["me/point"])
    assert np.array_equal(act("hf://me/point"), act(run))
    assert say("eval", "--logdir", "hf://me/point", "--episodes", 1, "--out", tmp_path / "out") == 0
    assert say("dream", "--logdir", "hf://me/point", "--record", tmp_path / "x.gif", "--steps", 2) == 0
    asked = len(hub.asked)
    load("hf://me/point")  # once per process
    assert len(hub.asked) == asked


def test_the_card_is_valid_for_the_hub(hub, run, tmp_path):
    assert say("eval", "--logdir", run, "--episodes", 2) == 0
    assert say("push", run, tmp_path / "agent") == 0
    card = huggingface_hub.ModelCard.load(tmp_path / "agent" / "README.md")
    assert card.data.license == "mit"
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_type, result.metric_type) == (
        "reinforcement-learning",
        "dummy_point_6",
        "mean_reward",
    )


def test_other_files_of_a_repository_are_not_loaded(hub, run):
    assert say("push", run, "hf://me/point") == 0
    hub.repos["me/point"]["evil.py"] = b"raise SystemExit"
    load("hf://me/point")
    assert not any("evil.py" in line for line in hub.asked)


def test_a_repository_with_files_needs_overwrite_for_a_new_commit(hub, run, tmp_path):
    assert say("push", run, "hf://me/point") == 0
    expect_error("push", run, "hf://me/point", cwd=tmp_path, says="exists and has files. Add --overwrite")
    assert say("push", run, "hf://me/point", "--overwrite") == 0
    assert hub.commits == {"me/point": 2}


def test_a_private_repository_needs_the_token(hub, run, tmp_path, monkeypatch):
    assert say("push", run, "hf://me/point", "--private") == 0
    assert hub.private == {"me/point": True}
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    expect_error("eval", "--logdir", "hf://me/point", cwd=tmp_path, says="type `hf auth login`")


def test_errors_of_the_hub_name_what_to_type(hub, run, tmp_path, monkeypatch):
    expect_error("eval", "--logdir", "hf://me/absent", cwd=tmp_path, says="does not exist, or is private")
    expect_error("push", run, "hf://me/point@v2", cwd=tmp_path, says="without @v2")
    hub.fail = 403
    expect_error("push", run, "hf://me/point", cwd=tmp_path, says="a token that may write")
    hub.fail = 501
    expect_error("push", run, "hf://me/point", cwd=tmp_path, says="answered 501")
    assert set(hub.repos["me/point"]) == {".gitattributes"}  # no half of an upload
    hub.fail = 0
    assert say("push", run, "hf://me/point") == 0
    expect_error("eval", "--logdir", "hf://me/point@other", cwd=tmp_path, says="no such branch, tag or commit")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    expect_error("push", run, "hf://me/other", cwd=tmp_path, says="hf auth login")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    run_source._downloaded.cache_clear()
    expect_error("eval", "--logdir", "hf://me/point", cwd=tmp_path, says="cannot be reached")
    expect_error("push", run, "hf://me/point", cwd=tmp_path, says="cannot be reached")


def test_a_file_that_is_too_large_is_not_downloaded(hub, run, tmp_path):
    assert say("push", run, "hf://me/point") == 0
    hub.repos["me/point"]["config.yaml"] = b" " * 200_000
    expect_error("eval", "--logdir", "hf://me/point", cwd=tmp_path, says="its config.yaml has 200,000 bytes")
    assert not any("/resolve/" in line for line in hub.asked)
