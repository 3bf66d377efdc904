"""`make_config`: the config of the same command line, from Python values; names of objects."""

import pytest

import dreamer
from common.config import config as configs
from common.config import parts, python_objects
from dreamer_v1.kl import PlainKL
from tests.api.conftest import half_kl, line_environment


class OwnKL:
    """A part that other processes can import."""

    def __init__(self, *, scale: float = 0.5):
        self.scales = {"kl": scale}

    def __call__(self, latent, post, prior):
        return {"kl": latent.kl(post, prior)}


def of_command(*words):
    command, *parsed = dreamer.parse(["train", *words])
    return dreamer.command_input(command, *parsed)


def test_it_is_the_config_of_the_command():
    words = ["--algo", "v2", "--configs", "atari", "debug", "--task", "atari_pong", "--features", "kl=v3"]
    words += ["--run.envs", "3", "--kl.free", "0.5", "--episodes", "7", "--mlp.*.units", "8", "--actor.entropy", "0"]
    nested = {"run": {"envs": 3}, "kl": {"free": 0.5}, "actor": {"entropy": 0}}
    options = {"features": {"kl": "v3"}, "episodes": 7, "mlp.*.units": 8}
    made = dreamer.make_config("v2", configs=["atari", "debug"], task="atari_pong", **nested, **options)
    assert made == of_command(*words)


def test_a_part_of_the_program_keeps_its_short_name_and_an_own_one_gets_its_path():
    config = dreamer.make_config("v3", parts={"kl": PlainKL, "advantage": "Unscaled"})
    assert config == of_command("--algo", "v3", "--kl.use", "PlainKL", "--advantage.use", "Unscaled")
    own = dreamer.make_config("v3", parts={"kl": OwnKL}, kl={"scale": 2})
    assert own["kl"] == {"use": "tests.api.test_configs:OwnKL", "scale": 2.0}
    assert own == of_command("--algo", "v3", "--kl.use", "tests.api.test_configs:OwnKL", "--kl.scale", "2")


def test_objects_that_cannot_be_imported_are_found_by_their_name():
    env, kl = line_environment(), half_kl()
    config = dreamer.make_config("v1", env=env, parts={"kl": kl})
    assert (config["task"], config["kl"]["use"]) == ("python-object:Line", "python-object:HalfKL")
    assert parts.find("kl", config["kl"]["use"]) is kl
    assert python_objects.find(python_objects.ENVIRONMENT, config["task"]) is env
    assert dreamer.make_config("v1", env=lambda: env())["task"] == "python-object:lambda"
    assert configs.flatten(config)["env.repeat"] == 1


def test_options_of_the_environment_may_be_nested():
    assert dreamer.make_config("v3", task="dummy", env={"repeat": 2})["env"]["repeat"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"algo": "v9"}, "Unknown version 'v9'"),
        ({"stepz": 5}, "Did you mean --steps"),
        ({"batch_sise": 5}, "Did you mean batch_size"),
        ({"configs": "atari"}, "needs --task, such as atari_pong"),
        ({"configs": ["size12"]}, "Did you mean size12m"),
        ({"features": {"retnrom": "v2"}}, "Did you mean retnorm"),
        ({"batch_size": "many"}, "batch_size expects int"),
        ({"parts": {"kll": OwnKL}}, "Unknown seam 'kll'. Did you mean kl"),
        ({"parts": {"kl": OwnKL()}}, "parts takes classes"),
        ({"parts": {"kl": dict}}, "kl.use builtins:dict: the class lacks __call__ of common.agent.interfaces.KL"),
        ({"parts": {"kl": type("Empty", (), {})}}, "python-object:Empty: the class lacks __call__"),
        ({"env": "dummy"}, "got a name: give it as task="),
        ({"env": line_environment()()}, "got an object of Line"),
        ({"env": line_environment(), "run.parallel": "process"}, ""),
    ],
)
def test_errors_are_those_of_the_command(arguments, says):
    if not says:
        config = dreamer.make_config(**arguments)
        with pytest.raises(dreamer.UserError, match="Worker processes cannot import python-object:Line"):
            dreamer.train(config)
        return
    with pytest.raises(dreamer.UserError, match=says):
        dreamer.make_config(**arguments)


def test_a_comparison_refuses_what_its_processes_cannot_import():
    for arguments in ({"tasks": [line_environment()]}, {"tasks": ["dummy"], "parts": {"kl": half_kl()}}):
        with pytest.raises(dreamer.UserError, match="compare trains in other processes, which cannot import"):
            dreamer.compare(["v1"], steps=100, **arguments)


def test_a_config_needs_a_version_and_takes_no_layers():
    with pytest.raises(dreamer.UserError, match="A config needs algo and task"):
        dreamer.train({"steps": 5})
    with pytest.raises(dreamer.UserError, match="Give configs to make_config"):
        dreamer.train(dreamer.make_config("v3"), configs="debug")
