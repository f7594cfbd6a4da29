"""Scores of pictures that are given back. N items, H W pixels, C channels, values 0 (black) to 1 (white).

Every score is of one picture; that of a set is the mean over its pictures, with an interval from pictures, or groups of
them, left out. SSIM is that of Wang, Bovik, Sheikh and Simoncelli 2004, doi 10.1109/TIP.2003.819861: 11x11 Gaussian
windows of deviation 1.5 that lie wholly in the picture, K1 = 0.01, K2 = 0.03, of each channel, then the mean. (Their
program first makes pictures of more than 384 pixels smaller, this does not.)
"""

import math
from collections.abc import Mapping
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
BLOCK = 16  # windows whose means are one matrix product
NEAR = 2**17  # values of four maps that stay in a second-level cache
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
        self._similarity = Similarity()

    def __len__(self) -> int:
        return len(self._rows["scores"])

    def add(self, answer: Floats, truth: Floats) -> None:
        """Add one picture.

        Raises:
            ShapeError, ArgumentError: as of `picture_scores`.
        """
        whole = self.names == WHOLE
        found = picture_scores(answer, truth, whole=whole, similarity=self._similarity)
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

    def last(self, count: int) -> list[dict[str, float]]:
        """The scores of the last pictures that were added, by name, without those that are not defined."""
        rows = self._rows.last("scores", count).tolist()
        named = (zip(self.names, row, strict=True) for row in rows)
        return [{name: value for name, value in row if math.isfinite(value)} for row in named]

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


def picture_scores(
    answer: Floats, truth: Floats, *, whole: bool = True, similarity: "Similarity | None" = None
) -> dict[str, float]:
    """The scores of one picture by name; nan where one is not defined.

    Args:
        answer: values [H, W, C].
        truth: likewise.
        whole: those of `WHOLE`, else those of `QUICK`.
        similarity: with buffers, of a caller that has many pictures.

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
        found["ssim"] = (similarity or Similarity())(answer, truth)
        found |= {"edge_error": edge_error(answer, truth), "sharpness": sharpness(a, t)}
    return found


def psnr(square: float) -> float:
    """Peak signal-to-noise ratio in decibels of a mean squared error of values 0..1; `BEST` at most."""
    return min(BEST, -10 * math.log10(square)) if square > 0 else BEST


def ssim(answer: Floats, truth: Floats) -> float:
    """Structural similarity of two pictures [H, W, C] of values 0..1: 1 of equal ones, 0 of unrelated ones.

    Of a picture with a side under 11 pixels the window is as large as the largest odd number that fits. Pictures in
    float32 are computed in it, within 1e-6 of what float64 gives.
    """
    return Similarity()(answer, truth)


class Similarity:
    """`ssim` of many pictures one after the other, in buffers that are kept; not for two threads at once.

    Of the sum s and the difference d of both pictures come the windows' means m and variances v. With S and D for the
    squares of the two means, SSIM is (S - D + 2 c1) (vs - vd + 2 c2) / ((S + D + 2 c1) (vs + vd + 2 c2)): four maps are
    filtered and not five. The weighted means of rows that follow each other are one matrix product, which is faster
    than eleven products by single weights, the zeros in it included.
    """

    def __init__(self) -> None:
        self._rooms: list[NDArray[Any]] = []
        self._weights = np.empty((0, 0))

    def __call__(self, answer: Floats, truth: Floats) -> float:
        """Of two pictures [H, W, C]."""
        kind = np.result_type(answer, truth, np.float32)
        side = (min(WINDOW, *answer.shape[:2]) + 1) // 2 * 2 - 1
        high, wide, planes = answer.shape
        down, across, line = high - side + 1, wide - side + 1, planes * wide
        rows = min(down, max(BLOCK, NEAR // (4 * line)))
        self._prepare(kind, side, (rows + side - 1) * line, rows * line)
        total = 0.0
        for top in range(0, down, rows):
            part = slice(top, min(top + rows, down) + side - 1)
            total += self._strip(answer[part], truth[part], side)
        return total / (down * across * planes)

    def _prepare(self, kind: np.dtype[Any], side: int, taken: int, left: int) -> None:
        """Buffers for four maps of so many values before and after they are filtered, and the weights."""
        sizes = [4 * taken, 4 * left, 4 * left, 3 * left]
        if [room.size for room in self._rooms] != sizes or self._weights.dtype != kind:
            self._rooms = [np.empty(size, kind) for size in sizes]
        if self._weights.dtype != kind or self._weights.shape[1] != BLOCK + side - 1:
            self._weights = _band(side).astype(kind)

    def _strip(self, answer: Floats, truth: Floats, side: int) -> float:
        """The sum over the windows of some rows [h, W, C]."""
        (high, wide, planes), less = answer.shape, side - 1
        given = self._room(0, 4, high, planes, wide)
        a, t = answer.transpose(0, 2, 1), truth.transpose(0, 2, 1)
        np.add(a, t, out=given[0])
        given[0] -= 1  # values around 0 lose less where their squares are subtracted
        np.subtract(a, t, out=given[1])
        np.multiply(given[:2], given[:2], out=given[2:])
        down = self._room(1, 4, high - less, planes * wide)
        for to, taken, w in self._blocks(high - less, less):
            np.matmul(w, given.reshape(4, high, -1)[:, taken], out=down[:, to])
        lines, found = down.reshape(-1, wide), self._room(2, down.size // wide, wide - less)
        for to, taken, w in self._blocks(wide - less, less):
            np.matmul(lines[:, taken], w.T, out=found[:, to])
        return self._compared(found.reshape(4, -1))

    def _compared(self, found: NDArray[Any]) -> float:
        """The sum over all windows of what is made of the four maps, which are written over."""
        means, varied, n = found[:2], found[2:], found.shape[1]
        squares, light = self._room(3, 3, n)[:2], self._room(3, 3, n)[2]
        varied -= np.multiply(means, means, out=squares)
        means[0] += 1
        both, off = np.multiply(means[0], means[0], out=squares[0]), squares[1]
        both += 2 * K1**2
        varied[0] += 2 * K2**2
        np.subtract(both, off, out=light)
        light *= np.subtract(varied[0], varied[1], out=means[0])
        both += off
        varied[0] += varied[1]
        both *= varied[0]
        light /= both
        return float(light.sum())

    def _room(self, number: int, *shape: int) -> NDArray[Any]:
        return self._rooms[number][: math.prod(shape)].reshape(shape)

    def _blocks(self, count: int, less: int) -> list[tuple[slice, slice, NDArray[Any]]]:
        """Where the next means are put, the values that they are of, and the weights of those."""
        parts = ((at, min(BLOCK, count - at)) for at in range(0, count, BLOCK))
        return [
            (slice(at, at + n), slice(at, at + n + less), self._weights[:n, : n + less])
            for at, n in parts
        ]


def _band(side: int) -> NDArray[np.float64]:
    """Gaussian weights of windows that follow each other, a row each [BLOCK, BLOCK + side - 1]."""
    places = np.arange(side) - side // 2
    weights = np.exp(-((places / SIGMA) ** 2) / 2)
    band = np.zeros((BLOCK, BLOCK + side - 1))
    for row in range(BLOCK):
        band[row, row : row + side] = weights / weights.sum()
    return band


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
