"""Freed memory stays with the process: new tensors of the same size need no new pages."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import dreamer
from common.nn.allocator import is_out_of_memory, keep_freed_memory

FAULTS = """
import resource, torch
from common.nn.allocator import keep_freed_memory
{before}
def once():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB, 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin
for _ in range(12):  # the allocator adapts first
    once()
print(sum(once() for _ in range(3)))
"""


def faults(before):
    """Count the page faults of three large tensors after the first ones, in a separate process."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(before=before)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the allocator is not glibc's")
def test_large_tensors_take_no_new_pages():
    assert faults("keep_freed_memory()") < 1000 < 16384 <= faults("")


WANTED = {"numpy": lambda: np.empty(2**60, np.uint8), "torch": lambda: torch.empty(2**60, dtype=torch.uint8)}


@pytest.mark.parametrize("library", WANTED)
def test_too_little_memory_is_one_message(library, monkeypatch, capsys):
    with pytest.raises((MemoryError, RuntimeError)) as failure:
        WANTED[library]()
    assert is_out_of_memory(failure.value)
    monkeypatch.setattr(dreamer, "command_function", lambda command: lambda config: WANTED[library]())
    assert dreamer.main(["config"]) == 2
    said = capsys.readouterr().err.split("\nError: ")[-1]
    assert "Not enough memory. Lower --batch_size" in said
    assert "Traceback" not in said


def test_other_errors_do_not_count_as_out_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes differ"))
