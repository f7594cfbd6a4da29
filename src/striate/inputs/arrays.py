"""Arrays that are taken as they are, but for mean and deviation. N items, C channels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from striate.data import AnyForm, Data, Form, Images
from striate.errors import DataError
from striate.inputs.fields import array_of, counts, moments, numbers, word
from striate.inputs.preprocessing import Preprocessing, Read, Settings, Shape

LOOKED_AT = 5000  # inputs at most from which mean and deviation are measured


@dataclass(frozen=True)
class AsGiven(Preprocessing):
    """Arrays [N, C, ...]: the mean of each channel subtracted, divided by its deviation.

    Attributes:
        size: the whole shape of one.
        mean: a channel, measured on the training items.
        std: likewise the standard deviation.
        fit: of the task; arrays are brought to no size.
    """

    modality: ClassVar[str] = "array"
    view_kinds: ClassVar[tuple[str, ...]] = ("mix",)
    size: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = "cover"

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A net of the user's own, and no augmentation."""
        del data, own_net
        return {"net": recipe.net, "augment": "none"}

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """With mean and deviation of some of the inputs, evenly picked."""
        del data, recipe
        some = inputs[:: -(-len(inputs) // LOOKED_AT)]
        mean, std = moments(np.asarray(some, np.float64))
        return cls(tuple(inputs.shape[1:]), mean, std, form.fit)

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        size = counts(content["size"], "size")
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        if len(mean) != len(std) or min(std, default=0) <= 0:
            raise ValueError(f"mean {mean}, std {std}")
        return cls(size, mean, std, word(content.get("fit", "cover"), "fit"))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json, in the words of pictures without colour."""
        return {**asdict(self), "resize": (), "color": "", "levels": None}

    @property
    def form(self) -> AnyForm:
        """As they are."""
        return Form(None, "", self.fit)

    @property
    def shape(self) -> Shape:
        """Of one."""
        return self.size

    def normalise(self, stored: Tensor) -> Tensor:
        """They lie as they did, [N, C, ...]."""
        mean = torch.tensor(self.mean, device=stored.device)
        std = torch.tensor(self.std, device=stored.device)
        x = stored.float()
        axes = (-1, *(1,) * (x.ndim - 2))
        return (x - mean.view(axes)) / std.view(axes) if x.ndim > 1 else (x - mean) / std

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """One array from a .npy file.

        Raises:
            DataError: it holds none, or one of another shape; with the reason alone.
        """
        del max_pixels
        found = array_of(file)
        if found.shape != self.shape:
            raise DataError(
                f"{list(found.shape)}, expected one array {list(self.shape)} in a .npy file"
            )
        return Read(found)
