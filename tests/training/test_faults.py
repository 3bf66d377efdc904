"""Full or lost disks, missing files and the best agent: runs stop with a message and resume later."""

import errno
import fcntl
import io
import json
import os
import shutil

import numpy as np
import pytest
import torch

import dreamer
from common.commands.eval import evaluate
from common.errors import UserError
from common.files import remove_temporary_files
from common.replay import chunked_ring
from common.storage import checkpoint_file, logger, outputs
from common.storage.checkpoint_file import read_verified_header
from common.storage.checkpoints import BEST_FILE, Checkpoints, load_agent_state
from common.storage.logdir import resolve_logdir
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config, lines, newest, same_run, scores

FULL, READ_ONLY, GONE = (OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EROFS, errno.ESTALE))


def failing(function, count, error):
    """Wrap `function` so that its `count`-th call writes half a line and raises `error`."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            for each in args:
                if isinstance(each, io.IOBase | outputs.JsonLines):
                    getattr(each, "file", each).write(b'{"half": ')
            raise error
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize(
    ("owner", "name", "count", "error", "says"),
    [
        (outputs.JsonLines, "write", 8, FULL, "No space left on device.*frame 100"),
        pytest.param(
            outputs.TensorBoard, "scalars", 9, GONE, "Stale file handle.*rerun the same command", marks=pytest.mark.long
        ),
        pytest.param(outputs, "write_text", 7, READ_ONLY, "Read-only file system", marks=pytest.mark.long),
        (checkpoint_file.torch, "save", 4, FULL, r"Cannot write .*\.pt: No space left"),
        (chunked_ring.np, "savez", 7, READ_ONLY, "Cannot write .*chunk-0.*Read-only"),
        pytest.param(logger.Logger, "save_video", 2, FULL, "No space left", marks=pytest.mark.long),
    ],
    ids=["metrics", "events", "scores", "checkpoint", "replay", "video"],
)
def test_a_run_that_cannot_write_stops_with_a_message_and_resumes(
    straight, tmp_path, monkeypatch, owner, name, count, error, says
):
    logdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), count, error))
        with pytest.raises(UserError, match=says):
            train(config(logdir), FakeFactory())
    assert not list(logdir.rglob("*.tmp"))
    train(config(logdir), FakeFactory())
    same_run(straight, logdir)


def test_a_lost_disk_ends_a_command_with_one_message(tmp_path, monkeypatch, capsys):
    def lost(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/far/away")

    monkeypatch.setattr(dreamer, "command_function", lambda command: lost)
    assert dreamer.main(["config", "--algo", "v1"]) == 2
    assert "Error: Input/output error (/far/away). Check the path" in capsys.readouterr().err


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(UserError, match=r"No locks available\. Choose another --logdir"):
        train(config(tmp_path / "run"), FakeFactory())


def test_temporary_files_of_a_killed_process_are_removed(straight, tmp_path):
    inner = ("replay/.chunk-1.y.tmp", "nonfinite/.last.pt.z.tmp", "videos/.a.gif.z.tmp", "report_figures/.b.svg.z.tmp")
    for name in (".config.yaml.x.tmp", *inner, "kept.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path, tmp_path / "none")
    assert [path.name for path in tmp_path.rglob("*.tmp")] == ["kept.tmp"]


def test_the_agent_of_the_best_evaluation_is_kept(straight):
    evaluations = next(row for row in scores(straight) if row["kind"] == "eval")
    place = int(np.argmax(evaluations["ys"]))
    header = read_verified_header(straight / "checkpoints" / BEST_FILE)
    assert (header["kind"], header["score"], header["frames"]) == (
        "eval", evaluations["ys"][place], evaluations["xs"][place],
    )  # fmt: skip
    assert Checkpoints(straight / "checkpoints").load_best()["frames"] == header["frames"]


def test_without_evaluation_training_episodes_select_the_best_agent(tmp_path):
    train(config(tmp_path / "run", run__eval_every=0), FakeFactory())
    ys = next(row for row in scores(tmp_path / "run") if row["kind"] == "train")
    saves = [100, 152, 200]  # rounds of four frames after multiples of 50
    means = [np.mean([y for x, y in zip(ys["xs"], ys["ys"], strict=True) if x <= frame][-10:]) for frame in saves]
    header = read_verified_header(tmp_path / "run/checkpoints" / BEST_FILE)
    assert header["kind"] == "train"
    assert header["score"] >= max(means) - 1e-9


def test_only_a_better_score_replaces_the_best(tmp_path):
    store = Checkpoints(tmp_path)
    given = [("train", 5.0), ("train", 5.0), ("train", 4.0), ("eval", 1.0), ("eval", 2.0)]
    for number, (kind, score) in enumerate(given):
        store.save_best({"number": number}, kind, score)
        assert store.load_best()["number"] == [0, 0, 0, 3, 4][number]
    (tmp_path / BEST_FILE).write_bytes(b"foreign")
    with pytest.raises(UserError, match=r"best\.pt cannot be used .*omit --best"):
        store.load_best()
    store = Checkpoints(tmp_path)
    store.save_best({"number": 7}, "eval", -1.0)
    assert store.load_best()["number"] == 7
    assert store.paths() == []


def test_a_damaged_best_checkpoint_is_replaced(tmp_path):
    Checkpoints(tmp_path).save_best({"number": 0}, "eval", 9.0)
    content = bytearray((tmp_path / BEST_FILE).read_bytes())
    content[-1] ^= 1  # its header still says 9
    (tmp_path / BEST_FILE).write_bytes(content)
    store = Checkpoints(tmp_path)
    store.save_best({"number": 1}, "eval", 5.0)
    store.save_best({"number": 2}, "eval", 4.0)
    assert store.load_best()["number"] == 1


@pytest.mark.parametrize("best", [False, True])
def test_checkpoints_of_another_run_are_refused(straight, tmp_path, best):
    one, other = tmp_path / "one", tmp_path / "other"
    shutil.copytree(straight, one)
    train(config(other, seed=1), FakeFactory())
    shutil.rmtree(other / "checkpoints")
    shutil.copytree(one / "checkpoints", other / "checkpoints")
    with pytest.raises(UserError, match="belong to another config"):
        evaluate({**config(other, seed=1), "eval": {"best": best}}, FakeFactory())


def test_evaluation_of_the_best(straight, capsys):
    best = {**config(straight), "eval": {"best": True}}
    evaluate(best, FakeFactory())
    header = read_verified_header(straight / "checkpoints" / BEST_FILE)
    assert f"at frame {header['frames']}:" in capsys.readouterr().out
    evaluate(config(straight), FakeFactory())
    assert "at frame 200:" in capsys.readouterr().out


def test_an_agent_with_other_shapes_is_refused_by_key_and_shape(tmp_path):
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(4, 2, bias=False)
    with pytest.raises(UserError, match=r"weight: 2 x 3 -> 2 x 4\n  bias: 2 -> absent\n.*another --logdir"):
        load_agent_state(other, one.state_dict(), tmp_path)


@pytest.mark.parametrize("task", ["../../x:Y", "gym_../../../etc/x", "/etc/passwd:A", "a/../../b:C"])
def test_task_names_never_lead_out_of_the_log_folder(task):
    place = resolve_logdir({"task": task, "algo": "v1", "seed": 0, "logdir": ""})
    assert place.parts[0] == "logs"
    assert ".." not in place.parts


@pytest.mark.parametrize("key", ["counters", "logger", "collector", "rng", "replay"])
def test_a_checkpoint_with_other_content_is_refused(straight, tmp_path, key):
    train(config(tmp_path / "run", steps=60), FakeFactory())
    state = newest(tmp_path / "run")
    state[key] = {"odd": [1]}
    Checkpoints(tmp_path / "run/checkpoints").save(state)
    before = lines(tmp_path / "run")
    with pytest.raises(UserError, match="is not a checkpoint of this run"):
        train(config(tmp_path / "run"), FakeFactory())
    assert lines(tmp_path / "run") == before
    assert json.loads((tmp_path / "run/run.json").read_text())["frames"] == 60


def test_a_run_stays_in_its_directory_if_an_environment_changes_the_working_directory(tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    words = [
        "--configs",
        "debug",
        "--task",
        "tests.helpers.faulty_envs:Wanders",
        "--steps",
        "20",
        "--run.save_every",
        "10",
    ]
    flags = ["--run.prefill", "100", "--run.device", "cpu", "--compile", "off", "--run.parallel", "none"]
    assert dreamer.main([*words, *flags, "--logdir", "run"]) == 0
    monkeypatch.chdir(tmp_path)
    assert len(list((tmp_path / "run").glob("checkpoints/*.pt"))) == 2
    assert dreamer.main(["eval", "--logdir", "run", "--episodes", "1"]) == 0
    assert (tmp_path / "run" / "eval.json").exists()
    assert not list((tmp_path / "elsewhere").iterdir())
