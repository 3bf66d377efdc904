"""Measures of a world model on held-out episodes: errors, likelihood, KL, calibration, use of the latent state.

Errors are squared errors in the units of the environment (pixels in [0, 1]), so that they are comparable between heads
with different losses. All values are plain Python, for `world_model.json`. H: predicted steps.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.agent.agent import Agent
from common.agent.rssm import LatentState
from common.agent.world_model import DEAD_LATENT_NATS
from common.experiments.world_models.calibration import bernoulli_scores, reliability
from common.experiments.world_models.clips import Clip, by_step_and_episode, choose_clips, film_clips
from common.experiments.world_models.predictions import (
    CONTINUE,
    DECODED_TOGETHER,
    REWARD,
    Filtered,
    Heads,
    filter_episodes,
    one_step,
    open_loop,
    select,
    squared_error,
)
from common.nn import rng
from common.replay.ring import Arrays

SAMPLES = 8  # of the latent state; a prediction is their mean
MOST_RECORDS = 10_000  # of the held-out episodes that are used
CLIPS_TOGETHER = 16
MOST_CODES = 4096  # records from which the information of latent variables is estimated
EVALUATION_STREAM = 4  # separates the random numbers drawn here from those of training


@torch.no_grad()
def measure(
    agent: Agent, episodes: Sequence[Arrays], rewards: tuple[float, float], context: int, horizon: int
) -> tuple[dict[str, Any], Arrays]:
    """Return all measures, and the films: truth and predictions of some clips, arrays (clips, T, ...).

    rewards: smallest and largest reward of the training records. The same seed draws the samples of every model.
    """
    with rng.isolated_rng(EVALUATION_STREAM):
        heads, found = Heads(agent), filter_episodes(agent, episodes)
        clips = choose_clips(found.starts, context, horizon)
        first = torch.tensor(found.starts[:-1], device=agent.device)
        rows = torch.ones(found.starts[-1], dtype=torch.bool, device=agent.device).index_fill(0, first, False)
        later = rows.nonzero().flatten()  # the records that a record of the same episode precedes
        ahead, films = _open_loop(agent, heads, found, clips, horizon)
        steps, calibration = _one_step(agent, heads, found, later, rewards)
        kl = agent.latent.kl(found.post[later], found.prior[later])
        return {
            "open_loop": ahead,
            "one_step": steps,
            "own_loss": _own_losses(agent, found, later),
            "kl": float(kl.mean()),
            "calibration": calibration,
            "latents": _latents(agent, found),
            "reward_transform": heads.transform,
            "learns_continue": heads.learns_continue,
        }, films


def _open_loop(
    agent: Agent, heads: Heads, found: Filtered, clips: Sequence[Clip], horizon: int
) -> tuple[dict[str, Any], Arrays]:
    """Return the errors of each key by step (H,) and by episode, and the films."""
    errors = {key: np.full((len(clips), horizon), np.nan) for key in heads.keys}
    filmed, pictures = film_clips(clips), {}
    for first in range(0, len(clips), CLIPS_TOGETHER):
        some = clips[first : first + CLIPS_TOGETHER]
        starts = torch.tensor([clip.start for clip in some], device=agent.device)
        states = open_loop(agent, found, starts, horizon, SAMPLES)
        for row, clip in enumerate(some):
            length = clip.last - clip.start
            own = select(states, row, slice(None), slice(length))
            predicted = _mean_prediction(heads, own)
            truth = heads.truth(found.truth, torch.arange(clip.start + 1, clip.last + 1, device=agent.device))
            for key in errors:
                errors[key][first + row, :length] = squared_error(predicted[key], truth[key]).cpu().numpy()
            if clip in filmed:
                pictures[clip] = select(own, 0)
    measured = {key: by_step_and_episode(values, clips, len(found.starts) - 1) for key, values in errors.items()}
    return measured, _films(heads, found, filmed, pictures)


def _mean_prediction(heads: Heads, states: LatentState) -> dict[str, Tensor]:
    """Return the mean over samples of the predictions of states (K, n): (n, ...) by key, some steps at a time."""
    samples, steps = states.deter.shape[:2]
    parts = []
    for place in range(0, steps, max(1, DECODED_TOGETHER // samples)):
        some = select(states, slice(None), slice(place, place + max(1, DECODED_TOGETHER // samples)))
        flat = heads.predict(some.apply(lambda x: x.flatten(0, 1)))
        parts.append({key: value.unflatten(0, (samples, -1)).mean(0) for key, value in flat.items()})
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _films(heads: Heads, found: Filtered, clips: Sequence[Clip], ahead: dict[Clip, LatentState]) -> Arrays:
    """Return truth and prediction of each observation for clips of one length: (clips, T, ...), images as uint8.

    The first records are reconstructions of what the model observed, the others one imagined sample.
    """
    length = min(clip.last - clip.first + 1 for clip in clips)
    pairs: dict[str, list[np.ndarray]] = {}
    for clip in clips:
        seen = torch.arange(clip.first, clip.start + 1, device=found.post.device)
        pairs_of_parts = zip(select(found.states, seen), ahead[clip], strict=True)
        states = LatentState(*(torch.cat(pair)[:length] for pair in pairs_of_parts))
        predicted = heads.predict(states)
        truth = heads.truth(found.truth, torch.arange(clip.first, clip.first + length, device=found.post.device))
        for key in heads.observations:
            for name, value in (("truth", truth[key]), ("model", predicted[key])):
                shown = (value.clamp(0, 1) * 255).round().byte() if key in heads.images else value
                pairs.setdefault(f"{name}/{key}", []).append(shown.cpu().numpy())
    return {name: np.stack(values) for name, values in pairs.items()}


def _one_step(
    agent: Agent, heads: Heads, found: Filtered, rows: Tensor, rewards: tuple[float, float]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the errors of predicting the next record, and the calibration of reward and continue heads."""
    errors: dict[str, list[Tensor]] = {key: [] for key in heads.keys}
    pairs: dict[str, list[Tensor]] = {REWARD: [], CONTINUE: []}
    for _, predicted, truth in one_step(agent, heads, found, rows, SAMPLES):
        for key in errors:
            errors[key].append(squared_error(predicted[key], truth[key]))
            if key in pairs:
                pairs[key].append(torch.cat([predicted[key], truth[key]], 1))
    joined = {key: torch.cat(parts).cpu().numpy().astype(np.float64).T for key, parts in pairs.items() if parts}
    calibration = {}
    if REWARD in joined:
        calibration[REWARD] = reliability(joined[REWARD][0], joined[REWARD][1], *rewards)
    if CONTINUE in joined:
        probability, truth = joined[CONTINUE]
        scores = bernoulli_scores(probability, truth)
        calibration[CONTINUE] = reliability(probability, truth, 0.0, 1.0) | scores
    return {key: float(torch.cat(parts).mean()) for key, parts in errors.items()}, calibration


@torch.no_grad()
def _own_losses(agent: Agent, found: Filtered, rows: Tensor) -> dict[str, dict[str, Any]]:
    """Return the loss of each of the model's own likelihoods at the posterior, in nats of its own scale, with its name.

    Only losses of one name are comparable: the name holds the part and its options.
    """
    world, config = agent.world, agent.config
    sums: dict[str, float] = {}
    for some in rows.split(DECODED_TOGETHER):
        states = select(found.states, some)
        batch = {key: value[some] for key, value in found.truth.items()}
        losses = world.decoder.losses(states, batch)
        losses[REWARD] = world.reward.loss(states.feat, world.transform(batch["reward"].float()))
        if "con" in (con := world.con.losses(states.feat, batch["is_terminal"])):
            losses[CONTINUE] = con["con"]
        for key, loss in losses.items():
            sums[key] = sums.get(key, 0.0) + float(loss.sum())
    seams = dict.fromkeys(world.decoder.images, "image") | dict.fromkeys(world.decoder.vectors, "vector")
    seams |= {REWARD: "reward", CONTINUE: "con"}
    name = lambda key: likelihood_name(config, seams[key])
    return {key: {"name": name(key), "value": total / max(1, len(rows))} for key, total in sums.items()}


def likelihood_name(config: dict[str, Any], seam: str) -> str:
    """Return the part at a seam with the options that change the scale of its loss."""
    options = {key: value for key, value in config[seam].items() if key not in ("use", "outscale", "predict")}
    options |= {"transform": config["reward_transform"]} if seam == "reward" else {}
    options |= {"discount": config["discount"]} if (seam, config[seam]["use"]) == ("con", "SoftContinue") else {}
    shown = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in options.items()
    )
    return config[seam]["use"] + (f" ({shown})" if shown else "")


@torch.no_grad()
def _latents(agent: Agent, found: Filtered) -> dict[str, Any]:
    """Return how the latent state is used: information, active variables, and for classes perplexity and dead share.

    A class is dead if it is the most probable one at no record. Perplexity: of the most probable classes, the mean over
    the latent variables; C if all classes are used equally, 1 if always the same.
    """
    latent = agent.latent
    some = found.post[torch.linspace(0, len(found.post) - 1, min(MOST_CODES, len(found.post))).long().to(agent.device)]
    information = latent.information(some[None])
    result: dict[str, Any] = {
        "information": float(information.sum()),
        "variables": len(information),
        "active": int((information >= DEAD_LATENT_NATS).sum()),
    }
    codes = latent.pack(latent.mode(found.post))
    if codes.is_floating_point():
        return result
    classes = latent.size // codes.shape[1]
    counts = torch.nn.functional.one_hot(codes.long(), classes).sum(0).double()  # (S, C)
    share = counts / counts.sum(-1, keepdim=True)
    perplexity = torch.special.entr(share).sum(-1).exp()
    assert math.prod(counts.shape) == latent.size, (counts.shape, latent.size)
    return result | {
        "classes": classes,
        "perplexity": float(perplexity.mean()),
        "dead": float((counts == 0).double().mean()),
    }
