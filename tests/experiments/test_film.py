"""Films of a grid: which models predict which clips."""

import json

import numpy as np

from common.experiments import film


class Agent:
    """Predicts its input, and keeps the first value of each clip."""

    def report(self, batch, context):
        self.saw = batch["image"][:, 0, 0, 0, 0].tolist()
        return {"image": (batch["image"], batch["image"])}


def cast(*clips):
    """Return players, each with the clip (T, H, W, C) that it plays and a number of actions."""
    return [
        film.Player(f"v{place}", Agent(), {"image": clip, "action": np.zeros((film.CLIP_STEPS, actions))}, 0, 100)
        for place, (clip, actions) in enumerate(clips, 1)
    ]


def clip(mark, size=8, colors=3):
    return np.full((film.CLIP_STEPS, size, size, colors), mark, float)


def filmed(folder, monkeypatch, *clips):
    """Write films, and return the marks of the clips that each player predicts."""
    monkeypatch.setattr(film, "record_clip", lambda player: player.config)
    players = cast(*clips)
    film.write_task_films(folder, players)
    assert all((folder / player.variant / "image_0_100.gif").exists() for player in players)
    return [player.agent.saw for player in players]


def test_variants_with_the_same_spaces_predict_all_clips(tmp_path, monkeypatch):
    assert filmed(tmp_path, monkeypatch, (clip(0.1), 6), (clip(0.2), 6)) == [[0.1, 0.2], [0.1, 0.2]]


def test_variants_with_different_spaces_predict_only_their_own_kind_of_clips(tmp_path, monkeypatch):
    """Atari is such a case: V1 has color images and fewer actions, V3 larger images than V2."""
    clips = (clip(0.1), 6), (clip(0.2, colors=1), 18), (clip(0.3, size=12, colors=1), 18), (clip(0.4, colors=1), 18)
    assert filmed(tmp_path, monkeypatch, *clips) == [[0.1], [0.2, 0.4], [0.3], [0.2, 0.4]]
    assert filmed(tmp_path, monkeypatch, (clip(0.1), 6), (clip(0.2), 18)) == [[0.1], [0.2]]


def test_a_line_is_printed_while_films_are_made(tmp_path, monkeypatch, capsys):
    run = {"variant": "v1", "task": "Point", "seed": 0, "name": "v1/Point/0", "logdir": "runs/v1", "status": "done"}
    grid = {"kind": "compare", "title": "", "match": "frames", "variants": ["v1"], "baseline": None, "jobs": [run]}
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    (tmp_path / "runs/v1/checkpoints/checkpoint-1").mkdir(parents=True)
    printed = []
    monkeypatch.setattr(film, "load_players", lambda runs: [])
    monkeypatch.setattr(film, "write_task_films", lambda *_: printed.append(capsys.readouterr().out))
    film.write_films(tmp_path)
    assert printed == ["Films: recording 1 episode of Point.\n"]
