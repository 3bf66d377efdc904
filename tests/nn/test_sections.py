"""Seconds of named sections."""

import threading
import time

import pytest
import torch

from common.nn.sections import section, time_sections


def test_time_belongs_to_the_innermost_section(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 7.0, 20.0, 36.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with time_sections() as seconds:
        with section("outer"), section("inner"):
            pass
        with section("outer"):
            pass
    assert seconds == {"outer": 1.0 + 4.0 + 16.0, "inner": 2.0}


def test_the_gpu_that_is_waited_for_is_the_one_named(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "synchronize", seen.append)
    with time_sections("cuda:1"), section("within"):
        pass
    assert seen == [torch.device("cuda:1")] * 2


def test_only_what_runs_while_recording_counts():
    with section("before"):
        pass
    with time_sections() as seconds, section("within"):
        pass
    with section("after"):
        pass
    assert list(seconds) == ["within"]


def test_another_thread_is_not_recorded():
    def work():
        with section("elsewhere"):
            pass

    with time_sections() as seconds:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert not seconds


def test_an_exception_closes_its_sections():
    with time_sections() as seconds:
        with pytest.raises(KeyError), section("broken"), section("deep"):
            raise KeyError
        with section("next"):
            pass
    assert sorted(seconds) == ["broken", "deep", "next"]


def test_a_profile_shows_the_names():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, section("imagination"):
        torch.ones(2).sum()
    assert "imagination" in {event.key for event in profile.key_averages()}
