"""Generators of bad input: damaged bytes and malformed values; every command must refuse or accept them cleanly."""

import contextlib
import io
import json
import random
import sys
from pathlib import Path

import dreamer
from common.errors import UserError

#: What people and programs write into files by mistake or on purpose.
TOKENS = [
    b"!!python/object/apply:os.system ['touch owned']", b"&a [*a]", b"*a", b"!!float x", b"2001-99-99", b"0x", b"NaN",
    b"Infinity", b"-1e999", b"null", b"~", b"{}", b"[]", b"{", b"]", b": ", b"- ", b"\t", b"\x00", b"\xff\xfe", b"\xc3",
    b"<<: *games", b"? ", b"|\n", b">", b"%YAML 9.9\n", b"---\n", b"...", b"'", b'"', b"\xf0\x9f\x92\xa9", b"../../etc",
    b"1" * 400, b"<script>", b"__ndarray__", b"true", b"{\"a\": 1}", b"!!binary x", b"!!timestamp y",
    b"!!set", b"1:2:3",
]  # fmt: skip
VALUES = [
    "", " ", "-1", "0", "1", "1e999", "-1e999", "nan", "inf", "1e-400", "0.5", "99999999999999999999", "true", "off",
    "None", "null", "[]", "{}", "[1,2", "../../x", "/", "a\x01b", "ünïcödé", "💩", "linear(1,2,3)", "linear(1,", "*",
    "x" * 3000, "%s%s%n", "$(touch owned)", "; touch owned", "<script>alert(1)</script>", "1_000", "0x10", "1,5",
    "--", "-",
]  # fmt: skip


def damaged(draw: random.Random, data: bytes) -> bytes:
    """Damage `data` in one to four places."""
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randint(0, len(data)), draw.choice([1, 2, 8, 64, 1000])
        kind = draw.randrange(6)
        head, tail = data[:place], data[place:]
        if kind == 0:
            data = head + draw.randbytes(min(length, len(tail))) + tail[length:]
        elif kind == 1:
            data = head + tail[length:]
        elif kind == 2:
            data = head + tail[:length] + tail
        elif kind == 3:
            data = head
        elif kind == 4:
            data = head + draw.choice(TOKENS) + tail
        else:
            data = head + bytes([tail[0] ^ 1 << draw.randrange(8)]) + tail[1:] if tail else head
    return data


def ends_well(words: list, *, allowed=(0, 2)) -> int:
    """Run a command line in this process; it must end in success or in one message, never in a traceback."""
    words = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = load(words[1]) if words[0] == "load" else dreamer.main(words)
        except SystemExit as error:
            code = error.code
        except BaseException as error:
            raise AssertionError(f"{words} let {error!r} through") from error
    said = err.getvalue()
    assert code in allowed, (words, code, said[-1500:])
    assert said.count("Error: ") >= (code == 2), (words, said)
    assert "Traceback" not in said, (words, said)
    return code


def load(logdir: str) -> int:
    """Load a policy; return the exit code and print the message that a command would have."""
    try:
        dreamer.load(logdir)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def tree(folder: Path) -> dict:
    """Return the content of every file below a folder, except the lock."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def odd_json(draw: random.Random, depth: int = 0):
    """Return a random JSON value of any kind."""
    if depth > 2 or draw.random() < 0.6:
        values = [None, True, 0, -1, 1e308, 2**70, 10**400, "", "<b>x</b>", "../x", float("nan"), [], {}]
        return draw.choice(values)
    inner = [odd_json(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    return inner if draw.random() < 0.5 else {str(index): value for index, value in enumerate(inner)}


def odd_row(draw: random.Random, row: dict) -> dict:
    """Return a row of JSON with some values replaced or removed."""
    row = json.loads(json.dumps(row))
    for key in draw.sample(list(row), min(len(row), draw.randint(1, 3))):
        if draw.random() < 0.3:
            del row[key]
        else:
            row[key] = odd_json(draw)
    return row


def odd_tree(draw: random.Random, tree):
    """Return a JSON value with one value inside it replaced."""
    if not isinstance(tree, dict | list) or not tree or draw.random() < 0.1:
        return odd_json(draw)
    place = draw.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    copy = json.loads(json.dumps(tree))
    copy[place] = odd_tree(draw, tree[place])
    return copy
