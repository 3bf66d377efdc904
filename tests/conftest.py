"""One thread for torch, and float32 unless a test asks for bfloat16: tests run in parallel, on different machines.

Option --golden: golden numbers for test_parity. Option --no-skips: a test that is skipped fails.
"""

import pathlib

import pytest

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)

    @pytest.fixture(autouse=True)
    def without_bfloat16(monkeypatch):
        """`run.precision auto` means float32 in this process; tests of bfloat16 ask for it."""
        monkeypatch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)


def pytest_addoption(parser):
    default = pathlib.Path(__file__).parent / "golden"
    parser.addoption("--golden", default=str(default), help="directory with v1_v2/*.npz, v3/*.npz and p2e/*.npz")
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped and item.config.getoption("no_skips"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report
