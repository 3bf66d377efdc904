"""Runs with actors, without Ray: what is stored, asked for, refreshed, closed and resumed."""

import itertools
import json

import numpy as np
import pytest
import torch

import dreamer
from common.errors import UserError
from common.replay import Replay
from common.replay.shards import ShardedReplay
from common.storage.logger import Logger
from common.training.actors.collector import OPEN_REQUESTS, ActorCollector
from common.training.actors.group import ActorGroup, LostActors
from common.training.clock import Stopwatch
from common.training.loop import Loop
from common.training.train import train
from dreamer_v3.sampler import Windows
from tests.helpers.actor_fakes import SPEC, PoolHere, ScriptedPool, acting_agent
from tests.helpers.run_fakes import lines, newest

PREFILL, STEPS, CHUNK, REFRESH = 60, 400, 7, 3


def collector(seed, sizes=(2, 1, 3), losses=0.0, max_failures=10**6):
    """Return a collector of scripted actors."""
    pool = ScriptedPool(np.random.default_rng(seed), list(sizes), losses)
    group = ActorGroup(pool, list(sizes), {"env": {"max_failures": max_failures}}, [0] * len(sizes))
    parts = [Replay(SPEC, size, sampler=Windows(), capacity=10_000 * size, max_gib=0.5) for size in sizes]
    options = {"chunk": CHUNK, "refresh": REFRESH, "prefill": PREFILL, "steps": STEPS}
    return ActorCollector(group, acting_agent(), ShardedReplay(parts, seed), Stopwatch(), **options)


def drive(made, ratio=0.05):
    """Run a schedule of `ratio` updates per step to its end; return the steps and finished episodes."""
    steps, updates, episodes = 0, 0, []
    for _ in range(10_000):
        steps += made.send(random=steps < PREFILL, step=steps, updates=updates)
        updates = int(ratio * steps)
        episodes += made.receive()
        made.envs.check()
        if steps >= STEPS:
            return steps, episodes
    raise AssertionError("the run does not end")


def stored(made, actor):
    """Return the records of an actor's part, arrays (n, T, ...)."""
    ring = made.replay.shards[actor].ring
    return {key: ring.block(key, 0, ring.count) for key in SPEC}


def expected(pool, actor):
    """Return serials and flags that the streams of an actor must have, from what it delivered."""
    rows, last = [], None
    for each in pool.delivered[actor]:
        if each != "lost":
            for t in range(len(each.closed)):
                last = {key: value[t] for key, value in each.records.items()}
                rows.append(last)
        elif last is not None and not last["is_last"].all():
            ended = last["is_last"]
            last = last | {"is_first": ended, "is_last": ended | True, "is_terminal": ended & last["is_terminal"]}
            rows.append(last | {"reward": 0 * last["reward"], "action": 0 * last["action"]})
    return {key: np.stack([row[key] for row in rows], 1) for key in SPEC}


def check_streams(made):
    """Assert that nothing is missing or doubled, and that every stream is a sequence of whole or truncated episodes."""
    for actor in range(len(made.replay.shards)):
        found, wanted = stored(made, actor), expected(made.actors.pool, actor)
        for key in SPEC:
            assert np.array_equal(found[key], wanted[key]), (actor, key)
        first, last = found["is_first"], found["is_last"]
        assert first[:, 0].all()
        assert np.array_equal(first[:, 1:], last[:, :-1])
        assert not (found["is_terminal"] & ~last).any()


@pytest.mark.parametrize("seed", range(12))
def test_every_stream_is_a_valid_sequence_in_any_order_of_arrival(seed):
    """With and without lost actors: nothing is lost that was delivered, nothing is stored twice."""
    made = collector(seed, losses=0.0 if seed % 2 else 0.15)
    steps, episodes = drive(made)
    check_streams(made)
    pool = made.actors.pool
    chunks = [each for part in pool.delivered for each in part if each != "lost"]
    assert steps == sum(chunk.steps for chunk in chunks)
    whole = [episode for episode in episodes if not episode.broken]
    assert whole == [e for e in whole if e.score == e.length]  # reward 1 per step
    assert len(whole) == sum(len(chunk.episodes) for chunk in chunks)
    lost = sum(part.count("lost") for part in pool.delivered)
    assert made.actors.replaced == lost
    assert bool(lost) == (seed % 2 == 0)
    assert any(episode.broken for episode in episodes) == bool(lost)


@pytest.mark.parametrize("seed", range(6))
def test_requests_keep_to_the_schedule(seed):
    """No actor has more than two open requests; requests end with the prefill and with the run."""
    made = collector(seed)
    pool, most = made.actors.pool, [0]
    ask = pool.ask

    def counting(actor, request):
        ask(actor, request)
        most.append(sum(isinstance(each, type(request)) for each in pool.queues[actor]))

    pool.ask = counting
    steps, _ = drive(made)
    assert max(most) == OPEN_REQUESTS
    assert STEPS <= steps < STEPS + max(pool.sizes)
    asked = {True: 0, False: 0}
    for actor, request in pool.requests:
        assert 0 < request.rounds <= CHUNK
        asked[request.random] += request.rounds * pool.sizes[actor]
    assert PREFILL <= asked[True] < PREFILL + 2 * sum(pool.sizes) * CHUNK
    assert asked[False] > 0


def test_weights_are_published_once_per_refresh_and_requests_name_them():
    made = collector(1)
    drive(made, ratio=0.5)
    versions = [version for version, _ in made.actors.pool.published]
    assert versions[0] == 0
    assert all(later - before >= REFRESH for before, later in itertools.pairwise(versions))
    assert len(versions) > 10
    assert {request.version for _, request in made.actors.pool.requests} <= set(versions)


def test_the_lag_is_the_number_of_updates_since_the_weights_that_acted():
    made = collector(2)
    drive(made, ratio=0.0)
    found = made.metrics()
    assert found["actors/lag"] == found["actors/lag_max"] == 0.0
    made = collector(2)
    drive(made, ratio=0.5)
    found = made.metrics()
    most = 0.5 * sum(made.actors.sizes) * CHUNK * (OPEN_REQUESTS + 1) * 10 + REFRESH
    assert 0 < found["actors/lag"] <= found["actors/lag_max"] <= most
    assert "actors/lag" not in made.metrics()  # nothing arrived since


def test_an_actor_that_dies_again_and_again_ends_the_run_with_the_reason():
    made = collector(3, losses=1.0, max_failures=2)
    with pytest.raises(LostActors, match=r"was lost 3 times in a row\. The last time: the test said that it died\."):
        drive(made)


# Whole runs, with actors in this process


@pytest.fixture
def here(monkeypatch):
    """Run actors in this process; return the list of pools that were made."""
    monkeypatch.setattr("common.training.actors.factory.RayPool", PoolHere)
    PoolHere.made.clear()
    return PoolHere.made


def config(logdir, **flags):
    tiny = {
        "task": "dummy_counter_10", "steps": 160, "batch_size": 2, "batch_length": 6, "run.threads": 1,
        "run.device": "cpu", "run.prefill": 30, "run.envs": 3, "run.parallel": "none", "run.log_every": 20,
        "run.save_every": 80, "run.eval_every": 80, "run.video_every": 0, "replay.capacity": 400,
        "schedule.ratio": 1.5, "run.actors": "ray", "run.actor_chunk": 4, "run.actor_refresh": 2,
    }  # fmt: skip
    return dreamer.resolve("v3", ["debug"], {**tiny, **flags, "logdir": str(logdir)})


def test_a_run_with_actors_trains_logs_and_evaluates(here, tmp_path, capsys):
    train(config(tmp_path / "run"))
    rows = [row for row in lines(tmp_path / "run") if "actors/replaced" in row]
    assert rows[-1]["frames"] in range(160, 163)
    assert rows[-1]["updates"] > 10
    assert rows[-1]["actors/replaced"] == 0
    assert 0 < max(row.get("actors/lag_max", 0) for row in rows) <= 12
    assert any("eval/score" in row for row in lines(tmp_path / "run"))
    assert any("episode/score" in row for row in rows)
    assert "Finished: " in capsys.readouterr().err
    versions = {request.version for _, request in here[0].requests}
    assert len(versions) > 3


def test_refreshed_weights_are_those_of_the_learner(here, tmp_path):
    train(config(tmp_path / "run", **{"run.actor_refresh": 1}))
    learned = newest(tmp_path / "run")["agent"]
    pool = here[0]
    assert pool.actors[0].version > 10
    fresh = dict(config(tmp_path / "other"))
    initial = pool.actors[0].factory.agent(pool.actors[0].envs.obs_space, pool.actors[0].envs.act_space, fresh)
    acting = pool.actors[0].agent.world.encoder.state_dict()
    distance = lambda one: sum(float((one[key] - acting[key]).abs().sum()) for key in acting)
    assert distance(initial.world.encoder.state_dict()) > 0
    prefix = "world.encoder."
    final = {key[len(prefix) :]: value for key, value in learned.items() if key.startswith(prefix)}
    assert final.keys() == acting.keys()
    assert distance(final) < 0.3 * distance(initial.world.encoder.state_dict())


def test_a_lost_actor_is_replaced_and_its_episodes_end_as_truncated(here, tmp_path, monkeypatch, capsys):
    update = Loop._update

    def killing(self):
        if self.updates == 3 and not self.collector.actors.replaced:
            here[0].doomed.add(1)
        update(self)

    monkeypatch.setattr(Loop, "_update", killing)
    train(config(tmp_path / "run"))
    rows = [row for row in lines(tmp_path / "run") if "actors/replaced" in row]
    assert rows[-1]["actors/replaced"] == 1
    assert rows[-1]["train/broken"] == 1
    assert "Actor 1 was lost and is started again: the test killed it." in capsys.readouterr().err
    assert rows[-1]["frames"] >= 160


def test_a_resumed_run_has_the_records_and_begins_new_episodes(here, tmp_path, monkeypatch):
    update = Loop._update

    def stopping(self):
        if self.updates == 6:
            self.stop.signal = 15
            self.stop.check()
        update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_update", stopping)
        with pytest.raises(SystemExit) as exit_:
            train(config(tmp_path / "run"))
    assert exit_.value.code == 143
    before = newest(tmp_path / "run")
    loops = []
    monkeypatch.setattr(Loop, "run", lambda self: loops.append(self))
    train(config(tmp_path / "run"))
    replay = loops[0].replay
    assert loops[0].updates == before["counters"]["updates"] == 6
    counts = [state["count"] for state in (before["replay"], *before["replay"]["shards"])]
    for shard, count in zip(replay.shards, counts, strict=True):
        ring = shard.ring
        assert ring.count in (count, count + 1)  # a record that ends the open episodes
        last = {key: ring.block(key, ring.count - 1, ring.count)[:, 0] for key in shard.spec}
        assert last["is_last"].all()
    assert [life for life in loops[0].collector.actors.lives] == [1, 1]
    seeds = {actor.config["seed"] for pool in here for actor in pool.actors.values()}
    assert len(seeds) == 4
    saved = torch.cat([x.flatten() for x in loops[0].agent.world.encoder.state_dict().values()])
    wanted = [before["agent"][f"world.encoder.{key}"] for key in loops[0].agent.world.encoder.state_dict()]
    assert torch.equal(saved, torch.cat([x.flatten() for x in wanted]))


def test_an_environment_that_fails_too_often_ends_the_run_as_without_actors(here, tmp_path):
    flags = {"task": "tests.helpers.faulty_envs:NeverWhole", "env.max_failures": 2, "run.eval_every": 0}
    flags |= {"run.actor_count": 1, "run.envs": 1, "run.prefill": 200, "steps": 400}
    messages = []
    for name, actors in (("with", "ray"), ("without", "none")):
        with pytest.raises(UserError) as error:
            train(config(tmp_path / name, **flags, **{"run.actors": actors}))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "broke 3 times in a row" in messages[0]
    failures = [(tmp_path / name / "failures.log").read_text().count("Environment 0") for name in ("with", "without")]
    assert failures[0] == failures[1] > 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"run.envs": 1}, r"run\.envs is 1, too few for 2 actors: add --run\.envs 2 or more"),
        ({"run.offline": "somewhere"}, r"run\.offline learns from stored records, without actors"),
        ({"task": "dummy_nothing"}, "Unknown task 'dummy_nothing'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(here, tmp_path, flags, says):
    with pytest.raises(UserError, match=says):
        train(config(tmp_path / "run", **flags))
    assert not (tmp_path / "run").exists()


def test_without_ray_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"run\.actors ray needs another package: pip install ray"):
        train(config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_film_of_a_training_episode_comes_from_the_first_actor(here, tmp_path, monkeypatch):
    films = []
    monkeypatch.setattr(Logger, "save_video", lambda self, name, frames, pictures: films.append((name, pictures)))
    flags = {"task": "dummy_mixed_image_10", "run.video_every": 60, "run.eval_every": 0}
    train(config(tmp_path / "run", **flags))
    found = [pictures for name, pictures in films if name == "train/episode"]
    assert found
    assert found[0].shape == (11, 64, 64, 3)
    assert (found[0][1:] != found[0][:-1]).any()


def test_a_checkpoint_of_other_actors_is_refused(here, tmp_path):
    train(config(tmp_path / "run"))
    with pytest.raises(UserError, match=r"run\.actor_count"):
        train(config(tmp_path / "run", **{"run.actor_count": 3, "steps": 200}))
    path = tmp_path / "run" / "config.yaml"
    assert "actor_count: 2" in path.read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["task"] == "dummy_counter_10"
