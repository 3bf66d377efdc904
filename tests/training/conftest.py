"""Fixtures: an uninterrupted run for comparison."""

import os

import pytest

from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config


@pytest.fixture(autouse=True, scope="module")
def fast_disk():
    """Skip fsync: these checkpoints need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Return an uninterrupted run."""
    logdir = tmp_path_factory.mktemp("straight") / "run"
    train(config(logdir), FakeFactory())
    return logdir
