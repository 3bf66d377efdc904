"""Episodes of any form, and datasets that hold them, for the tests of formats."""

from pathlib import Path

import numpy as np
from gymnasium import spaces as gym_spaces

from common.datasets.dataset import About, episode_flags
from common.datasets.episodes import EpisodesDataset, EpisodesWriter
from common.storage.spaces import Spaces

ACTIONS = {
    "box": gym_spaces.Box(-1, 1, (2,), np.float32),
    "discrete": gym_spaces.Discrete(3),
    "multi": gym_spaces.MultiDiscrete([3, 2]),
}


def about(action: str = "box", channels: int = 3, task: str = "dummy_test") -> About:
    """Returns the spaces of episodes with an image, a vector and a number."""
    boxes = gym_spaces.Dict(
        {
            "image": gym_spaces.Box(0, 255, (16, 18, channels), np.uint8),
            "vector": gym_spaces.Box(-np.inf, np.inf, (3,), np.float32),
            "height": gym_spaces.Box(-np.inf, np.inf, (), np.float32),
        }
    )
    return About(Spaces(boxes, ACTIONS[action], (boxes, ACTIONS[action])), task, "full")


def actions(rng, space, length):
    if isinstance(space, gym_spaces.Box):
        return rng.uniform(-1, 1, (length, *space.shape)).astype(np.float32)
    sizes = space.nvec if isinstance(space, gym_spaces.MultiDiscrete) else [space.n]
    return np.concatenate([np.eye(n, dtype=np.float32)[rng.integers(n, size=length)] for n in sizes], 1)


def episode(rng, form: About, steps: int, *, terminal: bool = False):
    """Returns the records of an episode with random content."""
    records = episode_flags(steps + 1, terminal=terminal)
    for key, box in form.spaces.observation.items():
        shape = (steps + 1, *box.shape)
        draw = rng.integers(0, 256, shape) if box.dtype == np.uint8 else rng.normal(size=shape)
        records[key] = draw.astype(box.dtype)
    records["action"] = actions(rng, form.spaces.action, steps + 1)
    records["action"][-1] = 0
    records["reward"] = np.concatenate([[0], rng.normal(size=steps)]).astype(np.float32)
    return records


def own_episodes(folder: Path, form: About, episodes) -> EpisodesDataset:
    """Writes own episode files."""
    folder.mkdir(parents=True)
    writer = EpisodesWriter(folder, form)
    for records in episodes:
        writer.add(records)
    writer.close()
    return EpisodesDataset(folder)


def three_episodes(folder: Path, **options) -> EpisodesDataset:
    """Writes three episodes, one of them with a terminal end."""
    form, rng = about(**options), np.random.default_rng(0)
    lengths = [(5, True), (1, False), (8, False)]
    return own_episodes(folder, form, [episode(rng, form, steps, terminal=end) for steps, end in lengths])


def content(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of all files, by their paths below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(one, two) -> None:
    """Checks that two lists of records are equal, with their types."""
    one, two = list(one), list(two)
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype, key
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
