"""A picture file as the batch of one that a named net reads."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from striate import data
from striate.errors import ShapeError
from striate.runs import Run
from striate.workbench.nets import Named


def read(file: Path, named: Named) -> Tensor:
    """Decode, resize and normalise one picture: [1, C, H, W], float32.

    A run reads it as in its training. Any other net gets its values 0..255 as 0..1, the shorter side
    scaled to fit and the middle cut out.

    Raises:
        DataError: the picture cannot be read.
        ShapeError: the net reads no pictures of one or three channels.
    """
    folder = Path(named.name)
    if (folder / "config.json").exists():
        pre = Run.load(folder, net=named.net).config.preprocessing
        size, color, fit = pre.form
        stored, _ = data.picture_and_size(file, size=size, color=color, fit=fit, levels=pre.levels)
        return pre.normalise(pre.centre(torch.from_numpy(stored.copy())[None]))
    shape = named.known_shape()
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ShapeError(
            f"{named.name} reads {'x'.join(map(str, shape))}; a picture needs 1 or 3 channels, such as --input 3x224x224"
        )
    channels, height, width = shape
    color = "grey" if channels == 1 else "rgb"
    pixels = data.picture(file, size=(height, width), color=color)
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
