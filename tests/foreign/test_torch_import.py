"""The import command with PyTorch formats, and what ends in a message instead of a run."""

import dataclasses
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from common.errors import UserError
from common.foreign.formats import format_module
from common.storage.checkpoints import load_newest
from dreamer import main
from tests.foreign import numbers

GROUPS = {"latent.stoch": 3}
TASK = ["--task", "dummy_point_discrete_10", "--batch_size", "2", "--batch_length", "4", "--schedule.ratio", "1"]


def test_the_command_writes_a_run_that_is_evaluated_and_trained(tmp_path, capsys):
    path, logdir = str(numbers.DATA / "dreamerv3-torch/vector.pt"), str(tmp_path / "run")
    options = ["--latent.stoch", "3", "--run.prefill", "10", "--run.envs", "1", *TASK]
    assert main(["import", "dreamerv3-torch", path, "--out", logdir, *options]) == 0
    out = capsys.readouterr().out
    assert "_wm.dynamics.W (1 x 8) -> world.rssm.first" in out
    assert f"python dreamer.py eval --logdir {logdir}" in out
    assert main(["eval", "--logdir", logdir, "--episodes", "1"]) == 0
    assert main(["resume", "1", "--logdir", str(tmp_path), "--steps", "20"]) == 0
    state = load_newest(tmp_path / "run")
    assert state["agent"]["optim._extra_state"]["model"]["t"] > 3  # updates since the last one of the file


def test_the_command_lists_new_parameters_of_an_agent_without_a_decoder(tmp_path, capsys):
    path = str(numbers.DATA / "r2dreamer/vector.pt")
    assert main(["import", "r2dreamer", path, "--out", str(tmp_path / "run"), "--latent.stoch", "3"]) == 0
    out = capsys.readouterr().out
    assert "New (11 parameters here that no array in the file gives):\n  world.decoder." in out
    assert "prj.w.weight (5 x 28)" in out


#: Difference -> format, file, name of a tensor -> its new shape (None: it is missing), words of the message.
REFUSED = {
    "other number of one-hots": ("dreamerv3-torch", "vector.pt", {"": ()}, "--latent.stoch N"),
    "reward head without bins": (
        "dreamerv3-torch", "vector.pt", {"_wm.heads.reward.mean_layer.weight": (1, 5)}, "head has one output",
    ),
    "no layer norm": (
        "dreamerv3-torch", "vector.pt", {"_wm.dynamics._img_in_layers.1.weight": None,
        "_wm.dynamics._img_in_layers.1.bias": None}, "norm is False",
    ),
    "other convolutions": ("r2dreamer", "both.pt", {"encoder.encoders.0.layers.4.weight": (7, 4, 5, 5)}, "PoolConv"),
    "encoder reads more": (
        "sheeprl-v3", "vector.ckpt", {"world_model.encoder.mlp_encoder.model._model.0.weight": (5, 9)}, "reads 9",
    ),
    "unequal units": (
        "sheeprl-v1", "vector.ckpt", {"world_model.rssm.transition_model._model.0.weight": (9, 8)}, "is one number",
    ),
    "reward as input": (
        "pydreamer", "gru.pt", {"wm.encoder.encoder_image.model.0.weight": (1, 5, 4, 4)}, "reads reward and terminal",
    ),
    "continuous actor": (
        "esteveste", "image.pt", {"_task_behavior.actor.out.std.weight": (4, 6)}, "its actor is continuous",
    ),
}  # fmt: skip


@pytest.mark.parametrize("difference", REFUSED)
def test_a_network_that_cannot_be_represented_ends_in_a_message(difference):
    form, file, changed, words = REFUSED[difference]
    given = {"latent.stoch": 5} if "" in changed else {} if form == "sheeprl-v1" else GROUPS
    source = numbers.read(form, f"{form}/{file}", given)
    missing = {name for name, shape in changed.items() if shape is None}
    tensors = {name: x for name, x in source.tensors.items() if name not in missing}
    tensors |= {name: torch.zeros(shape) for name, shape in changed.items() if shape}
    with pytest.raises(UserError, match=re.escape(words)):
        format_module(form).describe(dataclasses.replace(source, tensors=tensors))


def test_a_replay_buffer_in_a_file_is_left_out_and_other_objects_are_refused(tmp_path):
    assert "rb" not in numbers.read("sheeprl-v3", "sheeprl-v3/vector.ckpt", GROUPS).settings
    torch.save({"world_model": {}, "object": SimpleNamespace(a=1)}, tmp_path / "ckpt_1_0.ckpt")
    with pytest.raises(UserError, match="nothing in it was executed"):
        format_module("sheeprl-v3").read(tmp_path)


def test_settings_next_to_the_file_are_used(tmp_path):
    folder = tmp_path / "version_0" / "checkpoint"
    folder.mkdir(parents=True)
    shutil.copy(numbers.DATA / "sheeprl-v3/vector.ckpt", folder / "ckpt_70_0.ckpt")
    settings = "algo: {dense_act: torch.nn.ELU, world_model: {stochastic_size: 3, decoupled_rssm: %s}}"
    (tmp_path / "version_0/config.yaml").write_text(settings % "false")
    module = format_module("sheeprl-v3")
    source = module.read(tmp_path)
    flags = module.describe(source).flags
    assert (source.steps, flags["net.act"], flags["latent.stoch"], flags["latent.classes"]) == (70, "elu", 3, 4)
    (tmp_path / "version_0/config.yaml").write_text(settings % "true")
    with pytest.raises(UserError, match=r"algo\.world_model\.decoupled_rssm"):
        module.describe(module.read(tmp_path))
