"""Hand-made kernels applied to a picture: edges, blur, sharpening, relief, each with its frequency response."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, nearest
from striate.ops.kernels import KERNELS, apply
from striate.result import text_table
from striate.see import paint
from striate.see.pictures.filters import response
from striate.see.plates import Plate, Plates, Ramp, Row
from striate.text import times


@dataclass(frozen=True, eq=False)
class Handmade(Plates):
    """A picture under kernels.

    Attributes:
        pictures: float32 [N, C, H, W] of 0 to 1.
        kernels: by name, [h, w].
        results: by name, [N, C, H, W].
    """

    pictures: NDArray[np.float32] = field(repr=False)
    kernels: dict[str, NDArray[np.float32]] = field(repr=False)
    results: dict[str, NDArray[np.float32]] = field(repr=False)

    def heading(self) -> str:
        """What is shown."""
        return f"{len(self.kernels)} hand-made kernels, what they let pass, and what they make of a picture"

    def ramps(self) -> list[Ramp]:
        """Results below zero occur."""
        return [
            Ramp(
                "diverging",
                -1.0,
                1.0,
                "of results with values below zero; others from black to white",
            )
        ]

    def rows(self) -> list[Row]:
        """A row a kernel: itself, its response, the pictures under it."""
        given = [Plate(_picture(each)) for each in self.pictures]
        rows = [Row(given, "given")]
        for name, kernel in self.kernels.items():
            gain = response(kernel[None]).gain
            plates = [
                Plate(
                    paint.diverging(kernel, paint.reach(kernel)),
                    "kernel",
                    f"{name}: {kernel.tolist()}",
                ),
                Plate(
                    paint.sequential(gain, paint.reach(gain)),
                    "response",
                    f"gain of {name} by frequency",
                ),
                *(
                    Plate(*_result(each), f"{name} of picture {i + 1}")
                    for i, each in enumerate(self.results[name])
                ),
            ]
            rows.append(Row(plates, name))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Kernels and the range of what they give."""
        return {
            "kernels": [
                {
                    "name": name,
                    "kernel": kernel.tolist(),
                    "min": float(self.results[name].min()),
                    "max": float(self.results[name].max()),
                }
                for name, kernel in self.kernels.items()
            ]
        }

    def as_text(self) -> str:
        """A row a kernel."""
        rows = [
            [
                each["name"],
                times(self.kernels[each["name"]].shape),
                f"{each['min']:.3f}",
                f"{each['max']:.3f}",
            ]
            for each in self.as_dict()["kernels"]
        ]
        return f"{self.heading()}\n\n{text_table(['name', 'kernel', 'min', 'max'], rows)}"


def handmade(images: Tensor, *, kernel: tuple[str, ...] = ()) -> Handmade:
    """Hand-made kernels of the textbooks applied to pictures by cross-correlation, at the pictures' own size.

    Args:
        images: [N, C, H, W] of values 0 to 1.
        kernel: names, such as sobel; all if none is given.

    Raises:
        ArgumentError: a name that no kernel has.
        ShapeError: no batch of pictures.
    """
    if images.ndim != 4 or not len(images):
        raise ShapeError(
            f"images: got {tuple(images.shape)}, expected (items, channels, height, width)"
        )
    if wrong := [name for name in kernel if name not in KERNELS]:
        raise ArgumentError(f"no kernel is called {wrong[0]!r}; {nearest(wrong[0], KERNELS)}")
    chosen = {name: KERNELS[name]() for name in kernel or KERNELS}
    planes = {name: each for name, each in chosen.items() if each.ndim == 2}
    with torch.no_grad():
        results = {name: apply(images, each).float().numpy() for name, each in planes.items()}
    return Handmade(
        images.float().numpy(),
        {name: each.float().numpy() for name, each in planes.items()},
        results,
    )


def _picture(values: NDArray[np.float32]) -> paint.Pixels:
    pixels = np.rint(values.clip(0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)
    return paint.as_rgb(pixels)


def _result(values: NDArray[np.float32]) -> tuple[paint.Pixels, str]:
    """A result as pixels, and where its colours end; nothing of one that is a picture again."""
    if values.min() < -1e-6:
        plane = values.mean(0)
        end = paint.reach(plane)
        return paint.diverging(plane, end), f"±{end:.2g}"
    return _picture(values), ""
