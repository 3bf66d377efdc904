"""Conditions under which lines of metrics raise a health flag."""

import math

import pytest
import torch

from common.training import health
from dreamer_v1.latent import Gaussian
from dreamer_v2.latent import Categorical


def line(updates, **metrics):
    """Return a line of a healthy run."""
    sound = {"value": 9.0, "return": 10.0, "return_std": 1.0, "return_min": 7.0, "return_max": 13.0, "kl": 3.0}
    row = {f"train/{key}": value for key, value in (sound | {"skipped": 0.0} | metrics).items()}
    return row | {"updates": updates, "episodes": updates, "episode/score": 1.0}


def flags(*rows, warmup=0):
    return [finding.name for finding in health.findings(rows, {"optim": {"warmup": warmup}, "kl": {"free": 1.0}})]


def test_a_flag_needs_enough_updates():
    low = [line(updates, kl=0.01) for updates in range(100, 240, 20)]
    assert flags(*low) == ["KL at the floor"]
    assert flags(*low[:5]) == flags(*low, warmup=100) == flags(*low[:-1], line(220)) == []
    assert flags(line(100), line(120), *low[2:]) == []


def test_skipped_updates_are_a_flag_while_they_continue():
    more = [line(updates, skipped=updates / 10) for updates in range(100, 240, 20)]
    assert flags(*more) == ["updates skipped"]
    assert flags(*more, line(240, skipped=22.0)) == []


def test_signs_of_a_solved_task_are_not_flags_while_the_score_rises():
    rows = [line(updates, saturation=1.0) for updates in range(100, 500, 20)]
    assert flags(*rows) == ["action saturation"]
    assert flags(*({**row, "episode/score": 1.0 * i} for i, row in enumerate(rows))) == []


def test_lines_may_lack_nonfinite_metrics():
    rows = [line(updates, kl=0.01) for updates in range(100, 240, 20)]
    assert flags(*({key: value for key, value in row.items() if key != "train/return_max"} for row in rows)) == []
    assert flags(*({**row, "episode/score": "odd", "train/saturation": "odd"} for row in rows)) == ["KL at the floor"]


def test_the_monitor_keeps_few_lines_and_reports_once():
    watch = health.HealthMonitor({"optim": {"warmup": 0}, "kl": {"free": 1.0}})
    reported = [finding.name for updates in range(0, 20_000, 20) for finding in watch.see(line(updates, kl=0.01))]
    assert reported == ["KL at the floor"]
    assert len(watch.rows) <= health.MAX_KEPT_ROWS


def test_dead_latents_do_not_depend_on_the_step():
    """The first group or dimension depends on the step, the second does not."""
    logits = torch.zeros(2, 2, 2, 2)  # (B, T, S, C)
    logits[0, :, 0, 0] = logits[1, :, 0, 1] = 100.0
    categorical = Categorical(stoch=2, classes=2)
    assert categorical.information(logits.flatten(-2)).tolist() == pytest.approx([math.log(2), 0.0], abs=1e-6)
    means = torch.tensor([[[3.0, 1.0], [-3.0, 1.0]]])  # (B, T, K)
    params = torch.cat([means, torch.full_like(means, math.log(math.expm1(1.0)))], -1)
    gaussian = Gaussian(stoch=2, min_std=0.0)
    assert gaussian.information(params).tolist() == pytest.approx([0.5 * math.log(1 + 9.0), 0.0], abs=1e-6)
