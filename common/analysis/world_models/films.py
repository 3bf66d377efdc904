"""Films of a report on world models: the same held-out clips, truth above the predictions of each variant."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.analysis.world_models.collection import WorldModels
from common.files import slug
from common.safe_io import read_arrays
from common.storage.video import encode_gif, to_rgb

RUN_FILE = "films.npz"  # in the directory of a run
FOLDER = "films"  # of a report
GAP, LABEL_WIDTH = 4, 52  # pixels
PAPER, INK, SEEN = (24, 28, 33), (232, 236, 240), (60, 190, 110)
SMALLEST_SIDE = 64  # smaller images are enlarged
FPS = 8
LEVEL = 32  # brightness levels are this far apart: a film of noisy predictions is then much smaller
MOST_CLIPS = 3
LONGEST_LABEL = 11


def file_name(key: str) -> str:
    """Return the name of the film of an observation."""
    return f"{slug(key)}.gif"


def read_clips(found: WorldModels) -> dict[str, dict[str, np.ndarray]]:
    """Return variant -> arrays of the first run of each variant that has films."""
    clips: dict[str, dict[str, np.ndarray]] = {}
    for variant in found.variants:
        path = next((run.logdir / RUN_FILE for run in found.of(variant) if (run.logdir / RUN_FILE).exists()), None)
        if path is not None:
            clips[variant] = read_arrays(path)
    return clips


def moving_pictures(found: WorldModels) -> dict[str, bytes]:
    """Return image key -> GIF: rows of truth and of each variant, a column for each clip.

    Without clips of the runs, the films that an earlier report wrote into the folder of the comparison.
    """
    clips = read_clips(found)
    keys = [key for key in found.about["observations"] if len(found.about["observations"][key]) == 3]
    films = {}
    for key in keys:
        rows = {variant: own[f"model/{key}"] for variant, own in clips.items() if f"model/{key}" in own}
        stored = found.folder / FOLDER / file_name(key)
        if rows:
            truth = next(own[f"truth/{key}"] for own in clips.values() if f"truth/{key}" in own)
            some = {variant: clips[:MOST_CLIPS] // LEVEL * LEVEL for variant, clips in rows.items()}
            films[key] = encode_gif(frames(truth[:MOST_CLIPS], some, found.about["protocol"]["context"]), FPS)
        elif stored.exists():
            films[key] = stored.read_bytes()
    return films


def frames(truth: np.ndarray, rows: dict[str, np.ndarray], context: int) -> np.ndarray:
    """Return pictures (T, H', W', 3): uint8 clips (B, T, H, W, C) in named rows. A green bar: the model observes."""
    parts = {"truth": truth, **rows}
    size = max(1, -(-SMALLEST_SIDE // truth.shape[2]))
    grown = {name: to_rgb(clip).repeat(size, 2).repeat(size, 3) for name, clip in parts.items()}
    count, time, height, width, _ = next(iter(grown.values())).shape
    shape = (time, len(grown) * (height + GAP) + GAP, LABEL_WIDTH + count * (width + GAP), 3)
    canvas = np.empty(shape, np.uint8)
    canvas[:] = labels(list(grown), height, shape[1], shape[2])
    for row, clip in enumerate(grown.values()):
        for column in range(count):
            top, left = GAP + row * (height + GAP), LABEL_WIDTH + column * (width + GAP)
            canvas[:, top : top + height, left : left + width] = clip[column]
            if row:
                canvas[:context, top + height : top + height + GAP - 1, left : left + width] = SEEN
    return canvas


def labels(names: list[str], height: int, tall: int, wide: int) -> np.ndarray:
    """Return the paper of a picture with a name for each row."""
    image = Image.new("RGB", (wide, tall), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    for row, name in enumerate(names):
        lines = "\n".join(part[:LONGEST_LABEL] for part in name.replace("=", "=\n").split())
        draw.multiline_text((5, GAP + row * (height + GAP) + height // 2 - 7), lines, INK, font=font)
    return np.asarray(image)


def vector_clips(found: WorldModels) -> dict[str, dict[str, np.ndarray]]:
    """Return vector key -> truth and prediction of each variant in the first clip, (T, n)."""
    clips = read_clips(found)
    keys = [key for key, shape in found.about["observations"].items() if len(shape) < 2]
    table = {}
    for key in keys:
        own = {variant: one[f"model/{key}"][0] for variant, one in clips.items() if f"model/{key}" in one}
        if own:
            truth = next(one[f"truth/{key}"][0] for one in clips.values() if f"truth/{key}" in one)
            table[key] = {"truth": truth, **own}
    return table
