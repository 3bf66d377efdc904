"""Messages between the server and its pages.

To a page: JSON texts {"kind": "hello" | "settings" | "notice", ...}, and one binary message for each frame: the length
of its header as four bytes, little-endian; the header, JSON; then the pixels of the pictures, RGB, one after the other.
From a page: JSON texts {"do": "change" | "hold" | "step" | "new_start" | "full_reset" | "restart_dreams", ...}.
"""

import dataclasses
import json
import struct
from typing import Any

import numpy as np

from common.errors import UserError
from common.safe_io import parse_json
from common.storage import video
from common.viewer.frames import Frame, view
from common.viewer.session import Session
from common.viewer.settings import CHOICES, MAX_HORIZON, MAX_SPEED, MAX_TEMPERATURE

MAX_SIDE = 256  # pixels of a picture on a page; larger ones are thinned out
MAX_MESSAGE_BYTES = 100_000  # from a page
COMMANDS = ("new_start", "full_reset", "restart_dreams")


def hello(session: Session, clip_formats: list[str]) -> str:
    """Return the first message to a page: what the session has, its settings, and the numbers of past frames."""
    runs = [
        {
            "name": dreamer.run.name,
            "algo": dreamer.run.config["algo"],
            "frames": dreamer.run.frames,
            "learns_continue": dreamer.learns_continue,
            "images": session.key in dreamer.world.decoder.images,
        }
        for dreamer in session.dreamers
    ]
    facts = {
        "kind": "hello",
        "task": session.environment.task,
        "runs": runs,
        "actions": session.actions.describe(),
        "vectors": list(session.environment.vectors),
        "clip_formats": clip_formats,
        "limits": {"temperature": MAX_TEMPERATURE, "horizon": MAX_HORIZON, "speed": MAX_SPEED},
        "choices": CHOICES,
        "settings": dataclasses.asdict(session.settings),
        "history": [frame.numbers for frame in session.history],
    }
    return json.dumps(finite(facts), allow_nan=False)


def settings(session: Session) -> str:
    """Return the message about changed settings."""
    return json.dumps({"kind": "settings", "settings": dataclasses.asdict(session.settings)})


def notice(text: str) -> str:
    """Return the message that shows a text to the user."""
    return json.dumps({"kind": "notice", "text": text})


def frame_bytes(session: Session, frame: Frame) -> bytes:
    """Return the message of a frame: its numbers, the picture of the environment, and one for each run."""
    name = session.settings.view
    pictures = [frame.real, *(view(frame, run, name) for run in range(len(session.dreamers)))]
    small = [None if picture is None else thinned(picture) for picture in pictures]
    sizes = [None if picture is None else picture.shape[:2] for picture in small]
    header = json.dumps(finite({**frame.numbers, "pictures": sizes}), allow_nan=False).encode()
    pixels = [picture.tobytes() for picture in small if picture is not None]
    return b"".join([struct.pack("<I", len(header)), header, *pixels])


def thinned(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) of at most about MAX_SIDE rows."""
    return video.scale_frames(picture[None], MAX_SIDE)[0] if picture.shape[0] > MAX_SIDE else picture


def finite(value: Any) -> Any:
    """Return nested values with numbers that JSON does not have, NaN and infinity, as null."""
    if isinstance(value, dict):
        return {key: finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read(text: str | bytes) -> dict[str, Any]:
    """Return a message of a page. Raises UserError if it is malformed."""
    if isinstance(text, bytes) or len(text) > MAX_MESSAGE_BYTES:
        raise UserError("A message of the page is not text, or too long. Reload the page.")
    try:
        message = parse_json(text)
    except ValueError as error:
        raise UserError(f"A message of the page is not JSON ({error}). Reload the page.") from error
    if not isinstance(message, dict) or not isinstance(message.get("do"), str):
        raise UserError("A message of the page has no command. Reload the page.")
    return message


def carry_out(session: Session, message: dict[str, Any]) -> list[Frame]:
    """Do what a page asks for; return new frames. Raises UserError for an unknown command or a wrong value."""
    command = message["do"]
    if command in COMMANDS:
        frame = getattr(session, command)()
        return [] if frame is None else [frame]
    if command == "step":
        return [session.step()]
    if command == "hold":
        session.hold(message.get("action"))  # type: ignore[arg-type]
    elif command == "change":
        session.change(str(message.get("name")), message.get("value"))
    else:
        raise UserError(f"The page sent an unknown command {command!r:.40}. Reload the page.")
    return []
