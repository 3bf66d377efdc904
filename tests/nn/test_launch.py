"""Graphs of an update: replays compute what direct updates compute, bit for bit.

A tape replaces the GPU: it records every operation of torch and repeats it on the same tensors, as a CUDA graph does.
Numbers of Python, branches and new tensors are therefore repeated as they were at the capture.
"""

import contextlib
import types

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dreamer
from common.errors import NonFiniteError, UserError
from common.nn import launch, ranks
from common.nn.machine import use_exact_float32
from common.training import banner
from tests.agent.test_matrix import build
from tests.helpers.fakes import random_batch


def tensors_in(tree):
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]


class Recorder(TorchDispatchMode):
    """Runs and records operations; remembers the content of older tensors that they change."""

    def __init__(self):
        super().__init__()
        self.tape, self.own, self.before = [], {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert "local_scalar" not in str(func), "the update waits for the device"
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for x in tensors_in(value):
                    if x.untyped_storage().data_ptr() not in self.own:
                        self.before.setdefault(id(x), (x, x.clone()))
        out = func(*args, **kwargs)
        given = {x.untyped_storage().data_ptr() for x in tensors_in((args, kwargs))}
        new = [x for x in tensors_in(out) if x.untyped_storage().data_ptr() not in given]
        self.own |= {x.untyped_storage().data_ptr(): x for x in new}
        self.tape.append((func, args, kwargs, tensors_in(out), new))
        return out


class TapeSegment:
    """Replaces a CUDA graph on a CPU."""

    made = 0

    def __init__(self):
        TapeSegment.made += 1

    @contextlib.contextmanager
    def capture(self):
        with torch.random.fork_rng(devices=[]), Recorder() as recorder:
            yield
        self.tape = recorder.tape
        with torch.no_grad():
            for x, content in recorder.before.values():  # a capture computes nothing
                x.copy_(content)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, outs, new in self.tape:
            for x, value in zip(outs, tensors_in(func(*args, **kwargs)), strict=True):
                if any(x is each for each in new):
                    x.copy_(value)


def make(algo, graphs, flags):
    agent = build(dreamer.resolve(algo, ["debug"], {"run.precision": "fp32", **flags}), image=algo == "v3")
    agent.launcher = launch.GraphLauncher(TapeSegment) if graphs else launch.Launcher()
    return agent


def train(agent, updates=7):
    """Make updates on different batches, the sixth with an observation that is not finite; return all results."""
    torch.manual_seed(1)
    found = []
    for seed in range(updates):
        batch = random_batch(agent, seed=seed)
        if seed == 5:
            batch["state"][0, 1] = np.nan
        try:
            metrics, latents = agent.update(batch, step=seed)
            found.append({**{key: value.clone() for key, value in metrics.items()}, **latents})
        except NonFiniteError as error:
            found.append(error.names)
    return found


def leaves(agent):
    return [torch.as_tensor(x) for x in tree_leaves(agent.state_dict())]


@pytest.mark.parametrize(
    ("algo", "flags", "segments"),
    [
        ("v1", {}, 1),
        ("v2", {}, 2),
        ("v3", {}, 1),
        pytest.param("v3-2023", {}, 2, marks=pytest.mark.long),
        pytest.param("v2", {"explore.use": "Plan2Explore", "rssm.ensemble": 2}, 2, marks=pytest.mark.long),
    ],
)
def test_replays_compute_what_direct_updates_compute(algo, flags, segments, monkeypatch):
    monkeypatch.setattr(TapeSegment, "made", 0)
    direct, graphs = (make(algo, on, flags) for on in (False, True))
    one, two = train(direct), train(graphs)
    assert isinstance(one[5], list)
    assert graphs.launcher.captured
    assert TapeSegment.made == segments
    assert one[5] == two[5]  # names of the numbers that are not finite
    for first, second in zip(one[:5] + one[6:], two[:5] + two[6:], strict=True):
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)
    assert all(torch.equal(first, second) for first, second in zip(leaves(direct), leaves(graphs), strict=True))


def test_a_result_of_the_next_call_replaces_that_of_the_last():
    launcher = launch.GraphLauncher(TapeSegment)
    results = [launcher.run(lambda x: {"y": x * 2}, torch.tensor(float(i)))["y"] for i in range(6)]
    assert [float(x) for x in results] == [0, 2, 4, 10, 10, 10]


def test_a_computation_that_cannot_be_captured_is_an_error_that_says_what_to_type():
    class Broken(TapeSegment):
        @contextlib.contextmanager
        def capture(self):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
            yield

    launcher = launch.GraphLauncher(Broken)
    for _ in range(launch.WARMUP_CALLS):
        launcher.run(torch.neg, torch.ones(2))
    with pytest.raises(UserError, match=r"(?s)not permitted when stream is capturing.*--run.cuda_graphs false"):
        launcher.run(torch.neg, torch.ones(2))
    assert not launcher.captured


def test_the_inputs_of_a_graph_are_tensors():
    with pytest.raises(TypeError, match=r"must be tensors, got 3"):
        launch.tensors_of({"a": [torch.ones(1), None], "b": 3})


@pytest.mark.parametrize(
    ("device", "size", "flags", "says"),
    [
        ("cpu", 1, {}, "the run is on the cpu"),
        ("cuda", 2, {}, "one process, not for 2"),
        ("cuda", 1, {"actor.entropy": "linear(1, 0, 1000)"}, "actor.entropy changes with the steps"),
    ],
)
def test_graphs_that_cannot_work_are_refused(device, size, flags, says, monkeypatch):
    config = dreamer.resolve("v2", ["debug"], {"run.cuda_graphs": True, **flags})
    monkeypatch.setattr(ranks.ALONE, "size", size, raising=False)
    with pytest.raises(UserError, match=says):
        launch.make_launcher(config, torch.device(device))


class FakeStream:
    """A stream of a GPU that notes what waits for what."""

    def __init__(self, *args):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)


def test_cuda_graphs_share_a_pool_and_a_stream_and_the_default_has_no_graphs(monkeypatch):
    """The calls of torch.cuda, replaced by fakes: three warm-up calls on a side stream, one capture, replays."""
    current, seen = FakeStream(), []
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: seen.append("side") or contextlib.nullcontext())
    monkeypatch.setattr(
        torch.cuda, "CUDAGraph", lambda: type("Graph", (), {"replay": lambda self: seen.append("replay")})()
    )
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool, stream: seen.append(pool) or contextlib.nullcontext())
    config = dreamer.resolve("v3", ["debug"])
    assert type(launch.make_launcher(config, torch.device("cuda"))) is launch.Launcher
    config["run"]["cuda_graphs"] = True
    launcher = launch.make_launcher(config, torch.device("cuda"))
    for _ in range(5):
        launcher.run(torch.neg, torch.ones(2))
    assert seen == ["side"] * 3 + ["pool", "replay", "replay"]
    assert len(current.waited) == 3


@pytest.fixture
def float32_settings():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_float32_on_a_gpu_is_float32_and_the_banner_names_it(float32_settings):
    agent = types.SimpleNamespace(device=torch.device("cuda"), half=True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    assert banner.describe_precision(agent, "auto") == "bfloat16, TF32 for float32 products and convolutions"
    use_exact_float32()
    assert banner.describe_precision(agent, "auto") == "bfloat16, no TF32"
    assert banner.describe_precision(types.SimpleNamespace(device=torch.device("cpu"), half=False), "") == "float32"
    assert banner.describe_launch(agent, graphs=True) == "eager, CUDA graphs"
