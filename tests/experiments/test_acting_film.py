"""GIFs of agents that act side by side: what is drawn, and what cannot be filmed."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

import dreamer
from common.analysis.report.films import acting_film_path, acting_films
from common.analysis.report.run_collection import load_runs
from common.experiments import acting_film
from common.experiments.film import Player
from common.storage.video import encode_gif
from tests.helpers.fake_runs import write_grid

SIZE = (acting_film.SIDE, acting_film.SIDE + acting_film.LABEL_HEIGHT)


class Agent:
    """Repeats one action of three, and keeps what it saw first."""

    def __init__(self):
        self.first = None

    def initial(self, n):
        return None

    def act(self, record, state, mode):
        assert mode == "eval"
        self.first = record if self.first is None else self.first
        return np.zeros(1, int), {}, None


def player(name, task, seed=0):
    config = dreamer.resolve(name, ["debug"], {"task": task, "seed": seed})
    return Player(name, Agent(), config, seed, 1000)


@pytest.fixture
def folder(tmp_path):
    """A grid with a finished run of two variants on a task."""
    runs = [(algo, "dummy_pixels", 0, {"algo": algo, "frames": 2000}) for algo in ("v1", "v3")]
    grid = write_grid(tmp_path / "grid", "compare", runs)
    for job in json.loads((grid / "grid.json").read_text())["jobs"]:
        (grid / job["logdir"] / "checkpoints").mkdir()
        (grid / job["logdir"] / "checkpoints/checkpoint-00000001.pt").write_text("")
    return grid


def filmed(monkeypatch, folder, *players):
    monkeypatch.setattr(acting_film, "load_players", lambda runs: players)
    acting_film.write_acting_films(folder)
    return acting_film_path(folder, "dummy_pixels")


def test_all_agents_act_side_by_side_on_the_same_episode(folder, monkeypatch, capsys):
    players = [player("v1", "dummy_pixels"), player("v3", "dummy_pixels", seed=3)]
    path = filmed(monkeypatch, folder, *players)
    assert capsys.readouterr().out == f"GIF: 2 agents act on dummy_pixels.\nGIF of all agents: {path}\n"
    assert np.array_equal(players[0].agent.first["image"], players[1].agent.first["image"])
    with Image.open(path) as film:
        assert film.size == (2 * SIZE[0], SIZE[1])
        pictures = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert all((half[: acting_film.LABEL_HEIGHT] < 128).any() for half in np.split(pictures[0], 2, axis=1))
    assert acting_films(load_runs([folder])) == {"dummy_pixels": path.read_bytes()}


def test_what_cannot_be_drawn_is_reported_and_an_old_film_is_removed(folder, monkeypatch, capsys):
    path = acting_film_path(folder, "dummy_pixels")
    path.write_bytes(b"of an earlier time")
    monkeypatch.setattr(acting_film, "picture_source", lambda envs: lambda record: None)
    assert filmed(monkeypatch, folder, player("v1", "dummy_pixels")) == path
    assert "No GIF of dummy_pixels: this task has no images, and its environment cannot draw" in capsys.readouterr().out
    assert not path.exists()


def test_a_grid_without_checkpoints_has_nothing_to_film(folder, monkeypatch, capsys):
    for path in folder.rglob("checkpoint-*.pt"):
        path.unlink()
    assert not filmed(monkeypatch, folder).exists()
    assert "No GIF of dummy_pixels: no run has a checkpoint." in capsys.readouterr().out


def test_a_short_episode_keeps_its_last_picture_and_long_ones_skip_steps():
    episode = lambda name, steps, ended: acting_film.FilmedEpisode(
        name, np.full((steps, 8, 8, 3), 200, np.uint8), np.arange(steps) * 1.0, ended
    )
    film = acting_film.side_by_side([episode("short", 2, True), episode("long", 300, False)])
    assert film.shape == (101, SIZE[1], 2 * SIZE[0], 3)
    short, long = np.split(film, 2, axis=2)
    assert (short[1:] == short[-1]).all()
    assert (long[50] != long[-1]).any()
    assert acting_film.side_by_side([episode(str(i), 2, False) for i in range(5)]).shape[1:3] == (
        2 * SIZE[1], 4 * SIZE[0]
    )  # fmt: skip


def test_a_large_gif_stays_out_of_the_page(folder, monkeypatch):
    data = encode_gif(np.zeros((2, 8, 8, 3), np.uint8))
    assert Image.open(io.BytesIO(data)).n_frames >= 1
    acting_film_path(folder, "dummy_pixels").write_bytes(data)
    monkeypatch.setattr("common.analysis.report.films.MAX_ACTING_BYTES", len(data) - 1)
    assert acting_films(load_runs([folder])) == {}
