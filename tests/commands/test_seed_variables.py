"""Variables and task names of another Dreamer program are taken, and printed as flags of this one."""

import pytest

from common.commands import seed_variables
from common.errors import UserError


@pytest.mark.parametrize(
    ("words", "environ", "new"),
    [
        (["env_name=dmc-Acrobot-swingup"], {}, "--task dmc_acrobot_swingup"),
        (["train", "--seed", "1"], {"env_name": "atari-pong"}, "train --seed 1 --task atari_pong"),
        (["--task", "dmc-BallInCup-catch"], {"env_name": "x"}, "--task dmc_ball_in_cup_catch"),
        (["--task=dmc-walker-walk"], {}, "--task dmc_walker_walk"),
        (["--env", "dmc-Walker-walk"], {}, "--task dmc_walker_walk"),
        (["--env", "walker-walk"], {}, "--env walker-walk"),
        (["plan", "--task", "gym_CartPole-v1"], {"env_name": "x"}, "plan --task gym_CartPole-v1"),
        (["doctor"], {"env_name": "x", "override_config": "{"}, "doctor"),
        (
            ["override_config={'run': {'envs': 2}, \"seed\": 1, env.gray: true, optim.lr.model: 1e-4}"],
            {},
            "--run.envs 2 --seed 1 --env.gray True --optim.lr.model 0.0001",
        ),
    ],
)
def test_variables_are_taken(words, environ, new):
    assert " ".join(seed_variables.translate(words, environ)) == new


def test_the_flags_are_printed(capsys):
    seed_variables.translate(["env_name=dmc_walker_walk"], {})
    assert "python dreamer.py --task dmc_walker_walk" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "3", "a: !!python/none", "{1: 2}", "{...}", "{seed}"])
def test_other_settings_are_refused(text):
    with pytest.raises(UserError, match="is not a dict of settings"):
        seed_variables.translate([f"override_config={text}"], {})
