"""`export`: writes the policy step of a run as one file that needs nothing of this program, and checks it.

Version and config come from the run. --format torch makes a file for torch.export.load, onnx one for any ONNX runtime;
--mode says how it chooses actions. Noise is an input, so that a step is a plain function.
"""

import warnings
from pathlib import Path

import numpy as np

from common.config.request import Request
from common.deploy.export import PolicyStep, RandomInputs, check_exported, description, export_program, to_torch
from common.deploy.onnx import require_packages, to_onnx
from common.deploy.policy import load
from common.errors import UserError, check_choice
from common.files import make_output_folder, write_bytes
from common.nn import rng
from common.safe_io import expand_path

FORMATS = {"torch": (to_torch, ".pt2"), "onnx": (to_onnx, ".onnx")}
OPTIONS: dict = {"logdir": "", "out": "", "format": "torch", "mode": ""}


def export(request: Request) -> None:
    """Writes --out and prints how far it is from the policy. Raises UserError where it cannot be made."""
    own = request.options
    check_request(request)
    check_choice("--format", own["format"], FORMATS)
    path = output_path(own["out"], own["format"])
    if own["format"] == "onnx":
        require_packages()
    policy = load(own["logdir"], mode=own["mode"])
    example, step = RandomInputs(policy, np.random.default_rng(0)), PolicyStep(policy).eval()
    facts = {"algo": policy.config["algo"], "task": policy.config["task"], "frames": policy.frames}
    with rng.isolated_rng(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about matters between the exporters of torch
        graph = export_program(step, example.draw(2))
        file, run = FORMATS[own["format"]][0](graph, description(policy, example.draw(2), **facts))
        worst = check_exported(step, run, example)
    write_bytes(path, file)
    print(
        f"{path}: one step of {facts['algo']} on {facts['task']} at frame {policy.frames:,}, mode {policy.mode}. "
        f"Over 10 steps it differs from the policy by at most {worst:.1g}."
    )


def check_request(request: Request) -> None:
    """Raises UserError for what has no place here."""
    if request.given_flags() or request.positionals:
        raise UserError(f"export takes everything from the run: give {', '.join(f'--{key}' for key in OPTIONS)} alone.")
    missing = [f"--{key}" for key in ("logdir", "out") if not request.options[key]]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: the folder of a run, and the file to write.")


def output_path(out: str, style: str) -> Path:
    """Path of the file, in a folder that can be written. Raises UserError for another one."""
    path = expand_path(out)
    suffix = FORMATS[style][1]
    if path.suffix != suffix:
        raise UserError(f"A file of --format {style} ends with {suffix}, got --out {out}.")
    make_output_folder(path.parent)
    return path
