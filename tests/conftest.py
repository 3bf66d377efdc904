"""One thread for torch: tests run side by side on small machines. Option --golden: golden numbers for test_parity."""

import pathlib

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(1)


def pytest_addoption(parser):
    default = pathlib.Path(__file__).parent / "golden"
    parser.addoption("--golden", default=str(default), help="directory with v1_v2/*.npz and v3/*.npz")
