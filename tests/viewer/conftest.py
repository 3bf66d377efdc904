"""Tiny untrained runs of every version, made once."""

import pytest

import dreamer
from common.viewer.environment import Environment
from common.viewer.runs import load_runs, picture_key
from common.viewer.session import Session
from tests.helpers.saved_runs import untrained

ALGOS = ("v1", "v2", "v3", "v3-2023")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Return a function from version and task to the run directory of an untrained agent."""
    folder = tmp_path_factory.mktemp("viewed")

    def find(algo, task):
        logdir = folder / task / algo
        if not logdir.exists():
            untrained(logdir, algo, task)
        return logdir

    return find


@pytest.fixture
def make_session(run_folder):
    """Return a function that makes a session of versions on a task; environments are closed after the test."""
    environments = []

    def make(algos, task, key="", **options):
        runs = load_runs([str(run_folder(algo, task)) for algo in algos]) if algos else []
        config = runs[0].config if runs else dreamer.resolve("v3", [], {"task": task})
        environments.append(Environment(config, [run.config for run in runs]))
        return Session(environments[-1], runs, picture_key(environments[-1].images, runs, key), **options)

    yield make
    for environment in environments:
        environment.close()
