"""Equal budgets: short real runs of all versions reach the requested amounts."""

import json

import pytest

import dreamer
from common.errors import UserError
from common.training.budget import MATCH, UNLIMITED_FRAMES, count_updates, episode_length, update_counter
from common.training.train import train

QUIET = {"run.eval_every": 0, "run.video_every": 0, "run.save_every": 0, "run.threads": 1, "replay.capacity": 5000}
SHORT = QUIET | {"task": "dummy_point", "env.time_limit": 50, "batch_size": 2, "batch_length": 5}


def load(algo, **flags):
    return dreamer.resolve(algo, ["debug"], SHORT | {key.replace("__", "."): value for key, value in flags.items()})


def with_budget(algo, match, amount, **flags):
    return load(algo, **flags, **MATCH[match][0](load(algo, **flags), amount))


#: Version, flags, the most updates in one burst.
SCHEDULES = [
    ("v1", {"schedule.every": 40, "schedule.updates": 6, "run.prefill": 0, "env.repeat": 2, "run.envs": 2}, 6),
    ("v2", {"schedule.steps": 5, "run.pretrain": 7}, 8),
    ("v3", {"schedule.ratio": 3}, 1),
    ("v3", {"schedule.ratio": 25, "run.envs": 4, "env.repeat": 3}, 10),
]


@pytest.mark.parametrize(("algo", "flags", "burst"), SCHEDULES)
def test_runs_make_the_requested_updates_within_one_burst(tmp_path, algo, flags, burst):
    config = with_budget(algo, "updates", 25, **flags) | {"logdir": str(tmp_path / "run")}
    train(config)
    info = json.loads((tmp_path / "run/run.json").read_text())
    assert 25 <= info["updates"] < 25 + burst
    assert info["updates"] - count_updates(config) in range(burst + 1)  # several environments may overshoot
    few = load(algo, **flags, steps=config["steps"] - config["env"]["repeat"])
    assert count_updates(few) < 25 <= count_updates(config)


@pytest.mark.parametrize("algo", ["v1", "v2", "v3"])
def test_replayed_steps_are_updates_of_whole_batches(algo):
    assert with_budget(algo, "replayed", 295)["steps"] == with_budget(algo, "updates", 30)["steps"]
    assert with_budget(algo, "replayed", 300)["steps"] == with_budget(algo, "updates", 30)["steps"]


def test_frames_and_seconds_map_directly_to_keys():
    assert MATCH["frames"][0]({}, 123) == {"steps": 123}
    assert MATCH["time"][0]({}, 123) == {"steps": UNLIMITED_FRAMES, "run.max_seconds": 123}


def test_updates_of_published_settings():
    """Computed by hand.

    V1: 100 at frame 5000 (2500 agent steps), then 100 per 1000 frames. V2: one and 100 extra after 1000 agent steps,
    then one per 5. V3: a window has 65 records, an episode 501. There are 1024 windows at record 1088, which is agent
    step 1086. One update follows then, and 512 / 1024 per step.
    """
    vision = lambda algo: dreamer.resolve(algo, ["dmc_vision"], {"task": "dmc_walker_walk", "run.envs": "1"})
    frames = {algo: MATCH["updates"][0](vision(algo), 1000)["steps"] for algo in ("v1", "v2", "v3")}
    assert frames == {"v1": 5000 + 9 * 1000, "v2": 2 * (1000 + 5 * 899), "v3": 2 * (1086 + 2 * 999)}


def test_updates_wait_for_prefill_and_for_the_replay():
    first = lambda algo, **flags: update_counter(load(algo, **flags))[0]
    assert first("v2", run__prefill=100) == 100
    assert first("v2", run__prefill=0) == 50
    assert first("v3", run__prefill=0, env__time_limit=7) == 15 - 1  # 6 + 10 - 1 records, one of them a reset


@pytest.mark.parametrize(
    ("limit", "repeat", "prefill", "envs", "steps"),
    [(1000, 2, 0, 1, 500), (7, 2, 0, 1, 4), (0, 1, 600, 2, 300), (0, 1, 0, 1, 200), (108_000, 4, 400, 1, 400)],
)
def test_episodes_last_as_long_as_the_limit_or_prefill(limit, repeat, prefill, envs, steps):
    flags = {"env.time_limit": limit, "env.repeat": repeat, "run.prefill": prefill, "run.envs": envs}
    assert episode_length(load("v2", **flags)) == steps


def test_a_run_too_short_for_updates_makes_none():
    assert count_updates(load("v2", steps=99)) == 0
    assert count_updates(load("v2", steps=100)) == 2


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"schedule.ratio": 0.0}, "never makes 40 updates"),
        ({"replay.capacity": 5}, "Raise replay.capacity"),
    ],
)
def test_an_impossible_budget_is_refused(flags, says):
    with pytest.raises(UserError, match=says):
        with_budget("v3", "updates", 40, **flags)
