"""The lines about compilation: before and after the first update, and no others."""

import types

import torch

from common.nn import compile as compilation
from common.training.compile_notice import NOTICE, compile_notice
from tests.distributed.test_updates import LENGTH, ROWS, build
from tests.helpers.fakes import random_batch


def test_the_first_update_of_a_compiled_agent_is_announced(monkeypatch):
    """The compiler is asked for functions as in training; what it returns is the plain function."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    agent, said = build("v3", {}), []
    for compiler in (None, compilation.Compiler(fallback=True)):
        agent.compiler = compiler
        for number in range(2):
            with compile_notice(agent, said.append):
                agent.update(random_batch(agent, ROWS, LENGTH, seed=number))
    assert said[0] == NOTICE
    assert said[1].startswith("Compiled: the first update took ")
    assert len(said) == 2


def test_agents_without_a_compiler_are_silent():
    said = []
    with compile_notice(types.SimpleNamespace(), said.append):
        pass
    assert said == []
