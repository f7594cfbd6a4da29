"""Series that are answered as a whole, with a label or numbers. N items, C channels, T steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import AnyForm, Data, Form, Images
from striate.data.layouts.series_items import fitted, series_of
from striate.errors import DataError
from striate.inputs.fields import array_of, counts, moments, numbers
from striate.inputs.preprocessing import Drawn, Preprocessing, Read, Settings, Shape
from striate.svg import Line, timeline

LOOKED_AT = 5000  # items at most from which mean and deviation are measured
RATE, STEPS = 1e-3, 600
BATCH = 32


@dataclass(frozen=True)
class SeriesItems(Preprocessing):
    """Series [C, T]: the mean of each channel subtracted, divided by its deviation.

    Attributes:
        size: C and T.
        mean: of each channel, measured on the training items.
        std: likewise the standard deviation.
    """

    modality: ClassVar[str] = "series"
    axes: ClassVar[int] = 2
    view_kinds: ClassVar[tuple[str, ...]] = ("mix",)
    size: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """The fully convolutional network of Wang, Yan and Oates (2017)."""
        count = len(data.splits["train"])
        return {
            "net": recipe.net or (None if own_net else "fcn1d"),
            "augment": "none",
            "batch": max(2, min(BATCH, count // 10)),
            "optimizer": "adamw",
            "lr": RATE,
            "epochs": max(10, min(100, round(STEPS * BATCH / max(1, count)))),
        }

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """With mean and deviation of some of the series, evenly picked."""
        del data, recipe, form
        some = np.asarray(inputs[:: -(-len(inputs) // LOOKED_AT)], np.float64)
        return cls(tuple(inputs.shape[1:]), *moments(some))

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        size = counts(content["size"], "size")
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        if not len(mean) == len(std) == size[0] or len(size) != 2 or min(std) <= 0:
            raise ValueError(f"size {size}, {len(mean)} means, {len(std)} deviations")
        return cls(size, mean, std)

    @property
    def form(self) -> AnyForm:
        """As they are."""
        return Form(None, "")

    @property
    def shape(self) -> Shape:
        """(C, T)."""
        return self.size

    def normalise(self, stored: Tensor) -> Tensor:
        """[N, C, T] to the same, scaled."""
        mean, std = (torch.tensor(each, device=stored.device) for each in (self.mean, self.std))
        return (stored.float() - mean[:, None]) / std[:, None]

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """One series from a .csv, .tsv or .npy file; a longer or shorter one is brought to the length of the training.

        Raises:
            DataError: it holds none, or one of other channels; with the reason alone.
        """
        del max_pixels
        if file.suffix.lower() == ".npy":
            found = array_of(file)
            found = np.atleast_2d(found)
        else:
            found = series_of(file)
        if found.ndim != 2 or len(found) != self.size[0]:
            raise DataError(f"{list(found.shape)}, expected {self.size[0]} channels [C, T]")
        return Read(fitted(found.astype(np.float32), self.size[1]))

    def drawn(self, stored: NDArray[Any]) -> Drawn | None:
        """Its channels over time."""
        lines = [Line(str(k), f"s{k % 6 + 1}", row.tolist()) for k, row in enumerate(stored[:6])]
        svg = timeline([""] * stored.shape[1], lines, label="series")
        return Drawn(np.zeros((1, 1, 1), np.uint8), svg)
