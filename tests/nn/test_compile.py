"""Fast paths equal plain ones: compiled and eager updates, chunks and the whole, small and large images.

Tolerances: float32 paths differ by rounding (1e-4 of the largest gradient of a parameter group), bfloat16 by its eight
bits (gradients of a group within 30 degrees of the float32 ones: a sampled class that flips changes what follows).
"""

import functools
import math
import threading

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

import dreamer
from common.errors import UserError
from common.nn import compile, encoder, rssm_scan
from common.nn.nets import frozen
from common.nn.upconv import SeedConv, UpConv, UpsampleConv
from dreamer_v1.cell import PlainGRUCell
from tests.agent.test_matrix import build
from tests.helpers.fakes import random_batch

needs_cxx = pytest.mark.skipif(not compile.has_cxx_compiler(), reason="needs a C++ compiler")


def agent_of(algo, image=True, **flags):
    flags = {"run.precision": "fp32", "optim.warmup": 0} | flags
    torch.manual_seed(0)
    agent = build(dreamer.resolve(algo, ["debug"], flags), image=image)
    with torch.no_grad():  # outputs that start at zero would hide wrong gradients
        for p in agent.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return agent


def learned(agent):
    """Return gradients by group and metrics of one update from fixed data and noise."""
    torch.manual_seed(1)
    grads = {}
    agent.optim.clip = lambda groups, values: grads.update(values) or {}
    agent.optim.update_group = lambda name, values: None
    metrics, _ = agent.update(random_batch(agent))
    return {name: torch.cat([g.flatten() for g in values]) for name, values in grads.items()}, metrics


def close(found, expected, tolerance=1e-4):
    for name, grad in expected.items():
        assert (found[name] - grad).abs().max() <= tolerance * grad.abs().max(), name


def aligned(found, expected):
    for name, grad in expected.items():
        assert F.cosine_similarity(found[name], grad, 0) > math.cos(math.radians(30)), name


CLOSE = {"fp32": close, "bf16": aligned}


class Only(compile.Compiler):
    """Compiles only the functions named, or all if none is named."""

    def __init__(self, names):
        super().__init__(fallback=False)
        self.names = names

    def call(self, function, *args):
        chosen = not self.names or function.__qualname__ in self.names
        return super().call(function, *args) if chosen else function(*args)


STEP, IMAGES = {"RSSM.obs_step"}, {"Encoder.encode_images", "Decoder.image_losses"}
SHORT = {"imagination.horizon": 2}  # a short horizon compiles sooner
COMPILED = [
    ("v1", STEP, False, "bf16"),
    pytest.param("v2", STEP, False, "fp32", marks=pytest.mark.long),
    pytest.param("v3", STEP, False, "fp32", marks=pytest.mark.long),
    pytest.param("v3", IMAGES, True, "fp32", marks=pytest.mark.long),
    *[pytest.param(algo, set(), True, kind, marks=pytest.mark.long) for algo in dreamer.ALGOS for kind in CLOSE],
]


@pytest.mark.parametrize(
    "algo", ["v1", "v3", *(pytest.param(algo, marks=pytest.mark.long) for algo in ("v2", "v3-2023"))]
)
def test_traced_updates_equal_eager_ones(algo, monkeypatch):
    """Every stage of the compiler except the code in C++, which takes minutes: traced, differentiated, decomposed."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager_decomp_partition"))
    test_compiled_updates_equal_eager_ones(algo, set(), True, "fp32")


@pytest.mark.long
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_traced_updates_with_exploration_equal_eager_ones(algo, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager_decomp_partition"))
    flags = SHORT | {"explore.use": "Plan2Explore", "explore.extr_scale": 0.5, "explore.models": 2}
    grads, metrics = learned(agent_of(algo, False, **flags))
    agent = agent_of(algo, False, **flags)
    agent.compiler = Only(set())
    fast_grads, fast_metrics = learned(agent)
    assert {"Ensemble.loss", "ExplorationBehavior.imagined_targets"} <= {
        f.__qualname__ for f in agent.compiler.compiled
    }
    close(fast_grads, grads, 1e-3)
    for key, value in metrics.items():
        assert fast_metrics[key].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), key


@needs_cxx
@pytest.mark.parametrize(("algo", "names", "image", "precision"), COMPILED)
def test_compiled_updates_equal_eager_ones(algo, names, image, precision):
    """In float32 up to rounding; in bfloat16 up to its tolerance, since compiled code skips some roundings."""
    flags = SHORT | {"run.precision": precision}
    grads, metrics = learned(agent_of(algo, image, **SHORT))
    agent = agent_of(algo, image, **flags)
    agent.compiler = Only(names)
    fast_grads, fast_metrics = learned(agent)
    found = {function.__qualname__ for function in agent.compiler.compiled}
    assert found == names if names else found >= STEP | IMAGES
    CLOSE[precision](fast_grads, grads)
    for key, value in metrics.items() if precision == "fp32" else ():
        assert fast_metrics[key].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize("large", [False, True], ids=["small steps in float32", "all in bfloat16"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_bfloat16_gradients_point_the_same_way(algo, large, monkeypatch):
    monkeypatch.setattr(rssm_scan, "MIN_BFLOAT16_MULTIPLY_ADDS", 0 if large else math.inf)
    grads, _ = learned(agent_of(algo))
    half, _ = learned(agent_of(algo, **{"run.precision": "bf16"}))
    aligned(half, grads)


@pytest.mark.parametrize(("worth", "dtype"), [(0, torch.bfloat16), (math.inf, torch.float32)])
def test_small_steps_of_the_posterior_are_in_float32(worth, dtype, monkeypatch):
    """On a CPU, the size of the products decides; the parameters' gradients stay in bfloat16."""
    monkeypatch.setattr(rssm_scan, "MIN_BFLOAT16_MULTIPLY_ADDS", worth)
    agent = agent_of("v3", image=False, **{"run.precision": "bf16"})
    seen = []
    agent.world.rssm.post.register_forward_hook(lambda module, inputs, out: seen.append((len(out), out.dtype)))
    batch = random_batch(agent)
    agent.update(batch)
    rows, length = batch["reward"].shape
    assert seen == [(rows, dtype)] * length + [(rows * length, torch.bfloat16)]


def test_chunks_of_images_give_the_gradients_of_the_whole(monkeypatch):
    grads, metrics = learned(agent_of("v3"))
    monkeypatch.setattr(encoder, "MAX_IMAGES", 7)
    pieces, again = learned(agent_of("v3"))
    close(pieces, grads)
    assert again["loss/image"].item() == pytest.approx(metrics["loss/image"].item(), rel=1e-5)


@pytest.mark.parametrize(("rows", "sizes"), [(40, [20, 20]), (2500, [250] * 10), (257, [256, 1]), (16, [16])])
def test_chunks_are_equal_if_a_divisor_allows(rows, sizes, monkeypatch):
    monkeypatch.setattr(encoder, "MAX_IMAGES", 256 if rows > 40 else 20)
    seen = []
    encoder.apply_in_chunks(lambda x: seen.append(len(x)) or x, torch.zeros(rows, 1))
    assert seen == sizes


UPWARD = [
    (UpsampleConv(3, 2, 5, 1, 2), lambda m, x: F.conv2d(F.interpolate(x, scale_factor=2), m.weight, m.bias, padding=2)),
    (UpConv(3, 2, 6, 2), lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2)),
    (UpConv(3, 2, 5, 2), lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2)),
    (UpConv(3, 2, 4, 2, 1), lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2, 1)),
    (UpConv(3, 2, 5, 2, 1, crop=1), lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2, 1)[..., :-1, :-1]),
    (SeedConv(3, 2, 5, 2), lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2)),
]


@pytest.mark.parametrize(("module", "plain"), UPWARD)
def test_doubling_on_the_small_image_is_the_plain_convolution(module, plain):
    side = 1 if isinstance(module, SeedConv) else 5
    x = torch.randn(2, 3, side, side, requires_grad=True)
    out, expected = module(x), plain(module, x)
    weights = torch.randn_like(expected)
    torch.testing.assert_close(out, expected)
    leaves = [x, *module.parameters()]
    grads = torch.autograd.grad((out * weights).sum(), leaves)
    torch.testing.assert_close(grads, torch.autograd.grad((expected * weights).sum(), leaves), rtol=1e-4, atol=1e-4)


class Called(TorchFunctionMode):
    """Records the names of torch functions that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__)
        return func(*args, **kwargs or {})


def test_the_plain_gru_equals_that_of_torch():
    """On a GPU, autocast gives torch's own GRU a state in bfloat16, so a run could not resume from its checkpoint."""
    cell, x = PlainGRUCell(5, 4), torch.randn(3, 5, requires_grad=True)
    deter = torch.randn(3, 4, requires_grad=True)
    leaves = [x, deter, *cell.parameters()]
    with Called() as called:
        out = cell(x, deter)
    expected = torch.nn.GRUCell.forward(cell, x, deter)
    assert "gru_cell" not in called.names
    torch.testing.assert_close(out, expected)
    grads = [torch.autograd.grad(y.square().sum(), leaves) for y in (out, expected)]
    torch.testing.assert_close(*grads)
    with torch.autocast("cpu", torch.bfloat16):
        assert cell(x, deter).dtype == torch.float32


def test_gradients_pass_through_a_frozen_module_without_reaching_it():
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2, requires_grad=True)
    with frozen(layer):
        out = layer(x).sum()
    assert all(p.requires_grad for p in layer.parameters())
    grads = torch.autograd.grad(out, [x, *layer.parameters()], allow_unused=True)
    assert grads[0].abs().sum() > 0
    assert grads[1:] == (None, None)


def broken(function, **options):
    def call(*args):
        raise torch._dynamo.exc.TorchDynamoException("no compiler here")

    return call


def test_functions_that_cannot_be_compiled_run_eagerly_with_a_warning(monkeypatch):
    grads, _ = learned(agent_of("v3"))
    agent = agent_of("v3")
    agent.compiler = compile.Compiler(fallback=True)
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(RuntimeWarning, match="runs uncompiled: no compiler here"):
        found, _ = learned(agent)
    close(found, grads, 0)
    assert "RSSM.obs_step" in agent.compiler.failed


def test_the_compiler_is_set_up_in_every_thread(monkeypatch):
    """On a GPU, the backward pass runs in its own thread, and compiles the step over all rows."""
    compiler = compile.make_compiler("on", torch.device("cpu"), 1)
    settings = lambda: (torch._dynamo.config.recompile_limit, torch._inductor.config.fallback_random)
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    found = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(compiler.call(settings)))
        thread.start()
        thread.join()
    assert found == [(compile.MAX_RECOMPILES, True)] * 2


def broken_backward(function, **options):
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, grad):
            raise torch._dynamo.exc.TorchDynamoException("no compiler there")

    def call(*args):
        out = function(*args)
        return Broken.apply(out) if function.__qualname__ == "Encoder.encode_images" else out

    return call


@pytest.mark.parametrize("algo", ["v2", "v3"])
def test_updates_whose_backward_pass_cannot_be_compiled_run_eagerly(algo, monkeypatch):
    """The error comes after the call; in V2, the world model may have taken its step by then."""
    grads, _ = learned(agent_of(algo))
    agent = agent_of(algo)
    agent.compiler = compile.Compiler(fallback=True)
    monkeypatch.setattr(torch, "compile", broken_backward)
    with pytest.warns(RuntimeWarning, match="a backward pass runs uncompiled: no compiler there"):
        found, _ = learned(agent)
    close(found, grads, 0)
    agent.compiler = compile.Compiler(fallback=False)
    with pytest.raises(UserError, match="a backward pass cannot be compiled: no compiler there"):
        learned(agent)


def test_compile_on_refuses_functions_that_cannot_be_compiled(monkeypatch):
    agent = agent_of("v3")
    agent.compiler = compile.Compiler(fallback=False)
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UserError, match="cannot be compiled: no compiler here\nUse --compile off"):
        learned(agent)


def test_auto_compiles_only_what_repays_its_time(monkeypatch):
    cpu, enough = torch.device("cpu"), compile.REPAYING_SECONDS
    monkeypatch.setattr(compile, "has_cxx_compiler", lambda: True)
    assert compile.make_compiler("auto", cpu, enough - 1) is None
    assert compile.make_compiler("auto", cpu, enough).fallback
    assert not compile.make_compiler("on", cpu, 1).fallback
    assert compile.make_compiler("off", cpu, enough) is None
    monkeypatch.setattr(compile, "has_cxx_compiler", lambda: False)
    assert compile.make_compiler("auto", cpu, enough) is None


def test_a_library_that_a_killed_process_left_half_written_is_compiled_again(tmp_path, monkeypatch):
    half = tmp_path / "kernel.main.so"
    half.touch()

    def compiled(function, **options):
        def call(*args):
            if half.exists():
                raise OSError(f"ImportError: {half}: file too short")
            return function(*args)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    compiler = compile.Compiler(fallback=False)
    assert compiler.call(pow, 2, 3) == 8
    assert not half.exists()
    assert not compiler.failed
