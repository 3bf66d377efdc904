"""`export`: files that act like the policy."""

import json
import logging
import resource
import sys

import numpy as np
import pytest
import torch

from common.deploy.export import NOISE_INPUTS, OUTPUTS, PolicyStep, RandomInputs, description, export_program
from common.deploy.export_check import check_exported
from common.deploy.onnx import ndtri
from common.errors import UserError
from dreamer import load
from tests.helpers.saved_runs import say, untrained

CASES = {
    "v1": ("dummy_point_6", "mode"),  # of 100 draws
    "v2": ("dummy_point_6", "sample"),  # a truncated Normal
    "v3": ("dummy_mixed_6", "sample"),  # image and vector, one-hots
    "v3-2023": ("dummy_bandit_multi", "mode"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    for algo, (task, _) in CASES.items():
        untrained(folder / algo, algo, task)
    return folder


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Pause garbage collection: collecting torch's traces takes longer than the export."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)


def test_a_torch_file_acts_like_the_policy(made, capsys):
    algo, mode = "v2", "sample"
    assert say("export", "--logdir", made / algo, "--out", made / "out/step.pt2", "--mode", mode) == 0
    assert "differs from the policy by at most" in capsys.readouterr().out
    assert [path.name for path in (made / "out").iterdir()] == ["step.pt2"]
    policy = load(made / algo, mode=mode)
    step = torch.export.load(made / "out/step.pt2").module()
    obs = {"vector": np.array([[0.5, -0.5], [1, 0]], np.float32)}
    torch.manual_seed(5)
    expected, after = policy(obs)
    torch.manual_seed(5)
    noise = policy.acting.rssm.latent.noise(2), policy.acting.noise(2, mode)
    given = {key: torch.as_tensor(x) for key, x in obs.items()}
    first = torch.ones(2, dtype=torch.bool)
    own = dict(zip(NOISE_INPUTS, noise, strict=True))
    action, *state, outputs = step(obs=given, **policy.acting.initial(2), is_first=first, **own)
    assert outputs.shape == (2, 2)  # mean and standard deviation
    assert np.allclose(action, expected, atol=1e-6)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(state, after.values(), strict=True))


def test_a_file_takes_only_the_observations_that_the_policy_reads(tmp_path):
    untrained(tmp_path / "run", "v1", "dummy_mixed_6", encoder__keys="vector")
    policy = load(tmp_path / "run")
    inputs = RandomInputs(policy, np.random.default_rng(0)).draw(2)
    assert "image" in policy.spaces.observation.spaces
    assert next(iter(json.loads(description(policy, inputs))["inputs"])) == "obs.vector"
    assert list(inputs["obs"]) == ["vector"]
    graph = export_program(PolicyStep(policy).eval(), inputs)
    assert [x.shape for x in graph.module()(**inputs)] == [x.shape for x in PolicyStep(policy)(**inputs)]


def test_a_full_disk_keeps_the_old_file(made, tmp_path, capsys):
    path = tmp_path / "step.pt2"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert say("export", "--logdir", made / "v2", "--out", path) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"Cannot write {path}: File too large" in capsys.readouterr().err
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == [("step.pt2", b"old")]


@pytest.mark.long
@pytest.mark.parametrize("algo", ["v1", "v3", "v3-2023"])
def test_every_version_can_be_exported(made, algo, capsys):
    assert say("export", "--logdir", made / algo, "--out", made / f"{algo}.pt2", "--mode", CASES[algo][1]) == 0, (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("algo", [pytest.param(algo, marks=[pytest.mark.long] * (algo != "v2")) for algo in CASES])
def test_an_onnx_file_acts_like_the_policy(made, algo, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path, mode = made / f"{algo}.onnx", CASES[algo][1]
    assert say("export", "--logdir", made / algo, "--out", path, "--format", "onnx", "--mode", mode) == 0, (
        capsys.readouterr().err
    )
    session = runtime.InferenceSession(path)
    assert session.get_modelmeta().custom_metadata_map["policy"]
    assert session.get_inputs()[0].shape[0] == "s0"  # any number of environments


def checked_step(policy):
    """Return a step, random inputs for it, and a function that runs it like a file."""
    step = PolicyStep(policy).eval()
    plain = lambda inputs: [x.numpy().copy() for x in step(**inputs)]
    return step, plain, RandomInputs(policy, np.random.default_rng(0))


def test_a_file_that_differs_is_refused(made):
    step, plain, example = checked_step(load(made / "v1", mode="sample"))
    assert check_exported(step, plain, example) == 0
    with pytest.raises(UserError, match=r"next_stoch by .*Nothing was written"):
        check_exported(step, lambda inputs: [x + 2e-5 * (k == 2) for k, x in enumerate(plain(inputs))], example)
    forgetful = lambda inputs: plain(inputs | {"is_first": torch.ones_like(inputs["is_first"])})
    with pytest.raises(UserError, match="differs from the policy"):
        check_exported(step, forgetful, example)


def with_rounding_errors(step):
    """Return a function that runs a step like a file in which tanh and its inverse are rounded differently."""

    def run(inputs):
        torch.manual_seed(0)
        sample = step.acting.actor.dist.sample
        with pytest.MonkeyPatch.context() as patch:
            shake = lambda x: x * (1 - 2e-7 * torch.rand_like(x))
            patch.setattr(step.acting.actor.dist, "sample", lambda *given: shake(sample(*given)))
            return [x.numpy() for x in step(**inputs)]

    return run


def change_action(plain, change):
    """Return a function that changes `next_action` in the outputs of `plain`, and `env_action` in the same way."""

    def run(inputs):
        made = dict(zip(OUTPUTS, plain(inputs), strict=True))
        made["next_action"] = change(made["next_action"])
        made["env_action"] = made["next_action"].argmax(-1) if made["env_action"].ndim == 1 else made["next_action"]
        return list(made.values())

    return run


ACTION_FAULTS = {
    "the other sign": lambda action: -action,
    "rounded": lambda action: np.sign(action),
    "smaller": lambda action: 0.9999 * action,
    "of the next environment": lambda action: np.roll(action, 1, 0),
}


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_equal_likelihood_may_be_exchanged_but_no_others(seed, tmp_path):
    untrained(tmp_path / "run", "v1", "dummy_point_6", weight_seed=seed)
    step, plain, example = checked_step(load(tmp_path / "run", mode="mode"))
    assert check_exported(step, plain, example) == 0
    torch.manual_seed(seed)
    assert check_exported(step, with_rounding_errors(step), example) < 1e-5
    for fault in ACTION_FAULTS.values():
        with pytest.raises(UserError, match="next_action by"):
            check_exported(step, change_action(plain, fault), example)
    with pytest.raises(UserError, match="env_action by"):
        check_exported(step, lambda inputs: [x * (-1) ** (k == 0) for k, x in enumerate(plain(inputs))], example)
    with pytest.raises(UserError, match="policy by"):
        check_exported(step, lambda inputs: [x * 1.001 ** (k == 4) for k, x in enumerate(plain(inputs))], example)


def test_the_least_likely_sample_is_refused(made, monkeypatch):
    step, plain, example = checked_step(load(made / "v1", mode="mode"))
    dist = step.acting.actor.dist

    def least_likely(inputs):
        with monkeypatch.context() as patch:
            log_prob = dist.log_prob
            patch.setattr(dist, "log_prob", lambda *given: -log_prob(*given))
            return plain(inputs)

    with pytest.raises(UserError, match="next_action by"):
        check_exported(step, least_likely, example)


@pytest.mark.parametrize("mode", ["mode", "sample"])
def test_discrete_actions_may_differ_only_at_equal_logits(mode, tmp_path):
    untrained(tmp_path / "run", "v2", "dummy_bandit", weight_seed=0)
    step, plain, example = checked_step(load(tmp_path / "run", mode=mode))
    other = change_action(plain, lambda action: np.roll(action, 1, -1))
    with pytest.raises(UserError, match="next_action by 1"):
        check_exported(step, other, example)
    for weight in step.acting.actor.outs.parameters():
        weight.zero_()  # all logits are equal
    if mode == "mode":
        assert check_exported(step, other, example) == 0
    with pytest.raises(UserError, match="next_action by"):  # no one-hot
        check_exported(step, change_action(plain, lambda action: 0 * action), example)


def test_the_inverse_normal_is_exact():
    p = torch.cat([torch.linspace(1e-6, 1 - 1e-6, 9999), torch.tensor([1e-12])]).double()
    assert torch.allclose(ndtri(p), torch.special.ndtri(p), rtol=2e-9, atol=1e-9)
    assert ndtri(torch.tensor([0.0, 1.0])).isfinite().all()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "x.pt2"], "export needs --logdir"),
        (["--logdir", "x"], "export needs --out"),
        (["--logdir", "x", "--out", "x.pt2", "--algo", "v1"], "takes its config from the run"),
        (["--logdir", "x", "--out", "x.pt"], "ends with .pt2"),
        (["--logdir", "x", "--out", "x.onnx", "--format", "tf"], "--format must be one of torch, onnx"),
        (["--logdir", "x", "--out", "x.onnx", "--format", "onnx"], "pip install onnx onnxscript onnxruntime"),
        (["--logdir", "nowhere", "--out", "x.pt2"], "not a run directory"),
    ],
)
def test_export_refuses_with_a_message(words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert say("export", *words) == 2
    assert says in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
