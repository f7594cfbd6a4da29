"""Scores of pictures that are given back. N items, H W pixels, C channels, values 0 (black) to 1 (white).

Every score is of one picture; that of a set is the mean over its pictures, with an interval from pictures, or groups of
them, left out. SSIM is that of Wang, Bovik, Sheikh and Simoncelli 2004, doi 10.1109/TIP.2003.819861: 11x11 Gaussian
windows of deviation 1.5 that lie wholly in the picture, K1 = 0.01, K2 = 0.03, of each channel, then the mean. (Their
program first makes pictures of more than 384 pixels smaller, this does not.)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArgumentError, ShapeError
from striate.metrics.intervals import Floats, mean, too_few
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import Interval, mean_known

Groups = NDArray[np.integer] | None

BEST = 100.0  # decibels: of a perfect copy, which has no noise to be compared with, and of what comes as near
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
FLAT = (
    1 / 255
)  # a root mean square of second differences under one grey level of 8 bits: nothing to be sharp

QUICK = ("psnr", "l1", "l2")  # after every epoch
WHOLE = (*QUICK, "ssim", "edge_error", "sharpness")
POSITIVE = ("l1", "l2", "edge_error", "sharpness")


class ReconstructMeter:
    """Adds pictures up to scores; keeps a row of scores an item.

    Args:
        whole: SSIM, edge error and sharpness too, which take longer.
    """

    def __init__(self, *, whole: bool = True) -> None:
        self.names = WHOLE if whole else QUICK
        self._rows = Rows({"scores": ((len(self.names),), np.float64)})

    def __len__(self) -> int:
        return len(self._rows["scores"])

    def add(self, answer: Floats, truth: Floats) -> None:
        """Add one picture.

        Raises:
            ShapeError, ArgumentError: as of `picture_scores`.
        """
        found = picture_scores(answer, truth, whole=self.names == WHOLE)
        self._rows.add({"scores": np.array([[found[name] for name in self.names]])})

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for other processes: `scores` [N, S]."""
        return self._rows.state()

    def add_rows(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the items of another meter of the same scores behind one's own."""
        self._rows.add(state)

    def row(self, name: str) -> NDArray[np.float64]:
        """One score of every item [N]."""
        return self._rows["scores"][:, self.names.index(name)]

    def values(self) -> dict[str, float]:
        """The scores without intervals; nan where nothing can be scored."""
        rows = self._rows["scores"]
        return {name: mean_known(rows[:, k]) for k, name in enumerate(self.names)}

    def scores(self, groups: Groups = None) -> dict[str, Interval]:
        """The scores with 95 % intervals; groups: a number an item, items of one group are left out together."""
        rows = self._rows["scores"]
        return {
            name: mean(rows[:, k], groups, scale="positive" if name in POSITIVE else "real")
            for k, name in enumerate(self.names)
        }

    def notes(self, groups: Groups = None) -> list[str]:
        """What a reader must know: that there are too few items for intervals, and what the flat ones lack."""
        said = too_few(len(self), groups)
        if "sharpness" in self.names:
            flat = int(np.isnan(self._rows["scores"][:, self.names.index("sharpness")]).sum())
            if flat:
                what = "picture, which has" if flat == 1 else "pictures, which have"
                said.append(f"sharpness is not known of {flat:,} {what} next to no detail")
        return said


def picture_scores(answer: Floats, truth: Floats, *, whole: bool = True) -> dict[str, float]:
    """The scores of one picture by name; nan where one is not defined.

    Args:
        answer: values [H, W, C].
        truth: likewise.
        whole: those of `WHOLE`, else those of `QUICK`.

    Raises:
        ShapeError: two sizes, or other axes.
        ArgumentError: an answer that is no number.
    """
    if answer.shape != truth.shape or answer.ndim != 3:
        raise ShapeError(
            f"got a picture {list(answer.shape)} and a truth {list(truth.shape)}, expected two [height, width, channels]"
        )
    if not np.isfinite(answer).all():
        raise ArgumentError("got nan or infinity in a picture")
    a, t = (np.asarray(each, np.float64) for each in (answer, truth))
    error = a - t
    square = float((error**2).mean())
    found = {"psnr": psnr(square), "l1": float(np.abs(error).mean()), "l2": square}
    if whole:
        found |= {"ssim": ssim(a, t), "edge_error": edge_error(a, t), "sharpness": sharpness(a, t)}
    return found


def psnr(square: float) -> float:
    """Peak signal-to-noise ratio in decibels of a mean squared error of values 0..1; `BEST` at most."""
    return min(BEST, -10 * math.log10(square)) if square > 0 else BEST


def ssim(answer: Floats, truth: Floats) -> float:
    """Structural similarity of two pictures [H, W, C] of values 0..1: 1 of equal ones, 0 of unrelated ones.

    Of a picture with a side under 11 pixels the window is as large as the largest odd number that fits.
    """
    side = min(WINDOW, *answer.shape[:2])
    half = (side - 1) // 2
    places = np.arange(-half, half + 1)
    weights = np.exp(-((places / SIGMA) ** 2) / 2)
    weights /= weights.sum()

    def local(values: Floats) -> Floats:
        """The weighted mean of each window that lies wholly in the picture."""
        down = _filtered(values, weights, 0)[half : len(values) - half]
        return _filtered(down, weights, 1)[:, half : values.shape[1] - half]

    mean_a, mean_t = local(answer), local(truth)
    product, squares = mean_a * mean_t, mean_a**2 + mean_t**2
    both = local(answer * truth) - product
    variances = local(answer**2 + truth**2) - squares  # of both, added: one is not asked for alone
    c1, c2 = K1**2, K2**2
    light = (2 * product + c1) / (squares + c1)
    shape = (2 * both + c2) / (variances + c2)
    return float((light * shape).mean())


def edge_error(answer: Floats, truth: Floats) -> float:
    """How far the edges of two pictures [H, W, C] differ: the mean length of the difference of their slopes.

    The slope is Sobel's of both directions, divided by 8, so that it is a change of value by pixel; edges repeat
    beyond the border.
    """
    off = _bordered(answer - truth)  # slopes are linear
    down, across = off[2:] - off[:-2], off[:, 2:] - off[:, :-2]
    down = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    across = across[:-2] + 2 * across[1:-1] + across[2:]
    return float(np.sqrt(down**2 + across**2).mean() / 8)


def sharpness(answer: Floats, truth: Floats) -> float:
    """Energy of the finest detail of a picture [H, W, C] over that of the truth: 1 as sharp, less where it is blurred.

    The detail is the sum of second differences (the Laplacian of five cells); nan where the truth has none.
    """
    energies = [float((_laplacian(each) ** 2).mean()) for each in (answer, truth)]
    return energies[0] / energies[1] if energies[1] > FLAT**2 else math.nan


def _laplacian(values: Floats) -> Floats:
    """Second differences down and across, channel by channel."""
    wide = _bordered(values)
    beside = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    return beside - 4 * values


def _bordered(values: Floats) -> Floats:
    """A picture [H, W, C] with its border repeated once beyond it."""
    high = np.concatenate([values[:1], values, values[-1:]])
    return np.concatenate([high[:, :1], high, high[:, -1:]], 1)


def _filtered(values: Floats, line: Sequence[int] | Floats, axis: int) -> Floats:
    """A kernel along an axis of [H, W, C]; what lies at the border is repeated beyond it."""
    from scipy import ndimage  # here: the scores of other tasks do without

    return ndimage.correlate1d(values, line, axis=axis, mode="nearest")
