"""Run directories: locks, configs, run.json, and refusals that change nothing."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from common.commands.eval import evaluate
from common.config.config import flatten, write
from common.errors import UserError
from common.storage.logdir import (
    MAY_CHANGE,
    config_changes,
    config_digest,
    in_use,
    lock_logdir,
    resolve_logdir,
    store_config,
    stored_config,
)
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def short(logdir, **changes):
    return config(logdir, steps=40, run__eval_every=0, run__video_every=0, **changes)


def test_config_comes_back_as_it_was_stored(tmp_path):
    given = config(tmp_path, odd="no", rate=1e-4, names=["a", "off"], nothing=None, big=512.0)
    store_config(tmp_path, given)
    assert stored_config(tmp_path) == given
    assert list(stored_config(tmp_path)) == list(given)
    assert store_config(tmp_path, given) == {}


def test_another_config_is_refused_with_the_differing_keys(tmp_path):
    train(short(tmp_path / "run"), FakeFactory())
    before = snapshot(tmp_path / "run")
    other = short(tmp_path / "run", algo="other", env__repeat=4, run__log_every=7)
    with pytest.raises(UserError) as error:
        train(other, FakeFactory())
    text = str(error.value)
    assert "algo: fake -> other" in text
    assert "env.repeat: 2 -> 4" in text
    assert "log_every" not in text
    assert "another --logdir" in text
    assert {path: data for path, data in snapshot(tmp_path / "run").items() if path.name != ".lock"} == {
        path: data for path, data in before.items() if path.name != ".lock"
    }


def begin(logdir):
    """Mark a run as one that has started training."""
    (logdir / "run.json").write_text('{"sessions": [{}]}')


def test_the_config_of_a_run_that_never_started_may_change(tmp_path):
    store_config(tmp_path, config(tmp_path, algo="wrong"))
    store_config(tmp_path, config(tmp_path, algo="right"))
    assert stored_config(tmp_path)["algo"] == "right"


def test_a_long_list_of_differences_starts_with_the_important_ones(tmp_path):
    store_config(tmp_path, config(tmp_path, many={f"k{i}": 0 for i in range(99)}))
    begin(tmp_path)
    with pytest.raises(UserError, match=r"given\):\n  algo: fake -> other\n  many.k0: 0 -> 1\n(.|\n)*and 85 more\n"):
        store_config(tmp_path, config(tmp_path, algo="other", many={f"k{i}": 1 for i in range(99)}))


def test_missing_and_new_keys_count_as_differences():
    assert config_changes({"a": {"b": 1}}, {"a": {"c": 1}}) == {"a.b": "1 -> (absent)", "a.c": "(absent) -> 1"}
    assert config_changes({"a": [1]}, {"a": (1,)}) == {}


def test_a_run_without_later_keys_resumes(tmp_path):
    given = config(tmp_path)
    old = {**given, "env": {"repeat": 2}}
    assert config_digest(old) == config_digest(given)
    assert config_digest({**given, "env": {**given["env"], "render": "ray"}}) != config_digest(given)
    write(tmp_path / "config.yaml", old)
    begin(tmp_path)
    assert store_config(tmp_path, given) == {}


@pytest.mark.parametrize("key", sorted(MAY_CHANGE))
def test_allowed_keys_may_change_and_do_not_change_the_digest(tmp_path, key):
    given = config(tmp_path, env__max_failures=1, env__timeout=1.0)
    flat = flatten(given)
    assert key in flat
    block, name = [*key.split(".")] if "." in key else ["", key]
    changed = {**given, **({block: {**given[block], name: 99}} if block else {name: 99})}
    store_config(tmp_path, given)
    assert config_digest(changed) == config_digest(given)
    assert set(store_config(tmp_path, changed)) == {key} - {"logdir"}
    assert flatten(stored_config(tmp_path))[key] == 99
    assert config_digest({**given, "seed": 5}) != config_digest(given)


def test_a_changed_flag_takes_effect_and_is_printed(tmp_path, capsys):
    train(short(tmp_path / "run"), FakeFactory())
    train(config(tmp_path / "run", steps=60, run__eval_every=0, run__video_every=0, run__log_every=2), FakeFactory())
    assert "run.log_every: 20 -> 2" in capsys.readouterr().err
    frames = [json.loads(line)["frames"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {44, 48, 52, 56, 60} <= set(frames)


def test_a_folder_with_unrelated_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"contains unrelated files \(thesis.tex\)"):
        train(short(tmp_path), FakeFactory())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_logdir_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file/below", "/proc/nothing/here"):
        with pytest.raises(UserError, match=r"Cannot write to logdir .* Choose another"):
            train(short(place), FakeFactory())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_logdir_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"Cannot write to logdir .*Permission denied"):
        train(short(tmp_path), FakeFactory())


@pytest.mark.parametrize("name", [".lock", "run.json", "metrics.jsonl", "checkpoints/best.pt"])
def test_a_pipe_in_place_of_a_file_is_refused_before_it_blocks(tmp_path, name):
    train(short(tmp_path / "run"), FakeFactory())
    (tmp_path / "run" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(UserError, match=rf"{name} is a pipe or a device"):
        train(short(tmp_path / "run"), FakeFactory())
    with pytest.raises(UserError, match=rf"{name} is a pipe or a device"):
        stored_config(tmp_path / "run")


def test_only_run_directories_are_searched_for_pipes(tmp_path, monkeypatch):
    """Otherwise `--logdir /` would look at every file of the machine."""
    monkeypatch.setattr("common.storage.logdir.os.walk", lambda folder: pytest.fail(f"searched {folder}"))
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not a run directory"):
        stored_config(tmp_path)
    with pytest.raises(UserError, match="contains unrelated files"), lock_logdir(tmp_path):
        pass


def test_a_second_process_in_a_logdir_is_refused(tmp_path):
    with lock_logdir(tmp_path / "run"), pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        train(short(tmp_path / "run"), FakeFactory())
    train(short(tmp_path / "run"), FakeFactory())


def test_a_damaged_config_is_reported(tmp_path):
    train(short(tmp_path / "run"), FakeFactory())
    (tmp_path / "run/config.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"config\.yaml is not valid YAML"):
        train(short(tmp_path / "run"), FakeFactory())


def test_checkpoints_of_another_config_are_refused(tmp_path):
    for seed in (0, 1):
        train(short(tmp_path / f"{seed}", seed=seed), FakeFactory())
    (tmp_path / "0/checkpoints").rename(tmp_path / "gone")
    (tmp_path / "1/checkpoints").rename(tmp_path / "0/checkpoints")
    with pytest.raises(UserError, match=r"belong to another config(.|\n)*seed: 1 -> 0"):
        train(short(tmp_path / "0"), FakeFactory())


def test_default_and_timestamped_logdirs():
    assert resolve_logdir(config("", task="my_env:MyEnv")) == Path("logs/my_env_MyEnv/fake/0")
    assert re.fullmatch(r"a/\d{8}T\d{6}/b", str(resolve_logdir(config("a/{timestamp}/b"))))


def test_peak_memory_is_the_largest_of_all_sessions(tmp_path, monkeypatch):
    for memory in (300, 200):
        monkeypatch.setattr("common.training.session.peak_memory", lambda device, memory=memory: memory)
        train(config(tmp_path / "run", steps=40 if memory == 300 else 60), FakeFactory())
    assert json.loads((tmp_path / "run/run.json").read_text())["peak_memory"] == 300


def test_run_json_records_sessions_versions_and_hardware(tmp_path):
    train(short(tmp_path / "run"), FakeFactory())
    train(config(tmp_path / "run", steps=60, run__eval_every=0, run__video_every=0), FakeFactory())
    info = json.loads((tmp_path / "run/run.json").read_text())
    assert (info["task"], info["algo"], info["seed"]) == ("dummy_onehot_7", "fake", 0)
    assert (info["resumes"], info["frames"], [s["frames"] for s in info["sessions"]]) == (1, 60, [0, 40])
    assert info["wall"] > 0
    assert info["parameters"] == 4
    assert info["updates"] == json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])["updates"] > 0
    assert info["peak_memory"] > 1e7
    session = info["sessions"][0]
    assert session["packages"]["torch"].startswith("2.")
    assert {"git", "python", "hardware", "command", "started"} <= set(session)
    assert session["hardware"]["cores"] >= 1


def test_a_damaged_run_json_does_not_release_the_config(tmp_path):
    logdir = tmp_path / "run"
    train(short(logdir), FakeFactory())
    (logdir / "run.json").write_text("{")
    before = (logdir / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="algo: fake -> other"):
        train(short(logdir, algo="other"), FakeFactory())
    assert (logdir / "config.yaml").read_bytes() == before


class Other(FakeFactory):
    """Makes environments with other spaces than before."""

    def envs(self, config, **kwargs):
        return super().envs({**config, "task": "dummy_point_12"}, **kwargs)


@pytest.mark.parametrize("command", [train, evaluate])
def test_a_changed_environment_is_refused_and_changes_no_file(tmp_path, command):
    logdir = tmp_path / "run"
    train(short(logdir), FakeFactory())
    before = snapshot(logdir)
    with pytest.raises(UserError):
        command(config(logdir, steps=60, run__eval_every=0, run__video_every=0), Other())
    assert snapshot(logdir) == before | {logdir / ".lock": (logdir / ".lock").read_bytes()}


def test_a_forked_child_does_not_hold_the_lock_after_the_run(tmp_path):
    ready, begun = os.pipe()
    with lock_logdir(tmp_path / "run"):
        if (child := os.fork()) == 0:
            os.write(begun, b"!")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
        assert in_use(tmp_path / "run")
    try:
        assert not in_use(tmp_path / "run")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(begun)


def test_a_killed_process_leaves_no_lock(tmp_path):
    """Even if a child that it forked is still running."""
    ready, begun = os.pipe()
    if (child := os.fork()) == 0:
        with lock_logdir(tmp_path / "run"):
            if os.fork() == 0:
                os.write(begun, str(os.getpid()).encode())
                time.sleep(60)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    grandchild = int(os.read(ready, 20))
    try:
        assert not in_use(tmp_path / "run")
        with lock_logdir(tmp_path / "run"):
            assert (tmp_path / "run/.lock").read_text() == str(os.getpid())
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(ready)
        os.close(begun)
