"""The learning curve of a published agent as a picture."""

import io

import numpy as np

WINDOWS = 40  # means of training episodes


def curve_png(
    scores: dict[str, tuple[np.ndarray, np.ndarray]], title: str, random: float | None = None
) -> bytes | None:
    """Return a PNG of the returns of episodes over frames; None without any.

    scores: "train" and "eval" -> frames and returns, (n,) each. random: mean return of random actions.
    """
    from matplotlib.figure import Figure

    (frames, returns), (at, evaluated) = scores["train"], scores["eval"]
    if not len(frames) and not len(at):
        return None
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(frames, returns, s=4, color="0.7", label="training episodes")
    parts = [chunk for chunk in np.array_split(np.arange(len(frames)), WINDOWS) if len(chunk)]
    axes.plot([frames[chunk].mean() for chunk in parts], [returns[chunk].mean() for chunk in parts], label="their mean")
    if len(at):
        axes.plot(at, evaluated, "o-", ms=4, label="evaluations")
    if random is not None:
        axes.axhline(random, color="0.4", ls=":", label="random actions")
    axes.set(title=title, xlabel="environment frames", ylabel="return of an episode")
    axes.legend(fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()
