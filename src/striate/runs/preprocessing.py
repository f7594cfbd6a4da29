"""From stored inputs to what a net takes. N items, H W pixels, C channels."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import Form, Images, channels
from striate.errors import CheckpointError

F64 = NDArray[np.float64]

_STEP = 255 / 65535  # of 16 bits, in values 0..255


@dataclass(frozen=True)
class Preprocessing:
    """Pictures: brought to `resize`, the middle `size` taken, the mean subtracted, divided by the deviation.

    Inputs that are no pictures are taken as they are, but for mean and deviation.

    Attributes:
        size: height and width that the net reads; of inputs that are no pictures the whole shape of one.
        resize: height and width at which pictures are stored; () where each keeps its own, and of other inputs.
        color: of pictures; "" of other inputs.
        mean: a channel, of pictures for values 0..255, measured on the training items.
        std: likewise the standard deviation.
        fit: how pictures are brought to `resize`; see `striate.data.Data.arrays`. Only of "cover" the middle is taken.
        levels: values of pictures of more than 8 bits that become 0 and 255, all steps between them kept; None where
            there were none such.
    """

    size: tuple[int, ...]
    resize: tuple[int, ...]
    color: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = "cover"
    levels: tuple[float, float] | None = None

    @classmethod
    def measured(
        cls,
        inputs: Images,
        size: tuple[int, ...],
        color: str,
        *,
        fit: str = "cover",
        limit: int = 5000,
    ) -> "Preprocessing":
        """With mean and deviation of up to `limit` of the inputs, evenly picked.

        Args:
            inputs: pictures [N, H, W, C] of 0 to 255, or arrays [N, C, ...] where `color` is "".
            size: as the class has it.
            color: as the class has it.
            fit: as the class has it.
            limit: most inputs that are looked at.
        """
        some = inputs[:: -(-len(inputs) // limit)]
        if not color:
            mean, std = _moments(np.asarray(some, np.float64))
            return cls(tuple(inputs.shape[1:]), (), color, mean, std, fit)
        mean, std = (_of_bytes if inputs.dtype == np.uint8 else _of_floats)(some, channels(color))
        stored = tuple(inputs.shape[1:3]) if min(inputs.shape[1:3]) else ()
        return cls(size, stored, color, tuple(mean.tolist()), tuple(std.tolist()), fit)

    @property
    def form(self) -> Form:
        """In which inputs are stored."""
        if not self.color:
            return Form(None, "")
        own = self.fit == "native" or not self.resize
        return Form(None if own else (self.resize[0], self.resize[1]), self.color, self.fit)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input as the net reads it in training: (C, H, W) of a picture."""
        return (channels(self.color), *self.size) if self.color else self.size

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Preprocessing":
        """Read back what `as_dict` gave.

        Raises:
            CheckpointError: a field is missing or of the wrong kind.
        """
        try:
            size, resize = (_counts(content[key], key) for key in ("size", "resize"))
            mean, std = (_numbers(content[key], key) for key in ("mean", "std"))
            color, fit = (_word(content.get(key, "cover"), key) for key in ("color", "fit"))
            levels = _numbers(content.get("levels") or (), "levels")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"config.json: its preprocessing is damaged ({error})") from error
        if color and (len(size) != 2 or len(resize) not in (0, 2)):
            raise CheckpointError(
                "config.json: its preprocessing has sizes that are no height and width"
            )
        if len(mean) != len(std) or min(std, default=0) <= 0:
            raise CheckpointError(
                f"config.json: its preprocessing is damaged (mean {mean}, std {std})"
            )
        if color and len(mean) != channels(color):
            raise CheckpointError(
                f"config.json: its preprocessing has {len(mean)} means for color={color}"
            )
        if levels and (len(levels) != 2 or not levels[0] < levels[1]):
            raise CheckpointError("config.json: its preprocessing has levels that are no range")
        return cls(size, resize, color, mean, std, fit, (levels[0], levels[1]) if levels else None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json; without levels where pictures have 8 bits."""
        return {key: value for key, value in asdict(self).items() if key != "levels" or value}

    def centre(self, images: Tensor) -> Tensor:
        """What the net is used on, of stored inputs [N, ...]: of those that cover their size the middle, else all."""
        if self.fit != "cover" or not self.color:
            return images
        (height, width), (h, w) = self.resize, self.size
        top, left = (height - h) // 2, (width - w) // 2
        return images[:, top : top + h, left : left + w]

    @staticmethod
    def target(kind: str, stored: Tensor, size: tuple[int, ...]) -> Tensor:
        """Targets of one kind as a loss reads them.

        Args:
            kind: of `striate.data.targets`.
            stored: as `Data.arrays` gives them, or as they are after a change of place.
            size: height and width of the pictures they are places of.

        Returns:
            Class numbers [B, h, w] of masks [B, h, w, 1]; class and corners as shares of the picture [B, M, 5] of
            boxes in pixels; others as they are.
        """
        if kind == "mask":
            return stored[..., 0].long()
        if kind != "boxes":
            return stored
        high, wide = size
        return stored / stored.new_tensor((1, wide, high, wide, high))

    def normalise(self, images: Tensor) -> Tensor:
        """Stored inputs as what the net reads, float32; they are left as they are.

        Pictures [N, H, W, C] of 0 to 255 become [N, C, H, W], channels last in memory; other arrays lie as they did.
        """
        mean = torch.tensor(self.mean, device=images.device)
        std = torch.tensor(self.std, device=images.device)
        if not self.color:
            x = images.float()
            axes = (-1, *(1,) * (x.ndim - 2))
            return (x - mean.view(axes)) / std.view(axes) if x.ndim > 1 else (x - mean) / std
        x = images.to(torch.float32, copy=True)  # what follows is done in place
        if x.is_contiguous():  # a row at a time: three numbers at a time take eight times as long
            wide = x.shape[2]
            x.flatten(2).sub_(mean.repeat(wide)).div_(std.repeat(wide))
        else:
            x.sub_(mean).div_(std)
        return x.permute(0, 3, 1, 2)


def _of_bytes(images: Images, count: int) -> tuple[F64, F64]:
    """Mean and deviation of each of `count` channels of pictures of 8 bits, by a histogram: they need no room as floats."""
    counts = np.zeros((count, 256), np.int64)
    for image in images:
        for channel in range(count):
            counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ np.arange(256)
    variance = (share * (np.arange(256) - mean[:, None]) ** 2).sum(1)
    return mean, np.sqrt(variance).clip(1.0)  # a constant channel must not be blown up


def _of_floats(images: Images, count: int) -> tuple[F64, F64]:
    """The same of deeper pictures, added up picture by picture (Chan, Golub and LeVeque 1979)."""
    pixels, mean, squares = 0, np.zeros(count), np.zeros(count)
    for image in images:
        values = image.reshape(-1, count).astype(np.float64)
        own = values.mean(0)
        total = pixels + len(values)
        squares += ((values - own) ** 2).sum(0) + (own - mean) ** 2 * pixels * len(values) / total
        mean += (own - mean) * len(values) / total
        pixels = total
    std = np.sqrt(squares / max(1, pixels))
    return mean, np.where(std > _STEP, std, 1.0)  # as above; values may use little of their range


def _counts(values: Any, key: str) -> tuple[int, ...]:
    if any(type(v) is not int or v < 1 for v in values):
        raise ValueError(f"{key} is {values}")
    return tuple(values)


def _numbers(values: Any, key: str) -> tuple[float, ...]:
    if any(type(v) not in (int, float) or not math.isfinite(v) for v in values):
        raise ValueError(f"{key} is {values}")
    return tuple(float(v) for v in values)


def _word(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{key} is {value!r}")
    return value


def _moments(values: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of every channel of arrays [N, C, ...]."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    mean, std = values.mean(axes), values.std(axes)
    std = np.where(std > 0, std, 1.0)
    return tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())
