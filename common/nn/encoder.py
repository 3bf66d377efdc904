"""Encoder and decoder of observations: any number of images and vectors.

Images are uint8 (..., H, W, C) and are joined on channels, vectors are float (..., n) or scalars (...) and are joined
on the last axis, both in sorted order of their keys.
"""

import math
import re

import torch
from torch import nn

from common.errors import UserError
from common.nn.compile import compilable
from common.nn.nets import MLP, Linear, Style, symlog


def split_keys(name, obs_space, pattern=".*", scalars=True):
    """Observation space -> sorted image keys, sorted vector keys that match `pattern` fully.

    `scalars=False` leaves out observations without an axis (as V2 officially does). Raises UserError naming the
    config key `name` if the pattern is no regular expression or matches nothing.
    """
    try:
        keys = [key for key in sorted(obs_space.spaces) if re.fullmatch(pattern, key)]
    except re.error as error:
        raise UserError(f"{name} {pattern!r} is not a regular expression: {error}.") from error
    if not keys:
        raise UserError(f"{name} {pattern!r} matches none of the observations {', '.join(sorted(obs_space.spaces))}.")
    axes = {key: len(obs_space[key].shape) for key in keys}
    flat = (0, 1) if scalars else (1,)
    return [key for key in keys if axes[key] == 3], [key for key in keys if axes[key] in flat]


def image_size(obs_space, images):
    """Common (H, W) of the images. Raises UserError when they differ."""
    sizes = {tuple(obs_space[key].shape[:2]) for key in images}
    if len(sizes) > 1:
        shapes = {key: obs_space[key].shape for key in images}
        raise UserError(f"All images must have one size, got {shapes}. Resize them with --env.size, or select keys.")
    return sizes.pop()


MAX_CPU_IMAGES = 256  # images at a time: on a CPU, what convolutions write then stays in the cache


def apply_in_chunks(function, *tensors):
    """function(*tensors) of (N, ...) tensors, on a CPU in equal pieces of at most PIECE rows, joined again."""
    rows = tensors[0].shape[0]
    if tensors[0].device.type != "cpu" or rows <= MAX_CPU_IMAGES:
        return function(*tensors)
    size = max(n for n in range(1, MAX_CPU_IMAGES + 1) if rows % n == 0)
    if size < MAX_CPU_IMAGES // 8:  # no fitting divisor
        size = MAX_CPU_IMAGES
    return torch.cat([function(*part) for part in zip(*(x.split(size) for x in tensors), strict=True)])


class Encoder(nn.Module):
    """Observations -> embedding (..., E) = [vector features, image features]."""

    def __init__(self, obs_space, conv, style: Style, *, layers, units, symlog=False, keys=".*", scalars=True):
        super().__init__()
        self.images, self.vectors = split_keys("encoder.keys", obs_space, keys, scalars)
        if not self.images and not self.vectors:
            raise UserError("With encoder.scalars false no observation is left. Set --encoder.scalars true.")
        self.symlog, self.size = symlog, 0
        self.axes = {key: len(obs_space[key].shape) for key in self.vectors}
        if self.vectors:
            width = sum(math.prod(obs_space[key].shape) for key in self.vectors)
            self.mlp = MLP(width, style, layers=layers, units=units)
            self.size += self.mlp.size
        if self.images:
            size, channels = image_size(obs_space, self.images), sum(obs_space[key].shape[2] for key in self.images)
            conv.check(size)
            self.cnn = conv.encoder(channels, size, style)
            self.size += self.cnn.size

    def forward(self, obs):
        outs = []
        if self.vectors:
            vector = torch.cat([flat_vector(obs[key], self.axes[key]) for key in self.vectors], -1)
            outs.append(self.mlp(symlog(vector) if self.symlog else vector))
        if self.images:
            image = torch.cat([obs[key] for key in self.images], -1)
            lead = image.shape[:-3]
            outs.append(apply_in_chunks(self.encode_images, image.flatten(0, -4)).unflatten(0, lead))
        return torch.cat(outs, -1)

    @compilable
    def encode_images(self, image):
        """(N, H, W, C) uint8 -> features (N, size of the convolutions)."""
        return self.cnn(image.permute(0, 3, 1, 2).float() / 255 - 0.5)


def flat_vector(value, axes):
    """Vectors (..., n) of one axis or scalars (...) of none -> (..., n), float."""
    return value.float() if axes else value.float()[..., None]


class Decoder(nn.Module):
    """States -> one reconstruction loss per observation key."""

    def __init__(
        self, obs_space, deter, stoch, conv, image, vector, style: Style, *, layers, units, keys=".*", scalars=True
    ):
        super().__init__()
        self.images, self.vectors = split_keys("decoder.keys", obs_space, keys, scalars)
        self.image, self.vector = image, vector
        self.shapes = {key: obs_space[key].shape for key in self.images + self.vectors}
        if self.vectors:
            self.mlp = MLP(deter + stoch, style, layers=layers, units=units)
            width = lambda key: math.prod(self.shapes[key])
            linear = lambda key: Linear(self.mlp.size, width(key), style.init, vector.outscale)
            self.linears = nn.ModuleList(linear(key) for key in self.vectors)
        if self.images:
            size, channels = image_size(obs_space, self.images), [self.shapes[key][2] for key in self.images]
            conv.check(size)
            self.cnn = conv.decoder(sum(channels), size, deter, stoch, units, style)

    def forward(self, states):
        """states (..., D), (..., Z) -> raw outputs by key: images (..., H, W, C), vectors (..., n)."""
        outs = {}
        if self.images:
            images = self.decode_images(*(x.flatten(0, -2) for x in states))
            outs |= {key: image.unflatten(0, states.deter.shape[:-1]) for key, image in images.items()}
        return outs | self.decode_vectors(states)

    def decode_images(self, deter, stoch):
        """(N, D), (N, Z) -> raw images by key (N, H, W, C)."""
        pixels = self.cnn(deter, stoch).permute(0, 2, 3, 1)
        channels = [self.shapes[key][2] for key in self.images]
        return dict(zip(self.images, pixels.split(channels, -1), strict=True))

    def decode_vectors(self, states):
        """States (..., D), (..., Z) -> raw vectors by key (..., n)."""
        if not self.vectors:
            return {}
        hidden = self.mlp(states.feat)
        return {key: linear(hidden) for key, linear in zip(self.vectors, self.linears, strict=True)}

    def losses(self, states, obs):
        """Reconstruction losses by key, (...) each: summed over pixels and vector dimensions."""
        losses = {}
        if self.images:
            flat = [x.flatten(0, -2) for x in states]
            rows = apply_in_chunks(self.image_losses, *flat, *(obs[key].flatten(0, -4) for key in self.images))
            losses |= {key: x.unflatten(0, states.deter.shape[:-1]) for key, x in zip(self.images, rows.T, strict=True)}
        for key, out in self.decode_vectors(states).items():
            losses[key] = self.vector.loss(out, flat_vector(obs[key], len(self.shapes[key]))).sum(-1)
        return losses

    @compilable
    def image_losses(self, deter, stoch, *images):
        """States (N, D), (N, Z), true images (N, H, W, C) -> their losses (N, number of images)."""
        outs = self.decode_images(deter, stoch).values()
        return torch.stack([self.image.loss(out, image) for out, image in zip(outs, images, strict=True)], -1)

    def predict(self, states):
        """Reconstructions by key: images in [0, 1] (..., H, W, C), vectors (..., n)."""
        return {k: (self.image if k in self.images else self.vector).pred(out) for k, out in self(states).items()}
