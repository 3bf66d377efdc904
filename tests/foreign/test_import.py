"""The command `import`: what it writes can be evaluated, loaded and trained further; what does not fit is refused."""

import contextlib
import os
import pickle
import shutil

import numpy as np
import pytest
import torch

import dreamer
from common.errors import UserError
from common.foreign.safe_pickle import read_pickle
from common.foreign.torch_file import read_torch
from common.storage.checkpoints import load_newest
from common.storage.logdir import stored_config
from common.viewer.environment import Environment
from common.viewer.runs import load_runs, picture_key
from common.viewer.session import Session
from tests.foreign.forward import DATA
from tests.helpers.command_line import expect_error
from tests.helpers.saved_runs import say

V2 = DATA / "danijar-v2-both"
V3 = DATA / "danijar-v3-both"
SMALL = ["--batch_size", 2, "--batch_length", 4, "--run.envs", 1, "--run.compile", "off", "--run.eval_every", 0]


class Touch:
    """Creates a file when it is unpickled by an ordinary reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def dream(run):
    """Dream three steps in a run, next to its environment."""
    runs = load_runs([str(run)])
    with contextlib.closing(Environment(runs[0].config, [runs[0].config])) as environment:
        session = Session(environment, runs, picture_key(environment.images, runs, ""))
        assert all(session.step() for _ in range(3))


@pytest.mark.parametrize(
    ("name", "path", "words", "frames", "updates"),
    [
        ("danijar-v2", V2, ["--keys", "velocity", "position", "--schedule.steps", 2], 2468, 2),
        ("danijar-v3", V3, ["--schedule.ratio", 4], 1234, 4),
    ],
)
def test_imported_run_evaluates_loads_and_trains_on(name, path, words, frames, updates, tmp_path, capsys):
    run = tmp_path / "logs" / "run"
    task = ["--task", "tests.foreign.env:Mixed", "--steps", frames + 40]
    assert say("import", name, path, "--out", run, *task, *words, *SMALL) == 0
    printed = capsys.readouterr().out
    assert "wm/rssm/cell/kernel (16 x 27) -> world.rssm.cell.gates.weight" in printed or name == "danijar-v3"
    assert f"frame {frames:,}, update {updates}" in printed
    imported = load_newest(run)
    assert (imported["frames"], imported["counters"]["updates"]) == (frames, updates)

    assert say("eval", "--logdir", run, "--episodes", 1) == 0
    policy = dreamer.load(run)
    action, _ = policy(policy.spaces.raw[0].sample())
    assert action in range(5)

    dream(run)

    assert say("resume", 1, "--logdir", run, "--run.log_every", 1) == 0
    assert "No updates yet: " in capsys.readouterr().err
    trained = load_newest(run)
    assert trained["frames"] >= frames + 40
    assert trained["counters"]["updates"] > updates
    weight = "world.rssm.post.0.0.linear.weight"
    assert not torch.equal(trained["agent"][weight], imported["agent"][weight])


def test_without_a_task_the_run_can_be_loaded(tmp_path, capsys):
    assert say("import", "danijar-v3", V3, "--out", tmp_path / "run") == 0
    assert "Without --task" in capsys.readouterr().out
    policy = dreamer.load(tmp_path / "run")
    assert policy(policy.spaces.raw[0].sample())[0] in range(5)
    expect_error("eval", "--logdir", tmp_path / "run", cwd=tmp_path, says="Import it again with --task")


def test_leftover_arrays_are_listed(tmp_path, capsys):
    shutil.copytree(V3, tmp_path / "theirs")
    change_params(tmp_path / "theirs", lambda params: params | {"extra/kernel": np.zeros((3, 2), np.float32)})
    assert say("import", "danijar-v3", tmp_path / "theirs", "--out", tmp_path / "run") == 0
    assert "Left over (1 arrays that nothing here reads):\n  extra/kernel (3 x 2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"rew/head/logits/bias": np.zeros(9, np.float32)}, "rew/head/logits/bias: (9) -> (15)"),
        (lambda p: {k: x for k, x in p.items() if k != "dyn/prior1norm/scale"}, "lacks arrays"),
        (lambda p: {k: x for k, x in p.items() if not k.startswith("dyn/")}, "dyn/dynin0/kernel"),
        (lambda p: p | {"enc/cnn1/kernel": np.zeros((5, 5, 4, 7), np.float32)}, "[4, 7, 8, 8] channels"),
        (lambda p: p | {"retnorm/lo/value": np.float32("nan")}, "NaN"),
    ],
)
def test_files_that_do_not_fit_stop_and_write_nothing(change, message, tmp_path, capsys):
    shutil.copytree(V3, tmp_path / "theirs")
    change_params(tmp_path / "theirs", change)
    assert say("import", "danijar-v3", tmp_path / "theirs", "--out", tmp_path / "run") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_malformed_settings_end_in_one_message(tmp_path, capsys):
    shutil.copytree(V2, tmp_path / "theirs")
    settings = tmp_path / "theirs" / "config.yaml"
    settings.write_text(settings.read_text().replace("discount_lambda: 0.95", ""))
    assert say("import", "danijar-v2", tmp_path / "theirs", "--out", tmp_path / "run") == 2
    printed = capsys.readouterr().err
    assert "discount_lambda" in printed
    assert "Copy it again" in printed


def test_settings_of_the_file_become_those_of_the_run(tmp_path):
    shutil.copytree(V3, tmp_path / "theirs")
    settings = tmp_path / "theirs" / "config.yaml"
    changed = settings.read_text().replace("unimix: 0.01", "unimix: 0.05").replace("horizon: 333", "horizon: 100")
    settings.write_text(changed)
    assert say("import", "danijar-v3", tmp_path / "theirs", "--out", tmp_path / "run", "--batch_size", 3) == 0
    config = stored_config(tmp_path / "run")
    assert (config["latent"]["unimix"], config["discount"], config["batch_size"]) == (0.05, 0.99, 3)


def test_settings_that_our_parts_lack_are_named(tmp_path, capsys):
    shutil.copytree(V3, tmp_path / "theirs")
    settings = tmp_path / "theirs" / "config.yaml"
    settings.write_text(settings.read_text().replace("absolute: false", "absolute: true"))
    assert say("import", "danijar-v3", tmp_path / "theirs", "--out", tmp_path / "run") == 2
    assert "The setting absolute of the foreign run is True" in capsys.readouterr().err


def change_params(folder, change):
    path = next(folder.glob("ckpt/*/agent.pkl"))
    data = read_pickle(path)
    path.write_bytes(pickle.dumps(data | {"params": change(data["params"])}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["danijar-v4", V3, "--out", "x"], "danijar-v3"),
        (["danijar-v3", V3], "import needs --out DIR"),
        (["danijar-v3"], "import FORMAT PATH --out DIR"),
        ([], "danijar-v1: variables.pkl or the logdir with it"),
        (["danijar-v3", "nowhere", "--out", "x"], "There is no file nowhere"),
        (["danijar-v3", V2, "--out", "x"], "no agent.pkl"),
        (["danijar-v2", V3, "--out", "x"], "There is no variables.pkl"),
        (["danijar-v2", V2, "--out", "x"], "Give --keys"),
        (["danijar-v3", V3, "--out", "x", "--task", "gym_CartPole-v1"], "Give the --task"),
        (["danijar-v3", V3, "--out", "x", "--algo", "v2"], "omit --algo"),
        (["danijar-v3", V3, "--out", "x", "--rssm.deter", "32"], "do not fit"),
    ],
)
def test_errors_say_what_to_type(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert say("import", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_pickle_executes_nothing(tmp_path):
    hostile = tmp_path / "hostile.pkl"
    hostile.write_bytes(pickle.dumps([np.zeros(3), Touch(tmp_path / "touched")]))
    with pytest.raises(UserError, match=r"posix\.mkdir"):
        read_pickle(hostile)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_and_containers_are_read_from_all_protocols(protocol, tmp_path):
    tree = {
        "a": [np.arange(6, dtype=">i2").reshape(2, 3), np.asfortranarray(np.eye(3, 2))],
        "b": (np.float32(1.5), None, True, "x", {1, 2}, np.zeros((0, 2))),
    }
    (tmp_path / "tree.pkl").write_bytes(pickle.dumps(tree, protocol))
    found = read_pickle(tmp_path / "tree.pkl")
    for got, want in zip([*found["a"], found["b"][5]], [*tree["a"], tree["b"][5]], strict=True):
        np.testing.assert_array_equal(got, want)
    assert found["b"][:5] == (1.5, None, True, "x", {1, 2})


@pytest.mark.parametrize("data", [b"", b"\x80\x04.", b"junk", pickle.dumps(np.zeros(3))[:-20], pickle.dumps(print)])
def test_damaged_pickles_end_in_one_message(data, tmp_path):
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.pkl"):
        read_pickle(tmp_path / "x.pkl")


def test_arrays_of_objects_are_refused(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(np.array([print, 1], object)))
    with pytest.raises(UserError, match="not of numbers"):
        read_pickle(tmp_path / "x.pkl")


def test_a_torch_file_executes_nothing(tmp_path):
    hostile = tmp_path / "hostile.pt"
    torch.save({"weight": torch.zeros(2), "other": Touch(tmp_path / "touched")}, hostile)
    with pytest.raises(UserError, match=r"posix\.mkdir"):
        read_torch(hostile)
    assert not (tmp_path / "touched").exists()
    torch.save({"weight": torch.ones(2)}, hostile)
    assert read_torch(hostile)["weight"].tolist() == [1, 1]
