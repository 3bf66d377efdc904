"""Shared by the scripts: arguments, one message per error, Markdown tables, and the file of results."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from common.errors import UserError
from common.nn.machine import describe_device


def make_parser(doc: str, json: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the first line of a docstring as its description, and with --json."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if json:
        parser.add_argument("--json", default="", help="file to write")
    return parser


def positive_int(text: str) -> int:
    """Return a number of the command line that is at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return int(text)


def run_script(main: Callable[[], None]) -> None:
    """Run a script. A UserError becomes one message and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def print_row(cells) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_head(names) -> None:
    """Print the head of a Markdown table."""
    print_row(names)
    print("| --- " * len(names) + "|")


def write_results(options: argparse.Namespace, results) -> None:
    """Write the JSON file `options.json`, if there is one, with options, results, machine and date."""
    if not options.json:
        return
    given = {key: value for key, value in vars(options).items() if key not in ("json", "folder")}
    if "disk" in given:
        given["disk"] = bool(given["disk"])  # a folder of this machine
    about = {"machine": describe_device(torch.device("cpu")), "date": time.strftime("%Y-%m-%d")}
    Path(options.json).write_text(json.dumps(about | given | {"results": results}, indent=2) + "\n")
