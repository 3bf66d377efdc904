"""`check-env` reports problems of an environment without false alarms; unusual environments train."""

import runpy
import sys

import numpy as np
import pytest

import dreamer
from common.config import versions
from tests.helpers.awkward_envs import Mixed

AWKWARD = "tests.helpers.awkward_envs"


def check(capsys, task, *words):
    """Run check-env; return its exit code and output."""
    code = dreamer.main(["check-env", task, "--algo", "v3", "--configs", "debug", *words])
    output = capsys.readouterr()
    assert code == 0 or "has problems, see above" in output.err
    return code, output.out


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Leaks", "An episode depends on earlier episodes"),
        ("Unseeded", "The same seed gives another episode"),
        ("Black", "has values from 0 to 1, its space says 0 to 255: the agent sees black"),
        ("Cut", "its space says 0 to 1: values outside are clipped"),
        ("Lost", "is read as 3,072 numbers. An image? Put the channels first or last."),
        ("Misshapen", "It broke at the reset of episode 1: ValueError: Observation 'vector' has shape (2,)"),
        ("Broken", "It broke at step 3 of episode 1: ValueError: Observation 'vector' is not finite"),
    ],
)
def test_problems(task, message, capsys):
    code, out = check(capsys, f"{AWKWARD}:{task}", "--limit", "20")
    assert code == 2
    problems = out.split("\nProblems:\n")[1].split("\nNotes:")[0].strip().splitlines()
    assert len(problems) == 1, out
    assert message in problems[0]


@pytest.mark.parametrize(
    ("task", "messages"),
    [
        ("Plain", []),
        ("OldInTime", ["step returns four values", "The largest reward is 500"]),
        ("Dies", ["terminated after exactly 7 steps", "largest reward is 10000", "its space says -1 to 1",
                  "Scale them to about 1"]),
        ("Endless", ["have no bounds", "No episode ended within 20 steps", "rewards of random actions were 0"]),
    ],
)  # fmt: skip
def test_notes_are_not_problems(task, messages, capsys):
    code, out = check(capsys, f"{AWKWARD}:{task}", "--limit", "20")
    assert code == 0
    assert "\nProblems:" not in out
    assert out.count("\n  - ") == len(messages), out
    assert all(text in out for text in messages)


def test_notes_on_images_arrays_like_images_and_long_one_hot_vectors(capsys):
    code, out = check(capsys, "tests.helpers.drawn_envs:ManyChannels", "--limit", "20")
    assert code == 2
    assert "uint8 (32, 32, 20) from 0 to 255, is read as 20,480 numbers. An image? It has at most 15 channels." in out
    code, out = check(capsys, "tests.helpers.drawn_envs:Shown", "--limit", "20")
    assert code == 0
    for text in (
        "Image 'dim' has values from 0 to 10 of 255: the agent sees nearly black",
        "Image 'few' has the bounds 0 to 5: its bytes are scaled from them to 0 to 255. If they are symbols, declare",
        "'deep', uint8 (20, 32, 32, 3) from 0 to 255, is read as 61,440 numbers. An image? A stack is (n, H, W, C)",
        "'flat', float32 (32, 40) from -inf to inf, is read as 1,280 numbers. An image? Use uint8, or the bounds 0, 1.",
        "Observation 'word' has 5,000 values: a one-hot vector",
        "The actions have 2,000 values: a one-hot vector",
    ):
        assert out.count(text) == 1, (text, out)
    assert out.count("\n  - ") == 6, out


def test_observations_that_no_network_reads_cost_nothing(capsys):
    code, out = check(capsys, f"{AWKWARD}:Wide", "--enc.spaces", "state", "--dec.spaces", "state")
    assert code == 0, out
    assert "replay: 63 bytes a step" in out  # 3 numbers, action, reward, flags, latents
    assert "-> float32 (64000,), not read and not stored" in out
    assert "is read as" not in out
    code, out = check(capsys, f"{AWKWARD}:Wide", "--enc.spaces", "state")
    assert code == 2  # the decoder reads it
    assert "replay: 256,063 bytes a step" in out
    assert "Observation 'map', float32 (40, 40, 40) from 0 to 9, is read as 64,000 numbers" in out


@pytest.mark.parametrize("task", ["EndsAtOnce", "EndsAtOnceInTime"])
def test_an_environment_that_ends_at_every_step_is_not_without_problems(task, capsys):
    _, out = check(capsys, f"{AWKWARD}:{task}")
    assert "No problems." not in out
    assert "\nEvery step ended an episode." in out
    assert "Every episode ended at its first step" in out


def test_values_that_are_not_numbers_are_not_logged(capsys):
    code, out = check(capsys, "tests.helpers.faulty_envs:LogsWords", "--limit", "20")
    assert code == 0
    assert out.count("info['log_msg'] is left out of the logs: 'hello' is not a number.") == 1


def test_printed_report(capsys):
    code, out = check(capsys, f"{AWKWARD}:Mixed", "--enc.spaces", "camera|joint", "--dec.spaces", "camera")
    assert code == 0
    for text in (
        "observation camera  Box(0, 1, (3, 40, 50), float32) -> uint8 (64, 64, 3), seen ",
        "observation log_time  Box(0.0, 99.0, (), float32), for the logs only, seen 0 to 7",
        "observation mission  Text",
        "charset=0123456789",
        ", left out",
        "-> MultiDiscrete([ 3 11 11 11  2  2])",
        "7 steps, return 7, truncated; 7 steps, return 7, truncated; 7 steps, return 7, truncated",
        "reward of a step  1 to 1, mean 1",
        "    3 records with is_first 1, is_last 0, is_terminal 0",
        "    3 records with is_first 0, is_last 1, is_terminal 0",
        "   18 records with is_first 0, is_last 0, is_terminal 0",
        "frames/s in one process",
        "encoder: PoolConv of camera, MLP of joint; decoder: PoolConv of camera",
        "actor: OneHot; replay: ",
        "each of the 3 continuous numbers takes one of 11 values",
        "Observation 'mission' is left out",
    ):
        assert text in out, (text, out)


def test_bytes_of_a_step_match_the_replay(capsys):
    _, out = check(capsys, "dummy_point", "--replay.capacity", "1000")
    size = 2 * 4 + 4 + 4 + 3 + 16 * 2 + 4  # vector, action, reward, flags, deter in half, stoch in bytes
    assert f"replay: {size} bytes a step, at capacity 1,000 steps" in out


def test_without_algo_all_versions_are_reported_and_refusals_are_problems(capsys):
    assert dreamer.main(["check-env", "dummy_pixels_7", "--env.size", "32", "--configs", "debug"]) == 2
    out = capsys.readouterr().out
    assert all(f"\n{algo:>{out.index('dummy') - 2}}  " in out for algo in dreamer.ALGOS)
    assert "v1: conv.use ValidConv takes 64x64 images, got 32x32" in out
    assert "encoder: PoolConv of image" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "takes one task"), (["dummy", "--episodes", "0"], "at least 1"), (["dummi"], "Did you mean dummy?")],
)
def test_invalid_arguments(words, message, capsys):
    assert dreamer.main(["check-env", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("algo", ["v1", "v3"])
def test_everything_at_once_trains(algo, tmp_path, capsys):
    words = ["--algo", algo, "--configs", "debug", "--task", f"{AWKWARD}:Mixed", "--logdir", str(tmp_path / "run")]
    words += ["--steps", "60", "--run.log_every", "10", "--run.prefill", "20", "--threads", "1"]
    words += ["--run.eval_every", "40", "--run.video_every", "0", "--replay.capacity", "1000"]
    words += ["--enc.spaces", "camera|map|joint|gear.*"]
    code, err = dreamer.main(words), capsys.readouterr().err
    assert code == 0, err
    assert err.count("'mission' is left out") == 1  # the evaluation does not repeat it
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    numbers = dict(mean=3.5, max=7, sum=28)
    assert all(f'"env/time/{name}": {float(value)}' in lines for name, value in numbers.items()), lines
    assert '"env/time": 7.0' in lines
    policy, env, state = dreamer.load(tmp_path / "run"), Mixed(), None
    obs, _ = env.reset(seed=0)
    for _ in range(3):
        action, state = policy(obs, state)
        obs = env.step(action)[0]  # refuses actions outside its space
    assert "log_time" not in lines
    assert np.isfinite(float(lines.split('"loss/gear_state_0": ')[1].split(",")[0]))


def test_the_example_trains_and_is_evaluated_from_the_root(tmp_path, monkeypatch, capsys):
    example = versions.CONFIG_FOLDER.parent / "examples" / "custom_env.py"
    assert len(example.read_text().splitlines()) <= 30
    words = ["--configs", "debug", "--logdir", str(tmp_path / "run"), "--steps", "130", "--run.log_every", "50"]
    with monkeypatch.context() as script:
        script.setattr(sys, "argv", [str(example), *words, "--run.prefill", "20", "--threads", "1"])
        script.syspath_prepend(example.parent)  # Python does this for a script
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(example), run_name="__main__")
    assert exit_.value.code == 0, capsys.readouterr().err
    assert "env/distance/max" in (tmp_path / "run" / "metrics.jsonl").read_text()
    for name in ("custom_env", "examples.custom_env", "examples"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(example.parents[1])
    code = dreamer.main(["eval", "--logdir", str(tmp_path / "run"), "--episodes", "1"])
    assert code == 0, capsys.readouterr().err
