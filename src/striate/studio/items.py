"""The items of data, as one net reads them. N items, H W pixels, C channels."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import Arrays, Data, as_rgb
from striate.errors import ArgumentError
from striate.inputs import Pictures, Preprocessing
from striate.studio.routes import Refusal

U8 = NDArray[np.uint8]
SPOKEN = ("label", "labels", "values")  # kinds of targets that a few words say
THUMB = 64  # pixels of the longer side


class Items(ABC):
    """Items by number."""

    @abstractmethod
    def __len__(self) -> int:
        """As listed: those that cannot be read are counted."""

    @abstractmethod
    def stored(self, index: int) -> NDArray[Any]:
        """One item as evaluation sees it, before its values are scaled."""

    def readable(self, index: int) -> bool:
        """Whether it can be shown."""
        del index
        return True

    def label(self, index: int) -> str | None:
        """What belongs to it, in words; None where nobody knows."""
        del index
        return None

    def name(self, index: int) -> str:
        """What it is called."""
        return str(index)

    def check(self, index: int) -> int:
        """A number of an item.

        Raises:
            Refusal: 404, there is no such item.
        """
        if not 0 <= index < len(self):
            raise Refusal(404, f"item {index}: there are {len(self):,}", "index")
        return index


class DataItems(Items):
    """One split of opened data, decoded at the first question."""

    def __init__(self, data: Data, split: str, pre: Preprocessing) -> None:
        self.data, self.split, self._pre = data, split, pre
        self._lock = threading.Lock()

    @cached_property
    def _decoded(self) -> Arrays:
        return self.data.arrays(self.split, form=self._pre.form)

    @property
    def arrays(self) -> Arrays:
        """As striate.data.Data gives them; decoded once, whichever thread asks first."""
        with self._lock:
            return self._decoded

    def __len__(self) -> int:
        return len(self.data.splits[self.split])

    def readable(self, index: int) -> bool:
        """Whether it is among those that were decoded."""
        return self._place(index) is not None

    def _place(self, index: int) -> int | None:
        numbers = self.arrays.numbers
        at = int(np.searchsorted(numbers, index))
        return at if at < len(numbers) and numbers[at] == index else None

    def stored(self, index: int) -> NDArray[Any]:
        """As the class above says."""
        place = self._place(index)
        if place is None:
            raise Refusal(404, f"item {index}, {self.name(index)}, cannot be read", "index")
        one = np.array(self.arrays.inputs[place])
        return self._pre.centre(torch.from_numpy(one)[None])[0].numpy()

    def label(self, index: int) -> str | None:
        """Of labels, several labels and values; None of masks and boxes."""
        targets = self.data.splits[self.split].targets
        if targets.kind not in SPOKEN:
            return None
        said = targets.plain(index, self.data.classes, self.data.outputs)
        if isinstance(said, dict):
            return ", ".join(f"{name} {value}" for name, value in said.items())
        return said if isinstance(said, str) else ", ".join(map(str, said))

    def name(self, index: int) -> str:
        """Of its file, or its number there."""
        return str(self.data.splits[self.split].names[index])


class TensorItems(Items):
    """Items that somebody holds as a tensor, as the net reads them [N, C, ...], perhaps with a class each."""

    def __init__(self, x: Tensor, labels: Sequence[int] | None, classes: Sequence[str]) -> None:
        """Hold them.

        Raises:
            ArgumentError: there are none, or other than one label an item.
        """
        if x.ndim < 2 or not len(x) or not x.is_floating_point():
            raise ArgumentError(
                f"data={x.dtype} {list(x.shape)}: expected floating items [N, C, ...] as the net reads them"
            )
        if labels is not None and len(labels) != len(x):
            raise ArgumentError(f"{len(labels):,} labels for {len(x):,} items")
        self._x, self._labels, self._classes = x.detach().to("cpu", torch.float32), labels, classes

    def __len__(self) -> int:
        return len(self._x)

    def stored(self, index: int) -> NDArray[Any]:
        """As the class above says."""
        return self._x[index].numpy()

    def label(self, index: int) -> str | None:
        """Of labels, several labels and values; None of masks and boxes."""
        if self._labels is None:
            return None
        at = int(self._labels[index])
        return self._classes[at] if 0 <= at < len(self._classes) else str(at)


def picture_of(stored: NDArray[Any], pre: Preprocessing) -> U8:
    """What a person sees of an input, uint8 [H, W, 3]."""
    if isinstance(pre, Pictures):
        seen = as_rgb(_bytes(stored), pre.color)
        return np.ascontiguousarray(np.broadcast_to(seen, (*seen.shape[:2], 3)))
    drawn = pre.drawn(stored)
    if drawn is not None and drawn.picture.size:
        return np.ascontiguousarray(np.broadcast_to(drawn.picture, (*drawn.picture.shape[:2], 3)))
    return plane(stored)


def plane(x: NDArray[Any]) -> U8:
    """Any array as a grey picture, or one in colour of three channels: of a volume the middle, of a series its channels as rows."""
    x = np.asarray(x, np.float32)
    while x.ndim > 3:
        x = x[:, x.shape[1] // 2]
    if x.ndim == 3:
        x = x.transpose(1, 2, 0) if x.shape[0] == 3 else x[0]
    x = x[None] if x.ndim == 1 else x
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scaled = np.nan_to_num((x - low) / (high - low) * 255) if high > low else np.zeros_like(x)
    grey = scaled.clip(0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, 2))


def _bytes(stored: NDArray[Any]) -> U8:
    return stored if stored.dtype == np.uint8 else stored.round().clip(0, 255).astype(np.uint8)


def thumb(picture: U8, side: int = THUMB) -> U8:
    """A picture with a longer side of at most so many pixels; smaller ones stay as they are."""
    from PIL import Image

    if max(picture.shape[:2]) <= side:
        return picture
    small = Image.fromarray(picture)
    small.thumbnail((side, side))
    return np.asarray(small)


def png(picture: U8) -> bytes:
    """A picture as a PNG file."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
