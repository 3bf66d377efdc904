"""What the scripts share: counts on the command line, mistakes in one line, and the file of what was measured."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from common.errors import UserError
from common.nn.machine import describe_device


def positive(text: str) -> int:
    """A number on the command line, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1")
    return int(text)


def script(main: Callable[[], None]) -> None:
    """Runs a script; what its user can mend is one message, and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def write(options, results):
    """The JSON file `options.json`, where one is asked for."""
    if not options.json:
        return
    asked = {key: value for key, value in vars(options).items() if key not in ("json", "folder")}
    if "disk" in asked:
        asked["disk"] = bool(asked["disk"])  # a folder of this machine
    about = {"machine": describe_device(torch.device("cpu")), "date": time.strftime("%Y-%m-%d")}
    Path(options.json).write_text(json.dumps(about | asked | {"results": results}, indent=2) + "\n")
