"""Crafter's score: the formula, the success rates from the metrics of a run, and both in a report."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from common.analysis.report import crafter
from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import load_runs
from common.analysis.report.run_data import read_run
from common.envs import make_env
from common.storage.logger import Logger
from common.training.collector import Tally
from dreamer import main
from tests.helpers.fake_runs import write_run

FRAMES = 300


def test_score_of_known_success_rates():
    assert crafter.crafter_score([0.0] * 22) == 0
    assert crafter.crafter_score([100.0] * 22) == pytest.approx(100)
    assert crafter.crafter_score([0.0, 3.0]) == pytest.approx(1)  # sqrt(1 * 4) - 1
    assert crafter.crafter_score([7.0, 0.0, 0.0]) == pytest.approx(1)  # cube root of 8, minus 1
    assert crafter.crafter_score([99.0] + [0.0] * 21) == pytest.approx(100 ** (1 / 22) - 1)


def write_crafter_run(folder, episodes, **options):
    """Write a run whose training episodes, listed per line of metrics, unlock some achievements."""
    logdir = write_run(folder, task="crafter_reward", frames=FRAMES, length=10, evaluation=False, **options)
    (logdir / "metrics.jsonl").unlink()
    logger, count = Logger(logdir, task="crafter_reward", method="v3", seed=0), 0
    for place, line in enumerate(episodes, 1):
        frames = FRAMES * place // len(episodes)
        for unlocked in line:
            count += 1
            logger.log_episode(frames, float(len(unlocked)), 10, episode_means(unlocked))
        counters = {"frames": frames, "updates": place, "episodes": count, "wall": float(place)}
        logger.write(counters, logger.means.take())
        logger.write(counters, {"openloop/image": 1.0})  # metrics without episodes
    logger.close()
    return logdir


def episode_means(unlocked):
    """Return the logged means of a two-step episode that unlocks its achievements in the last step."""
    tally = Tally(1)
    for step in range(3):
        logs = {f"log_achievement_{name}": np.array([float(step == 2 and name in unlocked)]) for name in NAMES}
        flags = {"is_first": np.array([step == 0]), "is_last": np.array([step == 2])}
        ended = tally.see({"reward": np.zeros(1), **flags, "log": logs if step else {}}, np.zeros(1, bool))
    return ended[0].extra


NAMES = crafter.ACHIEVEMENTS
#: Five episodes: wood in four of them, a drink in two, both unevenly over the lines; one line has no episode.
EPISODES = [
    [{"collect_wood"}, {"collect_wood", "collect_drink"}, {"collect_wood"}],
    [],
    [set(), {"collect_wood", "collect_drink"}],
]


def test_success_rates_are_shares_of_all_training_episodes(tmp_path):
    run = read_run(write_crafter_run(tmp_path / "run", EPISODES))
    rates = crafter.success_rates(run, "frames", FRAMES)
    assert tuple(rates) == NAMES
    assert {name: rate for name, rate in rates.items() if rate} == {
        "collect_wood": pytest.approx(80),
        "collect_drink": pytest.approx(40),
    }
    assert crafter.crafter_score(list(rates.values())) == pytest.approx((81 * 41) ** (1 / 22) - 1)
    early = crafter.success_rates(run, "frames", 250)
    assert (early["collect_wood"], early["collect_drink"]) == (pytest.approx(100), pytest.approx(100 / 3))


def test_lines_without_achievements_are_ignored(tmp_path):
    run = read_run(write_crafter_run(tmp_path / "run", EPISODES))
    first = next(line for line in run.metrics if "episode/score" in line)
    for key in [key for key in first if "achievement" in key]:
        del first[key]
    assert crafter.success_rates(run, "frames", FRAMES)["collect_wood"] == pytest.approx(50)
    for broken in (None, 2.0, "many", float("nan")):
        first[f"episode/achievement_{NAMES[0]}"] = broken
        assert crafter.success_rates(run, "frames", FRAMES)["collect_wood"] == pytest.approx(50)
    assert crafter.success_rates(read_run(write_run(tmp_path / "other")), "frames", np.inf) is None


def test_only_reports_on_crafter_have_the_score(tmp_path):
    for seed, episodes in enumerate((EPISODES, [[{"wake_up"}]])):
        write_crafter_run(tmp_path / f"v3-{seed}", episodes, seed=seed)
    write_crafter_run(tmp_path / "v1", [[set()]], algo="v1")
    assert main(["report", str(tmp_path)]) == 0
    rows = {row["variant"]: row for row in json.loads((tmp_path / "report.json").read_text())["crafter"]}
    scores = [(81 * 41) ** (1 / 22) - 1, 101 ** (1 / 22) - 1]
    assert rows["v3"]["value"] == pytest.approx(np.mean(scores), rel=1e-5)
    assert (rows["v3"]["seeds"], rows["v3"]["rates"]["wake_up"], rows["v1"]["value"]) == (2, 50, 0)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "Crafter score" in text
        assert "collect drink" in text
        assert "Hafner 2021" in text
    write_run(tmp_path / "walker")
    assert "crafter" not in analyse(load_runs([tmp_path / "walker"]))


@pytest.fixture
def fake(monkeypatch):
    """Fake Crafter module: an episode of two steps that collects two pieces of wood in the first."""

    class Env:
        action_names = ("noop", "do")

        def __init__(self, **options):
            self.steps = 0

        def reset(self):
            return np.zeros((64, 64, 3), np.uint8)

        def step(self, action):
            self.steps += 1
            counts = dict.fromkeys(NAMES, 0) | {"collect_wood": 2}
            return self.reset(), 1.0, self.steps == 2, {"discount": 1.0, "achievements": counts}

    module = ModuleType("crafter")
    module.Env = Env
    monkeypatch.setitem(sys.modules, "crafter", module)
    sys.modules.pop("common.envs.suites.crafter", None)
    yield
    sys.modules.pop("common.envs.suites.crafter")


def unlocked_first():
    """Return achievement -> whether the environment reports it as unlocked after one step."""
    env = make_env("crafter_reward", {"time_limit": 0})
    env.reset()
    info = env.step(0)[-1]
    return {key.removeprefix("log_achievement_"): value for key, value in info.items() if key.startswith("log_")}


@pytest.mark.usefixtures("fake")
def test_the_environment_reports_unlocked_achievements():
    assert unlocked_first() == dict.fromkeys(NAMES, 0.0) | {"collect_wood": 1.0}


def test_achievements_match_the_crafter_package():
    assert set(pytest.importorskip("crafter").constants.achievements) == set(NAMES)
    assert unlocked_first() == dict.fromkeys(NAMES, 0.0)
