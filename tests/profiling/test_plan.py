"""`plan`: forecasts match the run that follows, and suggestions follow from counts."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

import dreamer
from common.agent import cost
from common.commands import plan
from common.config.request import Request
from common.errors import UserError
from common.nn import machine
from common.profiling import cost_suggestions, forecast, measure
from common.profiling.cost_suggestions import CostSuggestions
from common.profiling.forecast import RunCounts, UnitTimes
from common.profiling.speed import BuiltRun
from common.replay.capacity import GIB
from common.training.budget import count_updates

pytestmark = pytest.mark.xdist_group("run_plan")  # they share a slow fixture

FLAGS = ["--algo", "v3", "--configs", "debug", "--task", "dummy_pixels_20", "--steps", "120", "--run.eval_every", "0"]
FLAGS += ["--run.video_every", "60", "--run.log_every", "20", "--run.save_every", "60", "--replay.capacity", "2000"]
FLAGS += ["--run.compile", "off", "--env.time_limit", "20", "--batch_size", "2", "--schedule.ratio", "2"]
PACE = UnitTimes(
    update=1.0, draw=0.1, log=0.01, policy=0.02, environment=0.03, store=0.001, line=0.5, film=2.0, picture=0.1
)
COUNTS = RunCounts(steps=100, updates=50, records=110, evaluated=40, pictures=30, films=3, lines=10)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return a forecast, and the run directory of the same run."""
    folder = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(machine, "MATMUL_SIDES", {"cpu": (64,)})
        patch.setattr(machine, "COPY_BYTES", {"cpu": 2**20})
        patch.setattr(measure, "FILLED", (2**20, 200))
        patch.setattr(cost_suggestions, "SMALLER_BLOCKS", ())
        assert dreamer.main(["plan", *FLAGS, "--updates", "3", "--json", "plan.json", "--logdir", "run"]) == 0
        assert [path.name for path in folder.iterdir()] == ["plan.json"]
        assert dreamer.main(["train", *FLAGS, "--logdir", "run"]) == 0
    return json.loads((folder / "plan.json").read_text()), folder / "run"


def size(paths):
    return sum(path.stat().st_size for path in paths)


def test_the_run_has_the_forecast_counts(ran):
    found, logdir = ran
    done, info = found["counts"], json.loads((logdir / "run.json").read_text())
    assert (done["steps"], done["updates"]) == (120, info["updates"])
    lines = [json.loads(line) for line in (logdir / "metrics.jsonl").open()]
    assert done["records"] == 1 + max(line.get("replay/size", 0) for line in lines)  # the last record is not in a line
    assert done["lines"] == sum("replay/size" in line for line in lines)
    films = list((logdir / "videos").glob("*.gif"))
    assert done["films"] == sum("openloop" in film.name for film in films)


def test_the_run_fills_the_disk_as_forecast(ran):
    found, logdir = ran
    disk = found["disk"]
    assert found["replay"]["bytes"] < size((logdir / "replay").iterdir()) < disk["replay"] + 2**14
    assert 0 < size((logdir / "checkpoints").iterdir()) - disk["checkpoints"] < 2**18  # data other than arrays
    logs, videos = [*logdir.glob("*.jsonl"), *logdir.glob("events*")], list((logdir / "videos").iterdir())
    assert size(videos) < disk["videos"]
    assert size(logs) - size(videos) < 3 * disk["logs"]


def test_parts_add_up(ran):
    found = ran[0]
    assert found["total"] == pytest.approx(sum(found["time"].values()))
    assert found["time"] == pytest.approx(
        forecast.forecast_seconds(RunCounts(**found["counts"]), UnitTimes(**found["pace"]))
    )
    assert found["replay"]["bytes"] == found["memory"]["replay"] == 126 * found["replay"]["record_bytes"]
    assert found["memory"]["program"] > 2**26
    assert all(one["seconds"] is None or one["seconds"] < found["total"] for one in found["cheaper"])


def test_seconds_are_counts_times_pace():
    assert forecast.forecast_seconds(COUNTS, PACE) == pytest.approx({
        "updates": 50, "replay": 5.1, "policy": 2, "environment": 3, "evaluation": 2, "logging": 5.5, "videos": 9,
    })  # fmt: skip


def test_counts_come_from_the_config():
    flags = {"task": "dmc_walker_walk", "steps": "100000", "run.eval_episodes": "2"}
    config = dreamer.resolve("v1", ["dmc_vision"], flags)
    assert forecast.count_run(config, images=True) == RunCounts(
        steps=50_000, updates=count_updates(config),
        records=50_000 + 100, evaluated=10 * 2 * 500, pictures=2 * 500, films=2, lines=100,
    )  # fmt: skip
    unlimited = dreamer.resolve("v1", ["dmc_vision"], flags | {"env.time_limit": "0"})
    assert forecast.count_run(unlimited, images=False)[2:5] == (50_000, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (7.26, "7.3 s"), (89, "89 s"), (100, "1.7 min"), (3600 * 5, "5 h"), (86400 * 41.2, "41 days")],
)
def test_spans(seconds, text):
    assert plan.format_span(seconds) == text


@pytest.fixture
def one_size(monkeypatch):
    """Omit suggestions of smaller networks."""
    monkeypatch.setattr(cost_suggestions, "SMALLER_BLOCKS", ())


def suggested(algo, blocks=(), flags=None, **about):
    """Return the forecast, flags -> suggestion, and FLOPs of a run on images, without building it."""
    task = {"task": "dmc_walker_walk", "env.render": "ray"}
    request = Request([], algo, list(blocks), {}, task | (flags or {}), {}, dreamer.resolve, ())
    config = request.config(algo)
    obs = spaces.Dict({"image": spaces.Box(0, 255, (64, 64, 3), np.uint8)})
    envs = SimpleNamespace(obs_space=obs, act_space=spaces.Box(-1, 1, (6,), np.float32), num=config["run"]["envs"])
    agent = SimpleNamespace(half=False, device=torch.device("cpu"), compiler=about.get("compiler"))
    done, pace = forecast.count_run(config, images=True), about.get("pace", PACE)
    time = forecast.forecast_seconds(done, pace)
    found = {"counts": done._asdict(), "pace": pace._asdict(), "time": time, "total": sum(time.values())}
    found |= {
        "memory": {"program": GIB, "workers": 0, "replay": about.get("replay", 0), "free": 9 * GIB},
        "replay": {"records": 10},
    }
    speed = {
        "cost": {"flops": cost.update_cost(config, obs, envs.act_space).flops},
        "acting": {"16": {"median": 0.016}},
    }
    run = BuiltRun(envs, agent, None, None, None)
    savings = CostSuggestions(request, config, run, speed, found).suggestions()
    return found, {one.flags: one for one in savings}, speed["cost"]["flops"]


def test_the_time_of_smaller_networks_follows_their_multiply_adds():
    found, savings, flops = suggested("v3", ["dmc_vision", "size25m"])
    smaller = savings["--configs dmc_vision size25m size12m"]
    config = dreamer.resolve("v3", ["dmc_vision", "size12m"], {"task": "dmc_walker_walk"})
    obs = spaces.Dict({"image": spaces.Box(0, 255, (64, 64, 3), np.uint8)})
    share = cost.update_cost(config, obs, spaces.Box(-1, 1, (6,), np.float32)).flops / flops
    assert smaller.seconds == pytest.approx(found["total"] - (1 - share) * found["time"]["updates"])
    assert f"{share:.2g} times" in smaller.why
    assert [flags for flags in savings if "--configs" in flags] == [
        "--configs dmc_vision size25m cpu", "--configs dmc_vision size25m size12m",
    ]  # fmt: skip
    assert savings["--configs dmc_vision size25m cpu"].why.endswith("a smaller model, and a run of 10,000 frames")
    assert [flags for flags in suggested("v1", ["dmc_vision"])[1] if "--configs" in flags] == [
        "--configs dmc_vision cpu"
    ]


@pytest.mark.parametrize(
    ("algo", "flags"), [("v1", "--schedule.every 2000"), ("v2", "--schedule.steps 10"), ("v3", "--schedule.ratio 256")]
)
def test_half_the_updates_take_half_their_time(algo, flags, one_size):
    found, savings, _ = suggested(algo, ["dmc_vision"])
    time, spent = found["time"], found["total"] - savings[flags].seconds
    updates = found["counts"]["updates"] * (PACE.update + PACE.draw + PACE.log)
    assert spent == pytest.approx(updates / 2, rel=0.01)
    assert time["updates"] > spent / 2


def test_suggestions_target_the_slowest_part(one_size):
    slow = PACE._replace(policy=1.0, update=1e-3, draw=0, log=0, store=0, line=0, film=0, picture=0, environment=1e-4)
    found, savings, _ = suggested("v2", ["dmc_vision"], pace=slow)
    assert next(iter(savings)) == "--envs 16"
    rest = found["total"] - found["time"]["policy"] - found["time"]["evaluation"]
    assert savings["--envs 16"].seconds - rest == pytest.approx(
        (found["time"]["policy"] + found["time"]["evaluation"]) / 1000, rel=0.1
    )
    films = PACE._replace(film=1e5)
    assert next(iter(suggested("v2", ["dmc_vision"], pace=films)[1])) == "--run.video_every 0"
    repeats = suggested("v3", ["dmc_vision"], {"env.repeat": "1"}, pace=slow)[1]
    assert "--env.repeat 2" in repeats
    assert "--env.repeat 2" not in suggested("v3", ["dmc_vision"], pace=slow)[1]


def test_bfloat16_compiling_and_memory(monkeypatch, one_size):
    monkeypatch.setattr(cost_suggestions, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(machine, "matmul_rate", lambda kind, where: 4.0 if kind == torch.bfloat16 else 1.0)
    monkeypatch.setattr(cost_suggestions, "has_cxx_compiler", lambda: False)
    found, savings, _ = suggested("v2", ["dmc_vision"], replay=8 * GIB)
    assert savings["--precision bf16"].seconds == pytest.approx(found["total"] - 0.75 * found["time"]["updates"])
    assert savings["apt-get install g++"].seconds is None
    assert "8.0 GiB" in savings["--replay.disk true"].why
    assert "4.0 GiB" in savings["--replay.capacity 5"].why
    monkeypatch.setattr(cost_suggestions, "has_cxx_compiler", lambda: True)
    off = suggested("v2", ["dmc_vision"], {"run.compile": "off"})[1]
    assert "--compile auto" in off
    assert not any(word in flags for flags in suggested("v2", compiler=object())[1] for word in ("compile", "g++"))


def test_faster_renderers_are_suggested_if_rendering_takes_the_time(monkeypatch, one_size):
    box = spaces.Box(-1, 1, (1,))
    drawn = lambda task, env: SimpleNamespace(reset=list, close=list, action_space=box, step=lambda _: env["render"])
    monkeypatch.setattr(cost_suggestions, "make_env", drawn)
    slow = PACE._replace(environment=10.0)
    found, savings, _ = suggested("v2", ["dmc_vision"], {"env.render": "full"}, pace=slow)
    assert {flags for flags in list(savings)[:2]} == {"--env.render fast", "--env.render ray"}
    for render in ("fast", "ray"):
        assert savings[f"--env.render {render}"].seconds < found["total"] - 0.99 * found["time"]["environment"]
        assert "not the published protocol" in savings[f"--env.render {render}"].why
    drawn_now = lambda render, pace=slow: {
        flag for flag in suggested("v2", ["dmc_vision"], {"env.render": render}, pace=pace)[1] if "render" in flag
    }
    assert drawn_now("fast") == {"--env.render ray"}
    assert drawn_now("ray") == set()
    assert drawn_now("full", PACE._replace(environment=1e-6)) == set()  # as with a GPU


def test_the_ray_renderer_is_not_suggested_for_skins(monkeypatch, one_size):
    def made(task, env):
        if env["render"] == "ray":
            raise UserError("This task has a skin")
        return SimpleNamespace(reset=list, close=list, action_space=spaces.Box(-1, 1, (1,)), step=lambda _: None)

    monkeypatch.setattr(cost_suggestions, "make_env", made)
    slow = PACE._replace(environment=10.0)
    savings = suggested("v2", ["dmc_vision"], {"env.render": "full"}, pace=slow)[1]
    assert "--env.render fast" in savings
    assert "--env.render ray" not in savings


def test_a_run_that_takes_too_long_gives_a_warning():
    found = {"total": 86400 * 50, "device": "cpu"}
    assert "too long: use a GPU" in plan.duration_warning(found)
    assert not plan.duration_warning(found | {"total": 86400})


def test_evaluations_that_are_not_counted_are_reported():
    base = {"evaluations": 3, "counts": {"evaluated": 0}, "max_seconds": 60, "total": 100}
    texts = " ".join(text for _, text in plan.notes(base))
    assert "3 evaluations are not counted" in texts
    assert "after 60 s" in texts
    assert not plan.notes({"evaluations": 3, "counts": {"evaluated": 9}, "max_seconds": 0, "total": 100})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["now"], "plan takes only flags, got 'now'"),
        (["--updates", "0"], "--updates must be at least 1"),
        (["--task", "dummy_pint", "--algo", "v3"], "Nearest: dummy_point"),
        (["--algo", "v3", "--configs", "debug", "--replay.capacity", "3"], "Raise replay.capacity"),
        (["--algo", "v3", "--configs", "debug", "--task", "tests.helpers.faulty_envs:RewardOfNone"], "times in a row"),
    ],
)
def test_wrong_arguments_are_reported(words, says, capsys):
    assert dreamer.main(["plan", *words]) == 2
    assert says in capsys.readouterr().err


def test_the_default_version_is_reported_once_the_run_is_built(capsys, monkeypatch):
    def refuse(*_):
        raise UserError("no forecast")

    monkeypatch.setattr("common.commands.plan.forecast_run", refuse)
    assert dreamer.main(["plan", "--configs", "debug"]) == 2
    assert "No --algo given: this is v3." in capsys.readouterr().err
