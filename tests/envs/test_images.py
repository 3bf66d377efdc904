"""Resized images: exact areas by hand, and identical pixels to OpenCV inside ale-py."""

import numpy as np
import pytest

from common.envs import make_env
from common.envs.adapt import images


@pytest.mark.parametrize(
    ("line", "size", "expected"),
    [
        ([0, 30, 60], 2, [10, 50]),  # (0 + 30/2) / 1.5, (30/2 + 60) / 1.5
        ([10, 20, 30, 40], 2, [15, 35]),
        ([0, 100, 200, 0, 50], 3, [40, 140, 30]),  # 5/3 of a pixel each
        ([8, 40], 4, [8, 8, 40, 40]),
        ([0, 90], 3, [0, 45, 90]),  # the one in the middle covers both
        ([1, 2], 1, [2]),  # rounded to nearest, halves to even
    ],
)
def test_area_weighs_parts_of_pixels(line, size, expected):
    row = np.array(line, np.uint8)
    wide = np.repeat(row[None, :, None], 3, 0)  # (3, n, 1), the same in every row
    assert images.resize_area(wide, size)[..., 0].tolist() == [expected] * size
    assert images.resize_area(wide.swapaxes(0, 1), size)[..., 0].T.tolist() == [expected] * size


def test_area_of_channels_and_large_images():
    image = np.random.default_rng(0).integers(0, 256, (400, 301, 3), np.uint8)
    fine = np.repeat(np.repeat(image, 7, 0), 7, 1).astype(
        np.float64
    )  # 7 x 7 copies of a pixel: a new pixel covers 400 x 301
    exact = fine.reshape(7, 400, 7, 301, 3).mean((1, 3))
    assert np.abs(images.resize_area(image, 7) - exact).max() <= 0.5 + 1e-3
    assert images.fit_image(image, 7, gray=False, resize="area").shape == (7, 7, 3)


@pytest.mark.parametrize("game", ["breakout", "ms_pacman"])
@pytest.mark.parametrize("gray", [False, True])
def test_area_equals_opencv_on_atari(game, gray):
    """ale-py resizes by OpenCV's INTER_AREA and converts to gray before the maximum of two frames, as V2's code."""
    vector = pytest.importorskip("ale_py.vector_env")
    shape = dict(img_height=64, img_width=64, grayscale=gray, stack_num=1, frameskip=4, full_action_space=True)
    off = dict(noop_max=0, reward_clipping=False, use_fire_reset=False, repeat_action_probability=0.0)
    native = vector.AtariVectorEnv(game, 1, num_threads=1, **shape, **off)
    ours = make_env(f"atari_{game}", {"repeat": 4, "gray": gray, "resize": "area"})
    theirs, (obs, _) = native.reset(seed=0)[0], ours.reset()
    for action in [1, 3, 4, 2, 5, 0, 7, 12]:
        assert np.array_equal(theirs.reshape(obs["image"].shape), obs["image"])
        theirs, obs = native.step(np.array([action]))[0], ours.step(action)[0]
    native.close()
