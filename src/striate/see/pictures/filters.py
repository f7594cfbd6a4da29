"""Which frequencies each kernel lets pass: its response over the plane of frequencies, and where that is strongest."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.errors import ArgumentError
from striate.result import text_table
from striate.see import paint
from striate.see.pictures.kernels import kernels
from striate.see.plates import Plate, Plates, Ramp, Row

SIZE = 33  # of the plane: odd, so that frequency zero has a place of its own in the middle
FLAT = 0.05  # of the largest response: a spread below it is of all frequencies alike


@dataclass(frozen=True, eq=False)
class Response:
    """One kernel: its weights and what it lets pass.

    Attributes:
        weights: float32 [c, h, w].
        gain: float32 [size, size], the root of the mean square over input channels; zero frequency in the middle.
        peak: the frequency of the strongest response, cycles a pixel, 0 to 0.71.
        angle: of the stripes of that frequency, in degrees from horizontal, 0 to 180; nan where the peak is at zero.
        kind: low-pass, band-pass, high-pass or flat.
    """

    weights: NDArray[np.float32] = field(repr=False)
    gain: NDArray[np.float32] = field(repr=False)
    peak: float
    angle: float
    kind: str


@dataclass(frozen=True, eq=False)
class Filters(Plates):
    """The responses of the first kernels of a layer; `of` is how many it has."""

    path: str
    responses: tuple[Response, ...]
    of: int

    @property
    def scale(self) -> float:
        """The largest gain of all, where colours end."""
        return max(paint.reach(each.gain) for each in self.responses)

    def heading(self) -> str:
        """What is shown."""
        return (
            f"{len(self.responses)} of {self.of} kernels of {self.path} and their gain by frequency: zero in the middle, "
            "half a cycle a pixel at the sides"
        )

    def ramps(self) -> list[Ramp]:
        """Gains from zero."""
        return [Ramp("sequential", 0.0, self.scale, "gain")]

    def remarks(self) -> list[str]:
        """What is drawn of kernels with several inputs."""
        inputs = len(self.responses[0].weights)
        if inputs in (1, 3):
            return []
        return [f"each kernel has {inputs} input channels, of which the mean is drawn"]

    def rows(self) -> list[Row]:
        """A kernel beside its response."""
        plates: list[Plate] = []
        for i, each in enumerate(self.responses):
            kernel = each.weights if len(each.weights) == 3 else each.weights.mean(0, keepdims=True)
            reach = paint.reach(each.weights)
            tile = (
                paint.colour(kernel.transpose(1, 2, 0), reach)
                if len(kernel) == 3
                else paint.diverging(kernel[0], reach)
            )
            where = "" if np.isnan(each.angle) else f", stripes at {each.angle:.0f} degrees"
            told = f"kernel {i}: {each.kind}, strongest at {each.peak:.2f} cycles a pixel{where}"
            plates += [
                Plate(tile, f"{i}", f"kernel {i}"),
                Plate(paint.sequential(each.gain, self.scale), each.kind, told),
            ]
        return [Row(plates)]

    def as_dict(self) -> dict[str, Any]:
        """Kind, peak and angle of each."""
        return {
            "path": self.path,
            "of": self.of,
            "kernels": [
                {
                    "kind": each.kind,
                    "peak": each.peak,
                    "angle": None if np.isnan(each.angle) else each.angle,
                    "gain_at_zero": float(each.gain[SIZE // 2, SIZE // 2]),
                }
                for each in self.responses
            ],
        }

    def as_text(self) -> str:
        """A row a kernel."""
        rows = [
            [
                i,
                each.kind,
                f"{each.peak:.3f}",
                "-" if np.isnan(each.angle) else f"{each.angle:.0f}",
                f"{each.gain[SIZE // 2, SIZE // 2]:.3f}",
                f"{each.gain.max():.3f}",
            ]
            for i, each in enumerate(self.responses)
        ]
        head = ["kernel", "kind", "cycles a pixel", "degrees", "gain at zero", "largest"]
        return f"{self.heading()}\n\n{text_table(head, rows)}"


def filters(
    net: nn.Module,
    *,
    layer: str | None = None,
    limit: int = 32,
    shape: tuple[int, ...] | None = None,
) -> Filters:
    """The frequency response of every kernel of a layer of any net; the net stays as it is.

    Args:
        net: any module.
        layer: by its name; the first convolution if not given.
        limit: kernels that are shown.
        shape: (C, H, W) of the picture that a linear layer reads.

    Raises:
        ArgumentError: the net has no such layer, it has no kernels, or they are of one pixel.
        ShapeError: `shape` is missing for a linear layer, or does not fit it.
    """
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1")
    laid = (shape[0], shape[1], shape[2]) if shape and len(shape) == 3 else None
    found = kernels(net, layer, limit=1_000_000, shape=laid)
    if found.shape[2:] == (1, 1):
        raise ArgumentError(
            f"{found.path}: kernels of 1x1 let every frequency pass alike; name another layer"
        )
    shown = found.weights[:limit]
    return Filters(found.path, tuple(map(response, shown)), found.shape[0])


def response(weights: NDArray[np.float32]) -> Response:
    """What a kernel [c, h, w] lets pass: |its discrete Fourier transform|, zero-padded to 33 x 33 or more."""
    size = max(SIZE, *weights.shape[1:])
    size += 1 - size % 2
    spectrum = np.fft.fft2(weights.astype(np.float64), (size, size), axes=(1, 2))
    gain = np.fft.fftshift(np.sqrt(np.square(np.abs(spectrum)).mean(0)))
    frequency = np.fft.fftshift(np.fft.fftfreq(size))
    row, column = np.unravel_index(int(gain.argmax()), gain.shape)
    vertical, across = float(frequency[row]), float(frequency[column])
    peak = float(np.hypot(vertical, across))
    # Stripes stand across the direction in which the wave goes.
    angle = (
        float("nan") if peak == 0 else float(np.degrees(np.arctan2(-vertical, across)) + 90) % 180
    )
    return Response(weights, gain.astype(np.float32), peak, angle, _kind(gain, peak))


def _kind(gain: NDArray[np.float64], peak: float) -> str:
    """By where the strongest response lies and what passes at zero."""
    middle = gain[gain.shape[0] // 2, gain.shape[1] // 2]
    top = gain.max()
    if top == 0 or (top - gain.min()) < FLAT * top:
        return "flat"
    if middle > top / np.sqrt(2):
        return "low-pass"
    edge = max(gain[0].max(), gain[:, 0].max(), gain[-1].max(), gain[:, -1].max())
    return "high-pass" if edge > 0.98 * top and peak > 0.4 else "band-pass"
