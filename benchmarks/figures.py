"""Writes what a script measured, with the machine and what was asked for."""

import json
import time
from pathlib import Path

import torch

from common.machine import describe


def write(options, results):
    """The JSON file `options.json`, where one is asked for."""
    if not options.json:
        return
    asked = {key: value for key, value in vars(options).items() if key not in ("json", "folder")}
    if "disk" in asked:
        asked["disk"] = bool(asked["disk"])  # a folder of this machine
    about = {"machine": describe(torch.device("cpu")), "date": time.strftime("%Y-%m-%d")}
    Path(options.json).write_text(json.dumps(about | asked | {"results": results}, indent=2) + "\n")
