"""Training reports what is unusual about the values of images, once, as `check-env` does."""

import numpy as np
import pytest
from gymnasium import spaces

from common.envs import make_envs
from common.envs.adapt.image_notes import WATCHED_OBSERVATIONS, ImageWatch

AWKWARD = "tests.helpers.awkward_envs"


@pytest.mark.parametrize("parallel", ["none", "process"])
@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Symbols", "Image 'image' has values from 0 to 9 of 255: the agent sees nearly black. If they are symbols"),
        ("Black", "Image 'image' has values from 0 to 1, its space says 0 to 255: the agent sees black"),
        ("Cut", "its space says 0 to 1: values outside are clipped. Give the space the true bounds"),
    ],
)
def test_training_reports_the_values_of_images(task, message, parallel):
    with make_envs(f"{AWKWARD}:{task}", None, 1, parallel=parallel) as envs:
        envs.reset()
        assert envs.messages() == []
        for _ in range(2 * WATCHED_OBSERVATIONS):
            envs.step(np.zeros(1, int))
        (found,) = envs.messages()
    assert message in found


def test_images_that_use_their_range_are_not_reported():
    watch = ImageWatch({"image": spaces.Box(0, 255, (16, 16, 3), np.uint8)})
    for brightness in range(WATCHED_OBSERVATIONS):
        assert watch.see({"image": np.full((16, 16, 3), brightness, np.uint8)}) == []
