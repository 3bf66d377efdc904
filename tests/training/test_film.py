"""Films of a grid: which variant predicts which clips."""

import numpy as np

from common.experiments import film


class Agent:
    """An agent that returns its clips as predictions and keeps their first numbers."""

    def report(self, batch, context):
        self.saw = batch["image"][:, 0, 0, 0, 0].tolist()
        return {"image": (batch["image"], batch["image"])}


def cast(*clips):
    """Return players by variant, with a clip (T, H, W, C) and a number of actions each."""
    return [
        film.Player(f"v{place}", Agent(), {"image": clip, "action": np.zeros((film.CLIP_STEPS, actions))}, 0, 100)
        for place, (clip, actions) in enumerate(clips, 1)
    ]


def clip(mark, size=8, colors=3):
    return np.full((film.CLIP_STEPS, size, size, colors), mark, float)


def filmed(folder, monkeypatch, *clips):
    """Return the marks of the clips that each player predicts for the films of `folder`."""
    monkeypatch.setattr(film, "record_clip", lambda player: player.config)
    players = cast(*clips)
    film.write_task_films(folder, players)
    assert all((folder / player.variant / "image_0_100.gif").exists() for player in players)
    return [player.agent.saw for player in players]


def test_variants_with_equal_spaces_predict_all_clips(tmp_path, monkeypatch):
    assert filmed(tmp_path, monkeypatch, (clip(0.1), 6), (clip(0.2), 6)) == [[0.1, 0.2], [0.1, 0.2]]


def test_variants_with_other_spaces_predict_their_own_clips(tmp_path, monkeypatch):
    """Atari is such a case: V1 has colours and fewer actions, V3 has larger images than V2."""
    clips = (clip(0.1), 6), (clip(0.2, colors=1), 18), (clip(0.3, size=12, colors=1), 18), (clip(0.4, colors=1), 18)
    assert filmed(tmp_path, monkeypatch, *clips) == [[0.1], [0.2, 0.4], [0.3], [0.2, 0.4]]
    assert filmed(tmp_path, monkeypatch, (clip(0.1), 6), (clip(0.2), 18)) == [[0.1], [0.2]]
