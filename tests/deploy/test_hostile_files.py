"""Hostile or damaged files: small files that expand, huge numbers, malformed JSON and archives."""

import gzip
import itertools
import json
import random
import shutil
import time
import zipfile

import numpy as np
import pytest

import dreamer
from common import safe_io
from common.config.config import read
from common.datasets import npz_files as episode_files
from common.errors import UserError
from common.replay import chunked_ring
from common.replay.ring import Ring
from common.storage import spaces
from tests.helpers.saved_runs import say, untrained

DEEP = "[" * 100_000
HUGE = "1" + "0" * 400


def bomb(levels=12, width=9):
    """Return a short YAML text that merges into more values than fit into memory."""
    names = [f"k{i}" for i in range(levels)]
    lines = [f"{names[0]}: &{names[0]} {{x: 1}}"]
    for before, name in itertools.pairwise(names):
        lines.append(f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * width)}]}}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("hostile") / "run"
    untrained(logdir, "v3", "dummy_point_6")
    return logdir


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def refused(words, capsys, says):
    assert say(*words) == 2
    said = capsys.readouterr().err
    assert said.count("Error: ") == 1, said
    assert says in said, said


def commands(run):
    return {
        "eval": ["eval", "--logdir", run],
        "explain": ["explain", run],
        "report": ["report", run, "--out", run.parent / "out"],
        "export": ["export", "--logdir", run, "--out", run.parent / "x.pt2"],
        "train": ["--algo", "v3", "--configs", "debug", "--task", "dummy_point_6", "--seed", "3", "--logdir", run],
    }


@pytest.mark.parametrize("command", ["eval", "explain", "report", "export", "train"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(), "more than 10 aliases"),
        (f"batch_size: {HUGE}", "a number of more than"),
        (f"batch_size: 0x{'f' * 6000}", "a number of more than"),
        ("x" * 100_001, "more than 100,000 bytes"),
    ],
    ids=["bomb", "decimal", "hex", "large"],
)
def test_a_config_that_expands_is_refused_at_once(run, command, text, says, capsys):
    (run / "config.yaml").write_text(text)
    begin = time.monotonic()
    refused(commands(run)[command], capsys, says)
    assert time.monotonic() - begin < 5  # an unguarded parser takes hours
    assert not (run.parent / "out").exists()


def test_the_configs_of_the_project_may_use_anchors(tmp_path):
    (tmp_path / "few.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\nd: '*'\n")
    assert read(tmp_path / "few.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}, "d": "*"}


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--logdir", "~nosuchuser/x"],
        ["train", "--run.init", "~nosuchuser/x", "--logdir", "run"],
        ["train", "--run.offline", "~nosuchuser/x", "--logdir", "run"],
        ["eval", "--logdir", "~nosuchuser/x"],
        ["report", "~nosuchuser/x"],
        ["plot", "~nosuchuser/x"],
        ["explain", "~nosuchuser/x"],
        ["reference", "--check", "~nosuchuser/x"],
        ["reference", "--file", "~nosuchuser/x"],
        ["export", "--logdir", "~nosuchuser/x", "--out", "x.pt2"],
        ["debug-batch", "~nosuchuser/x"],
        ["speed", "--algo", "v3", "--logdir", "~nosuchuser/x"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_unknown_home_directory_is_named(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(words, capsys, "'~nosuchuser/x' cannot be used")


@pytest.mark.parametrize("text", [DEEP, '{"spaces": [1]}', f'{{"observation": {HUGE}}}'], ids=["deep", "odd", "huge"])
@pytest.mark.parametrize("name", ["spaces.json", "run.json"])
def test_malformed_json_ends_in_a_message(run, name, text, capsys):
    (run / name).write_text(text)
    if name == "spaces.json":
        refused(commands(run)["export"], capsys, "spaces.json is damaged")
    else:
        assert say(*commands(run)["train"], "--steps", 70) == 2  # it lacks the rest of a checkpoint
        assert "is not a checkpoint of this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "space",
    [
        {"type": "Box", "shape": [2**40], "dtype": "float32", "low": "0.0", "high": "1.0"},
        {"type": "Box", "shape": [2**14, 2**14], "dtype": "float64", "low": "0.0", "high": "1.0"},
        {"type": "Dict", "spaces": [1]},
        {"type": "Discrete", "n": 2**70, "start": 0},
        {"type": "MultiDiscrete", "nvec": [2**62, 2**62], "start": [0, 0]},
        {"type": "MultiBinary", "shape": [2**40]},
        [1],
    ],
    ids=str,
)
def test_spaces_larger_than_memory_are_refused(space):
    with pytest.raises(ValueError, match=r"."):
        spaces.decode_space(space)


def test_a_policy_says_which_file_is_damaged(run):
    (run / "spaces.json").write_text(DEEP)
    with pytest.raises(UserError, match=r"spaces\.json is damaged"):
        dreamer.load(run)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"task": "t", "method": "m", "xs": [1], "ys": [1]}]).replace("[1]", f"[{HUGE}]").encode(),
        gzip.compress(bytes(2 * safe_io.MAX_FILE_BYTES), 1),
        gzip.compress(b"[]")[:-4],
        DEEP.encode(),
    ],
    ids=["number", "bomb", "cut", "deep"],
)
def test_score_files_that_expand_are_refused(content, tmp_path, capsys):
    (tmp_path / "scores.json").write_bytes(content)
    refused(["reference", "--file", tmp_path / "scores.json", "--task", "dmc_walker_walk"], capsys, "is not a score")


def save_npz(path, **arrays):
    np.savez(path, **arrays)


def header_bit(path, **arrays):
    """Write an intact archive with a damaged array header."""
    np.savez(path, **arrays)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(b"(1, 4", b"(1, (4") if name.startswith("data/") else data)


def promises(path, **arrays):
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                about = {"descr": "<f4", "fortran_order": False, "shape": (1, 2**40)}
                np.lib.format.write_array_header_1_0(file, about)
                file.write(array.tobytes())


GOOD = {"first": np.int64(0), "data/x": np.zeros((1, 4), np.float32)}


@pytest.mark.parametrize(
    ("write", "change"),
    [
        (header_bit, {}),
        (promises, {}),
        (save_npz, {"first": np.float64(1e30)}),
        (save_npz, {"first": np.array([0, 1])}),
        (save_npz, {"data/x": np.float32(1)}),
        (save_npz, {"data/x": np.zeros((2, 4), np.float32)}),
        (save_npz, {"data/x": np.zeros((1, 4, 2), np.float32)}),
        (save_npz, {"data/x": np.zeros((1, 4))}),
    ],
    ids=["header", "promise", "1e30", "two firsts", "0-d", "streams", "shape", "dtype"],
)
def test_malformed_chunks_are_named(tmp_path, write, change):
    ring = Ring({"x": np.zeros((1, 8), np.float32)}, 4)
    store = chunked_ring.ChunkedRing("me", ring)
    store.save(tmp_path)
    state = {"ident": "me", "generation": 1}
    chunked_ring.load(tmp_path, state, ring)
    (path,) = tmp_path.glob("chunk-*.npz")
    write(path, **(GOOD | change))
    with pytest.raises(UserError, match=r"chunk-00000000-data-000001\.npz is (damaged|incomplete).*--logdir"):
        chunked_ring.load(tmp_path, state, ring)


@pytest.mark.parametrize("change", [{"length": 0}, {"length": "x"}, {"keys": [1]}, {"keys": None}])
def test_a_malformed_description_of_a_replay_is_named(tmp_path, change):
    ring = Ring({"x": np.zeros((1, 8), np.float32)}, 4)
    chunked_ring.ChunkedRing("me", ring).save(tmp_path)
    about = json.loads((tmp_path / "chunks.json").read_text())
    (tmp_path / "chunks.json").write_text(json.dumps(about | change))
    with pytest.raises(UserError, match=r"chunks\.json is damaged"):
        chunked_ring.load(tmp_path, {"ident": "me", "generation": 1}, ring)


def test_a_flipped_bit_in_an_episode_file_ends_in_a_message_or_nothing(tmp_path):
    path, draw = tmp_path / "e.npz", random.Random(0)
    np.savez_compressed(path, reward=np.zeros(5), action=np.zeros((5, 2)), x=np.zeros((5, 3)))
    whole = path.read_bytes()
    refusals = []
    for _ in range(300):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            episode_files.read_episode(path)
        except UserError as error:
            refusals.append(str(error))
    assert 0 < len(refusals) < 300
    assert all(str(path) in said for said in refusals)


@pytest.mark.parametrize(
    "flags",
    [
        ["--batch_size", 10**9], ["--run.envs", 10**6], ["--rssm.deter", 10**9], ["--mlp.actor.units", 10**8],
        ["--mlp.critic.layers", 10**6], ["--steps", 1e300], ["--env.timeout", 1e12], ["--run.save_every", HUGE],
        ["--imagination.horizon", 10**9], ["--reward.bins", 10**9], ["--replay.max_gib", 1e300],
    ],
    ids=lambda flags: flags[0],
)  # fmt: skip
def test_impossible_numbers_are_refused_by_name(flags, capsys):
    refused(["config", "--algo", "v3", *flags], capsys, flags[0].removeprefix("--"))
