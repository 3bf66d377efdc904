"""`export`: files that act like the policy."""

import json
import logging
import resource
import sys

import numpy as np
import pytest
import torch

from common.deploy.export import NOISE_INPUTS, PolicyStep, RandomInputs, check_exported, description, export_program
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
    action, *state = step(obs=given, **policy.acting.initial(2), is_first=first, **own)
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


def test_a_file_that_differs_is_refused(made):
    policy = load(made / "v1", mode="sample")
    step, example = PolicyStep(policy).eval(), RandomInputs(policy, np.random.default_rng(0))
    plain = lambda inputs: [x.numpy() for x in step(**inputs)]
    assert check_exported(step, plain, example) == 0
    with pytest.raises(UserError, match=r"next_stoch by .*Nothing was written"):
        check_exported(step, lambda inputs: [x + 2e-5 * (k == 2) for k, x in enumerate(plain(inputs))], example)
    forgetful = lambda inputs: plain(inputs | {"is_first": torch.ones_like(inputs["is_first"])})
    with pytest.raises(UserError, match="differs from the policy"):
        check_exported(step, forgetful, example)


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
