"""`convert`: writes stored episodes in another format: Minari, LeRobot, npz files of the official agents, a replay.

SRC is what `--run.offline` takes. DST is a new folder, or minari:NAME. Without --to it becomes own episode files, or a
Minari dataset. What DST cannot hold is printed.
"""

from common.config.arguments import Option, Options
from common.config.request import Request
from common.datasets.convert import convert as convert_dataset
from common.datasets.convert import destination
from common.datasets.dataset import ImageForm
from common.datasets.formats import FORMATS, format_of, open_dataset
from common.datasets.minari_store import PREFIX
from common.errors import UserError, check_choice

OPTIONS: Options = {
    "to": Option("", ", ".join(FORMATS), "FORMAT"),
    "size": Option(0, "side of images of Minari and LeRobot datasets; 0 keeps theirs", "N"),
    "video": Option(False, "store images of a LeRobot dataset as videos, which is lossy"),
    "fps": Option(30, "steps per second of a LeRobot dataset", "N"),
}
EXAMPLES = (
    "convert logs/pole data/pole_v2 --to npz-v2",
    "convert logs/pole minari:pole/v3-v0",
    "convert logs/walker data/walker --to lerobot --video",
)


def convert(request: Request) -> None:
    """Write DST and print what it has. Raises UserError if SRC is unsuitable or DST exists."""
    if request.given_flags() or len(request.positionals) != 2:
        raise UserError(f"convert takes SRC and DST, and {', '.join(f'--{key}' for key in OPTIONS)}.")
    (source, target), own = request.positionals, request.options
    kind = own["to"] or ("minari" if target.startswith(PREFIX) else "episodes")
    check_choice("--to", kind, FORMATS)
    if own["fps"] < 1 or own["size"] < 0:
        raise UserError("--fps must be 1 or more and --size 0 or more.")
    destination(target, kind)
    dataset = open_dataset(source, ImageForm(size=own["size"]))
    done = convert_dataset(dataset, target, kind, fps=own["fps"], video=own["video"])
    for note in done.notes:
        print(note)
    print(f"{source}, {format_of(dataset)}, is now {FORMATS[kind]} in {done.folder}: ", end="")
    print(f"{done.episodes:,} episodes, {done.records:,} records.")
