"""How values 0 to 1 of pictures become what a net reads: the one rule of all pictures of nets. N items, C channels.

A run reads as it was trained, whatever weights are put into it. Published weights and those of a run say what they
expect, between grey and colour too; a file says nothing: of colour it is taken to expect what ImageNet's weights do, and
other pictures are read as they are, 0 to 1.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import ShapeError
from striate.inputs import Preprocessing
from striate.inputs.pictures import Pictures, in_color
from striate.runs.config import Config
from striate.weights import published

Levels = tuple[Sequence[float], Sequence[float]]  # mean and deviation a channel, of values 0..1


def of_run(read: Preprocessing) -> Levels | None:
    """By what a run normalises its pictures; None of other items, which have no values 0 to 1."""
    if not isinstance(read, Pictures):
        return None
    return tuple(v / 255 for v in read.mean), tuple(v / 255 for v in read.std)


def of_weights(weights: str, channels: int) -> tuple[Levels | None, str]:
    """What weights expect of pictures of so many channels, None of values as they are; and a sentence that says so.

    Args:
        weights: a published name, a run folder or a file.
        channels: that the net reads.

    Raises:
        CheckpointError: a run that is damaged.
    """
    if (Path(weights) / "config.json").exists():
        known: Preprocessing = Config.read(Path(weights)).preprocessing
        source = f"as {weights} was trained"
    elif not Path(weights).exists() and published.known(weights):
        known, source = Pictures.of_values(*published.levels(weights)[1:]), f"as for {weights}"
    elif channels == 3:
        known = Pictures.of_values(published.IMAGENET_MEAN, published.IMAGENET_STD)
        source = f"as for ImageNet, since {weights} does not say how"
    else:
        return None, f"read as 0 to 1, since {weights} does not say how pictures are normalised"
    color = {1: "grey", 3: "rgb"}.get(channels, "")
    found = in_color(known, color) if isinstance(known, Pictures) else None
    if found is None:
        return None, f"read as 0 to 1: what {weights} expects is not known of {channels} channels"
    mean, std = (tuple(v / 255 for v in each) for each in found)
    return (mean, std), f"normalised by mean {_said(mean)} and deviation {_said(std)}, {source}"


def as_read(pictures: Tensor, levels: Levels | None) -> Tensor:
    """Pictures [N, C, ...] of values 0 to 1 as a net reads them: less the mean, over the deviation; as they are if None.

    Raises:
        ShapeError: levels of another number of channels.
    """
    if levels is None:
        return pictures
    mean, std = _of_channels(levels, pictures)
    return (pictures - mean) / std


def as_shown(pictures: Tensor, levels: Levels | None) -> Tensor:
    """What a net reads as values 0 to 1 again; stretched between the ends where nobody says how.

    Raises:
        ShapeError: levels of another number of channels.
    """
    if levels is None:
        low, high = pictures.amin(), pictures.amax()
        return pictures if low >= 0 and high <= 1 else (pictures - low) / (high - low)
    mean, std = _of_channels(levels, pictures)
    return (pictures * std + mean).clamp(0, 1)


def _of_channels(levels: Levels, pictures: Tensor) -> list[Tensor]:
    counts, channels = [len(each) for each in levels], pictures.shape[1]
    if counts != [channels, channels]:
        raise ShapeError(
            f"levels: got {counts[0]} means and {counts[1]} deviations, expected one a channel of pictures of {channels}"
        )
    side = [1, channels, *[1] * (pictures.ndim - 2)]
    return [torch.tensor(each, device=pictures.device).view(side) for each in levels]


def _said(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
