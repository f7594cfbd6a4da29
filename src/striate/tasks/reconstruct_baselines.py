"""Pictures given back without a net, against which one that does so is held. C channels, H W pixels, values 0 to 1.

The mean picture of the training items is the best answer that ignores its input (by squared difference). And a net with
a narrow code can be held against the plainest code of all: the picture made so small that it has as many values as the
code, and made large again by bicubic interpolation (Keys 1981, doi 10.1109/TASSP.1981.1163711).
"""

import base64
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

U8 = NDArray[np.uint8]
Picture = NDArray[np.float32]  # [H, W, C]

MEAN, SHRUNK = "mean_picture", "shrunk"
LARGEST = 2**28  # values of a mean picture that are read again


@dataclass(frozen=True, eq=False)
class Baselines:
    """Measured on what is trained on.

    Attributes:
        mean: the mean picture [H, W, C], in levels 0 to 255 as pictures are written.
        code: how many values stand between the net's input and its answer; None where that is not known.
    """

    mean: U8 = field(repr=False)
    code: int | None = None

    @property
    def shrunk(self) -> tuple[int, int] | None:
        """Height and width at which a picture has no more values than the code; None where the code is as large as the picture."""
        return None if self.code is None else smaller(self.mean.shape, self.code)

    @property
    def names(self) -> dict[str, str]:
        """The answers by their keys, as people call them."""
        found = {MEAN: "the mean training picture"}
        if self.shrunk:
            height, width = self.shrunk
            found[SHRUNK] = f"the picture shrunk to {width} x {height} and back"
        return found

    def answers(self, truth: Picture) -> list[Picture]:
        """What they say of a picture [H, W, C], in the order of `names`."""
        found = [self.mean.astype(np.float32) / np.float32(255)]
        return [*found, shrunk_and_back(truth, self.shrunk)] if self.shrunk else found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(self.mean).tobytes(), 9))
        return {"shape": list(self.mean.shape), "mean": packed.decode(), "code": self.code}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Baselines":
        """What `as_dict` gave.

        Raises:
            KeyError: something is missing.
            ValueError: a picture of another size.
        """
        height, width, channels = (int(side) for side in content["shape"])
        size = height * width * channels
        if not 0 < size <= LARGEST or min(height, width, channels) < 1:
            raise ValueError(f"a mean picture {content['shape']}")
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(base64.b64decode(content["mean"], validate=True), size)
        except zlib.error as error:
            raise ValueError(f"a mean picture that is damaged ({error})") from error
        if len(data) != size or inflate.unconsumed_tail:
            raise ValueError("a mean picture of another size")
        code = content["code"]
        mean = np.frombuffer(data, np.uint8).reshape(height, width, channels)
        return cls(mean, None if code is None else int(code))


def measured(seen: Iterable[NDArray[Any]], code: int | None) -> Baselines:
    """From pictures [n, H, W, C] of levels 0 to 255, a batch after the other.

    Raises:
        ValueError: there are none.
    """
    total, count = np.zeros(()), 0
    for batch in seen:
        total = total + batch.sum(0, dtype=np.float64)
        count += len(batch)
    if not count:
        raise ValueError("no picture to take the mean of")
    return Baselines(np.rint(total / count).clip(0, 255).astype(np.uint8), code)


def smaller(shape: tuple[int, ...], values: int) -> tuple[int, int] | None:
    """The largest height and width of about the shape of pictures [H, W, C] that has at most so many values.

    None where the picture itself has no more, or not even one value a channel fits.

    >>> smaller((64, 64, 3), 1024), smaller((64, 64, 1), 4096), smaller((28, 28, 1), 64)
    ((18, 18), None, (8, 8))
    """
    height, width, channels = shape
    if values >= height * width * channels or values < channels:
        return None
    by = math.sqrt(values / (height * width * channels))
    h, w = max(1, math.floor(height * by + 1e-9)), max(1, math.floor(width * by + 1e-9))
    h = min(h, values // (channels * w))  # a strip whose short side is one pixel
    for more in ((h + 1, w), (h, w + 1)):
        if more[0] * more[1] * channels <= values:
            return more
    return h, w


def shrunk_and_back(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture [H, W, C] made so small and brought back to its size."""
    x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    small = F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)
    back = F.interpolate(small, x.shape[2:], mode="bicubic", align_corners=False)
    return back[0].clamp(0, 1).permute(1, 2, 0).numpy()
