"""Each health flag is raised by a run that was broken on purpose, and none by a healthy run."""

import json

import pytest

import dreamer
from common.analysis.report import write_report
from common.training import health
from common.training.health import HealthMonitor
from common.training.train import train

TINY = {
    "task": "dummy_point_vector_5", "steps": 60, "batch_size": 2, "batch_length": 5, "imagination.horizon": 2,
    "run.threads": 1, "run.device": "cpu", "run.compile": "off", "run.prefill": 10, "run.pretrain": 6, "run.envs": 1,
    "run.parallel": "none", "run.log_every": 6, "run.eval_every": 0, "run.video_every": 0, "run.save_every": 0,
    "replay.capacity": 200, "schedule.ratio": 4.0, "optim.warmup": 0, "optim.lr.model": 1e-3, "optim.lr.critic": 1e-3,
}  # fmt: skip

#: What is broken -> config keys that break it, flags that must be raised.
BROKEN: dict = {
    "nothing": ({}, set()),
    "reward": ({"actor.outscale": 1000.0}, {"no reward", "action saturation", "return range stuck"}),
    "policy, critic": (
        {"task": "dummy_mixed_vector_5", "actor.outscale": 1000.0, "optim.lr.critic": 0.0},
        {"entropy collapse", "value far from returns"},
    ),
    "latent": ({"latent.unimix": 1.0}, {"dead latents", "KL at the floor"}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folder of all runs, and their messages by name. A few updates are enough for a flag."""
    folder, messages = tmp_path_factory.mktemp("health"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)
        patch.setattr("os.fsync", lambda descriptor: None)
        patch.setattr("common.training.health.MIN_UPDATES", 6)
        for name in BROKEN:
            messages[name] = []
            with patch.context() as broken:
                broken.setattr(
                    "common.training.loop.Progress.message", lambda self, text, said=messages[name]: said.append(text)
                )
                if name == "reward":
                    broken.setattr("common.envs.suites.dummy.Point.step", lambda self, *_: (self.state, 0.0, False))
                train(config(name) | {"logdir": str(folder / name)})
        yield folder, messages


def config(name):
    return dreamer.resolve("v3", ["debug"], TINY | BROKEN[name][0])


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_raises_exactly_its_flags(runs, name):
    folder, messages = runs
    rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    found = {finding.name for finding in health.findings(rows, config(name))}
    assert found == BROKEN[name][1], rows[-1]
    said = [line.split(": ")[0] for line in messages[name] if line.startswith("Health")]
    assert sorted(said) == sorted(f"Health, {flag}" for flag in found)  # each of them once


def test_the_report_has_a_section_with_the_flags(runs, tmp_path):
    folder, _ = runs
    write_report([folder / "latent", folder / "nothing"], tmp_path)
    flags = json.loads((tmp_path / "report.json").read_text())["health"]
    assert [flag["name"] for flag in flags] == ["KL at the floor", "dead latents"]
    for file in ("report.md", "report.html"):
        text = (tmp_path / file).read_text()
        assert "KL at the floor" in text
        assert "are free: it gives the model no gradient." in text


def test_reported_flags_survive_a_stop(tmp_path, monkeypatch):
    """Neither `no reward` after a reward nor any flag twice."""
    monkeypatch.setattr("common.training.health.MIN_UPDATES", 6)
    said, loops, give = [], [], [1.0, 0.0]
    monkeypatch.setattr("common.training.loop.Progress.message", lambda self, text: said.append(text))
    monkeypatch.setattr("common.envs.suites.dummy.Point.step", lambda self, *_: (self.state, give[0], False))
    begin = HealthMonitor.__init__
    monkeypatch.setattr(HealthMonitor, "__init__", lambda self, config: loops.append(self) or begin(self, config))
    given = config("latent") | {"logdir": str(tmp_path / "run")}
    train(given)
    first = [line for line in said if line.startswith("Health")]
    assert len(first) == 2
    give.pop(0)
    train(given | {"steps": 120})
    assert [line for line in said if line.startswith("Health")] == first
    assert "no reward" in loops[1].reported
    assert loops[1].rows[: len(loops[0].rows)] == loops[0].rows
