"""`grid.json`, and the changes that make another grid."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import config as configs
from common.errors import UserError
from common.storage.grid_file import JobState, check_same_grid, read_grid, slug, write_grid
from tests.helpers.grid_fakes import GRID, job

RUN = {"algo": "a", "discount": 0.9, "steps": 100, "run": {"max_seconds": 0, "log_every": 10}}
JOBS = [job(task, seed)._replace(config=RUN) for task in ("x", "y") for seed in (0, 1)]


def changed(**keys):
    """Return all jobs with other values of dotted keys, with `__` for the dot."""
    config = configs.flatten(RUN) | {key.replace("__", "."): value for key, value in keys.items()}
    limits = {"max_seconds": config["run.max_seconds"], "log_every": config["run.log_every"]}
    plain = {key: value for key, value in config.items() if "." not in key}
    return [job._replace(config={**plain, "run": limits}) for job in JOBS]


@pytest.fixture
def folder(tmp_path):
    """A grid with four runs, of which two have started."""
    write_grid(tmp_path, GRID, JOBS, [JobState("done"), JobState("failed", "why"), JobState("running"), JobState()])
    for begun in JOBS[:2]:
        (tmp_path / begun.logdir).mkdir(parents=True)
        (tmp_path / begun.logdir / "run.json").write_text('{"sessions": [{}]}')
        configs.write(tmp_path / begun.logdir / "config.yaml", RUN)
    return tmp_path


def test_a_written_grid_can_be_read(folder, tmp_path):
    stored = read_grid(folder)
    assert {key: stored[key] for key in GRID._fields} == GRID._asdict()
    assert [(row["status"], row["error"]) for row in stored["jobs"]] == [
        ("done", None), ("failed", "why"), ("running", None), ("waiting", None),
    ]  # fmt: skip
    assert [row["logdir"] for row in stored["jobs"]] == ["runs/a/x/0", "runs/a/x/1", "runs/a/y/0", "runs/a/y/1"]


def test_a_folder_without_a_grid_gives_none(tmp_path):
    assert read_grid(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "compare"}', "{"])
def test_a_malformed_file_is_reported(tmp_path, text):
    (tmp_path / "grid.json").write_text(text)
    with pytest.raises(UserError, match=r"grid.json is not a valid grid. Restore it"):
        read_grid(tmp_path)


@given(st.text())
def test_slugs_are_names_of_single_folders(name):
    assert all(character.isascii() and (character.isalnum() or character in "_.-") for character in slug(name))
    assert slug(slug(name)) == slug(name)
    assert not name or slug(name).lstrip(".") == slug(name) != ""


@pytest.mark.parametrize(
    "jobs",
    [
        JOBS,
        [*JOBS, job("z")._replace(config=RUN), job("x", variant="b")._replace(config=RUN | {"discount": 0.1})],
        changed(steps=200),
        changed(run__max_seconds=60),
        changed(run__log_every=20),
        [job if seen < 2 else job._replace(config=RUN | {"discount": 0.5}) for seen, job in enumerate(JOBS)],
    ],
    ids=["the same", "more jobs", "more steps", "a time limit", "what may change", "runs that never started"],
)
def test_a_grid_may_grow(folder, jobs):
    check_same_grid(folder, GRID, jobs)


@pytest.mark.parametrize(
    ("grid", "jobs", "says"),
    [
        (GRID, changed(discount=0.5), ["discount: 0.9 -> 0.5 (2 run(s))"]),
        (GRID, changed(steps=50), ["steps: 100 -> 50 (2 run(s))"]),
        (GRID, JOBS[1:], ["a/x/0: missing"]),
        (GRID._replace(match="time"), JOBS, ["match: frames -> time"]),
        (GRID._replace(kind="bench", match="time"), JOBS, ["kind: compare -> bench", "match: frames -> time"]),
    ],
)
def test_another_grid_is_refused_with_its_differences(folder, grid, jobs, says):
    before = (folder / "grid.json").read_bytes()
    with pytest.raises(UserError) as error:
        check_same_grid(folder, grid, jobs)
    lines = [line.strip() for line in str(error.value).splitlines()]
    assert lines[1:-1] == says
    assert "another --logdir" in lines[-1]
    assert (folder / "grid.json").read_bytes() == before


def test_time_may_not_shrink(folder):
    for begun in JOBS[:2]:
        configs.write(folder / begun.logdir / "config.yaml", RUN | {"run": {"max_seconds": 60, "log_every": 10}})
    check_same_grid(folder, GRID, changed(run__max_seconds=60))
    with pytest.raises(UserError, match=r"run.max_seconds: 60 -> 30"):
        check_same_grid(folder, GRID, changed(run__max_seconds=30))


def test_a_long_list_of_differences_is_cut(folder):
    stored = json.loads((folder / "grid.json").read_text())
    stored["jobs"] += [stored["jobs"][0] | {"name": f"gone/{i}"} for i in range(30)]
    (folder / "grid.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"gone/14: missing\n  \.\.\. and 15 more"):
        check_same_grid(folder, GRID, JOBS)
