"""`export`: writes the policy step of a run as one file that runs without this program, and checks it.

--format torch writes a file for torch.export.load, onnx one for any ONNX runtime. --mode says how actions are chosen.
Noise is an input, so a step is a pure function.
"""

import warnings
from pathlib import Path

import numpy as np

from common.config.arguments import Option, Options
from common.config.request import Request
from common.deploy.export import PolicyStep, RandomInputs, description, export_program, to_torch
from common.deploy.export_check import check_exported
from common.deploy.onnx import require_packages, to_onnx
from common.deploy.policy import load
from common.errors import UserError, check_choice
from common.files import make_output_folder, write_bytes
from common.nn import rng
from common.safe_io import expand_path

FORMATS = {"torch": (to_torch, ".pt2"), "onnx": (to_onnx, ".onnx")}
OPTIONS: Options = {
    "logdir": Option("", "run directory (needed)", "DIR"),
    "out": Option("", "file to write, ending in .pt2 or .onnx (needed)", "FILE"),
    "format": Option("torch", "torch or onnx", "FORMAT"),
    "mode": Option("", "mode or sample (default: as in evaluations of the run)", "MODE"),
}
EXAMPLES = (
    "export --logdir logs/pole --out policy.pt2",
    "export --logdir logs/pole --out policy.onnx --format onnx",
    "export --logdir logs/pole --out policy.pt2 --mode sample",
)


def export(request: Request) -> None:
    """Write --out and print how far it is from the policy. Raises UserError if it cannot be made."""
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
        warnings.simplefilter("ignore")  # of torch's exporters about each other
        graph = export_program(step, example.draw(2))
        file, run = FORMATS[own["format"]][0](graph, description(policy, example.draw(2), **facts))
        worst = check_exported(step, run, example)
    write_bytes(path, file)
    print(
        f"{path}: one step of {facts['algo']} on {facts['task']} at frame {policy.frames:,}, mode {policy.mode}. "
        f"Over 10 steps it differs from the policy by at most {worst:.1g}."
    )


def check_request(request: Request) -> None:
    """Raise UserError for arguments that export does not take, or that are missing."""
    if request.given_flags() or request.positionals:
        raise UserError(f"export takes its config from the run: give only {', '.join(f'--{key}' for key in OPTIONS)}.")
    missing = [f"--{key}" for key in ("logdir", "out") if not request.options[key]]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: the run directory, and the file to write.")


def output_path(out: str, style: str) -> Path:
    """Return the path of the file. Raises UserError if its suffix is wrong or its folder cannot be written."""
    path = expand_path(out)
    suffix = FORMATS[style][1]
    if path.suffix != suffix:
        raise UserError(f"A file of --format {style} ends with {suffix}, got --out {out}.")
    make_output_folder(path.parent)
    return path
