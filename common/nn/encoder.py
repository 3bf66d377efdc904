"""Encoder and decoder of observations: any number of images and vectors.

Images are uint8 (..., H, W, C), concatenated on channels. Vectors are float (..., n) or scalars (...), concatenated on
the last axis. Both are in sorted order of their keys. `conv`, `image` and `vector` are parts, see
`common/agent/interfaces.py`.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from common.errors import UserError
from common.nn.activations import KEEP, KeepActivations
from common.nn.compile import compilable
from common.nn.nets import MLP, Linear, Style, symlog


def split_keys(
    name: str, obs_space: spaces.Dict, pattern: str = ".*", scalars: bool = True
) -> tuple[list[str], list[str]]:
    """Return the sorted image keys and the sorted vector keys that match `pattern` fully.

    `scalars=False` leaves out observations without an axis, as the official V2 does. Raises UserError, naming the
    config key `name`, if the pattern is not a regular expression or matches nothing.
    """
    try:
        keys = [key for key in sorted(obs_space.spaces) if re.fullmatch(pattern, key)]
    except re.error as error:
        raise UserError(f"{name} {pattern!r} is not a regular expression: {error}.") from error
    if not keys:
        raise UserError(f"{name} {pattern!r} matches none of the observations {', '.join(sorted(obs_space.spaces))}.")
    axes = {key: len(obs_space[key].shape or ()) for key in keys}
    flat = (0, 1) if scalars else (1,)
    return [key for key in keys if axes[key] == 3], [key for key in keys if axes[key] in flat]


def image_size(obs_space: spaces.Dict, images: list[str]) -> tuple[int, int]:
    """Return the size (H, W) of the images. Raise UserError if they differ."""
    sizes = {space_shape(obs_space, key)[:2] for key in images}
    if len(sizes) > 1:
        shapes = {key: obs_space[key].shape for key in images}
        raise UserError(f"All images must have one size, got {shapes}. Resize them with --env.size, or select keys.")
    height, width = sizes.pop()
    return height, width


def space_shape(obs_space: spaces.Dict, key: str) -> tuple[int, ...]:
    """Return the shape of an observation."""
    return tuple(obs_space[key].shape or ())


MAX_IMAGES = 256  # images per chunk on a CPU: the outputs of its convolutions stay in the cache


def apply_in_chunks(function: Callable[..., Tensor], *tensors: Tensor, keep: KeepActivations = KEEP) -> Tensor:
    """Return function(*tensors) of (N, ...) tensors, in equal chunks of at most MAX_IMAGES rows on a CPU.

    keep: what each call keeps for the backward pass. If it computes activations again, chunks save memory everywhere.
    """
    rows = tensors[0].shape[0]
    if rows <= MAX_IMAGES or not (tensors[0].device.type == "cpu" or keep.divides):
        return keep(function, *tensors)
    size = max(n for n in range(1, MAX_IMAGES + 1) if rows % n == 0)
    if size < MAX_IMAGES // 8:  # no fitting divisor
        size = MAX_IMAGES
    return torch.cat([keep(function, *part) for part in zip(*(x.split(size) for x in tensors), strict=True)])


class Encoder(nn.Module):
    """Network from observations to the embedding (..., E): vector features, then image features."""

    def __init__(
        self,
        obs_space: spaces.Dict,
        conv: Any,
        style: Style,
        *,
        layers: int,
        units: int,
        symlog: bool = False,
        keys: str = ".*",
        scalars: bool = True,
    ):
        super().__init__()
        self.images, self.vectors = split_keys("encoder.keys", obs_space, keys, scalars)
        if not self.images and not self.vectors:
            raise UserError("With encoder.scalars false no observation is left. Set --encoder.scalars true.")
        self.symlog, self.size, self.activations = symlog, 0, KEEP
        self.axes = {key: len(space_shape(obs_space, key)) for key in self.vectors}
        if self.vectors:
            width = sum(math.prod(space_shape(obs_space, key)) for key in self.vectors)
            self.mlp = MLP(width, style, layers=layers, units=units)
            self.size += self.mlp.size
        if self.images:
            size, channels = image_size(obs_space, self.images), sum(space_shape(obs_space, k)[2] for k in self.images)
            conv.check(size)
            self.cnn = conv.encoder(channels, size, style)
            self.size += self.cnn.size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Return the embedding (..., E) of observations (..., by key)."""
        outs = []
        if self.vectors:
            vector = torch.cat([flat_vector(obs[key], self.axes[key]) for key in self.vectors], -1)
            outs.append(self.mlp(symlog(vector) if self.symlog else vector))
        if self.images:
            image = torch.cat([obs[key] for key in self.images], -1)
            lead = image.shape[:-3]
            rows = apply_in_chunks(self.encode_images, image.flatten(0, -4), keep=self.activations)
            outs.append(rows.unflatten(0, lead))
        return torch.cat(outs, -1)

    @compilable
    def encode_images(self, image: Tensor) -> Tensor:
        """uint8 (N, H, W, C) -> features (N, size of the convolutions)."""
        return self.cnn(image.permute(0, 3, 1, 2).float() / 255 - 0.5)


def flat_vector(value: Tensor, axes: int) -> Tensor:
    """Return vectors (..., n) (axes 1) or scalars (...) (axes 0) as float (..., n)."""
    return value.float() if axes else value.float()[..., None]


class Decoder(nn.Module):
    """Network from states to reconstructions, and one loss for each observation key."""

    def __init__(
        self,
        obs_space: spaces.Dict,
        deter: int,
        stoch: int,
        conv: Any,
        image: Any,
        vector: Any,
        style: Style,
        *,
        layers: int,
        units: int,
        keys: str = ".*",
        scalars: bool = True,
    ):
        super().__init__()
        self.images, self.vectors = split_keys("decoder.keys", obs_space, keys, scalars)
        self.image, self.vector, self.activations = image, vector, KEEP
        self.shapes = {key: space_shape(obs_space, key) for key in self.images + self.vectors}
        if self.vectors:
            self.mlp = MLP(deter + stoch, style, layers=layers, units=units)
            width = lambda key: math.prod(self.shapes[key])
            linear = lambda key: Linear(self.mlp.size, width(key), style.init, vector.outscale)
            self.linears = nn.ModuleList(linear(key) for key in self.vectors)
        if self.images:
            size, channels = image_size(obs_space, self.images), [self.shapes[key][2] for key in self.images]
            conv.check(size)
            self.cnn = conv.decoder(sum(channels), size, deter, stoch, units, style)

    def forward(self, states: Any) -> dict[str, Tensor]:
        """Return raw outputs by key from a state (...): images (..., H, W, C), vectors (..., n)."""
        outs: dict[str, Tensor] = {}
        if self.images:
            images = self.decode_images(*(x.flatten(0, -2) for x in states))
            outs |= {key: image.unflatten(0, states.deter.shape[:-1]) for key, image in images.items()}
        return outs | self.decode_vectors(states)

    def decode_images(self, deter: Tensor, stoch: Tensor) -> dict[str, Tensor]:
        """(N, D), (N, Z) -> raw images (N, H, W, C) by key."""
        pixels = self.cnn(deter, stoch).permute(0, 2, 3, 1)
        channels = [self.shapes[key][2] for key in self.images]
        return dict(zip(self.images, pixels.split(channels, -1), strict=True))

    def decode_vectors(self, states: Any) -> dict[str, Tensor]:
        """State (...) -> raw vectors (..., n) by key."""
        if not self.vectors:
            return {}
        hidden = self.mlp(states.feat)
        return {key: linear(hidden) for key, linear in zip(self.vectors, self.linears, strict=True)}

    def losses(self, states: Any, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return reconstruction losses (...) by key, summed over pixels and vector dimensions, of states (...)."""
        losses: dict[str, Tensor] = {}
        if self.images:
            flat = [x.flatten(0, -2) for x in states]
            images = [obs[key].flatten(0, -4) for key in self.images]
            rows = apply_in_chunks(self.image_losses, *flat, *images, keep=self.activations)
            losses |= {key: x.unflatten(0, states.deter.shape[:-1]) for key, x in zip(self.images, rows.T, strict=True)}
        for key, out in self.decode_vectors(states).items():
            losses[key] = self.vector.loss(out, flat_vector(obs[key], len(self.shapes[key]))).sum(-1)
        return losses

    @compilable
    def image_losses(self, deter: Tensor, stoch: Tensor, *images: Tensor) -> Tensor:
        """(N, D), (N, Z), true images (N, H, W, C) -> losses (N, number of images)."""
        outs = self.decode_images(deter, stoch).values()
        return torch.stack([self.image.loss(out, image) for out, image in zip(outs, images, strict=True)], -1)

    def predict(self, states: Any) -> dict[str, Tensor]:
        """Return reconstructions by key: images in [0, 1] (..., H, W, C), vectors (..., n)."""
        return {k: (self.image if k in self.images else self.vector).pred(out) for k, out in self(states).items()}
