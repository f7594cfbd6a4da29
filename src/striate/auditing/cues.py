"""What labels are told from where they should not be: parts of pictures, their files, and pictures as a whole. N items, K classes.

A probe gives features of items as `Seen` holds them; `striate.auditing.probes` says how well labels can be told from these.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.text import percent

SIDE, GRID = 64, 8  # pixels at which pictures are looked at, and cells a side
HARDLY = 0.02  # steps of factors between lengths: what is less is the encoder's own

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Seen:
    """What probes see of some items: pixels at 64x64 and their files; and which classes they have [N, K]."""

    pixels: NDArray[np.uint8]
    given: Bools
    files: Sequence[bytes]
    names: Sequence[str]

    @cached_property
    def cells(self) -> F32:
        """The pixels of every cell of an 8x8 grid [64, N, values], a row of cells after the other, 0 to 1."""
        n, _, _, channels = self.pixels.shape
        step = SIDE // GRID
        laid = self.pixels.reshape(n, GRID, step, GRID, step, channels).transpose(1, 3, 0, 2, 4, 5)
        flat = laid.reshape(GRID * GRID, n, -1).astype(np.float32) / 255
        return np.concatenate([flat, flat.std(2, keepdims=True)], 2).astype(np.float32)


BORDER = [
    i * GRID + j
    for i in range(GRID)
    for j in range(GRID)
    if i in (0, GRID - 1) or j in (0, GRID - 1)
]


def _border_cells(seen: Seen) -> list[F32]:
    return [seen.cells[i] for i in BORDER]


def _border(seen: Seen) -> list[F32]:
    return [np.concatenate([_small(seen.cells[i]) for i in BORDER], 1)]


def _inner_cells(seen: Seen) -> list[F32]:
    return [seen.cells[i] for i in range(GRID * GRID) if i not in BORDER]


def _small(cell: F32) -> F32:
    """The mean of each channel and the spread of a cell [N, C + 1]."""
    values = cell[:, :-1].reshape(len(cell), (SIDE // GRID) ** 2, -1)
    return np.concatenate([values.mean(1), cell[:, -1:]], 1).astype(np.float32)


def _thumbnail(seen: Seen) -> list[F32]:
    return [np.concatenate([_small(cell) for cell in seen.cells], 1)]


def _random(seen: Seen) -> list[F32]:
    """One convolution with random kernels, rectified, averaged over a 4x4 grid."""
    generator = torch.Generator().manual_seed(0)
    x = torch.from_numpy(seen.pixels.astype(np.float32) / 255).permute(0, 3, 1, 2)
    kernels = torch.randn(48, x.shape[1], 5, 5, generator=generator)
    maps = torch.nn.functional.conv2d(x - x.mean((2, 3), keepdim=True), kernels, stride=2).relu()
    return [torch.nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1).numpy()]


def _colours(seen: Seen) -> list[F32]:
    from striate.auditing.checks.baselines import histograms

    return [np.sqrt(histograms(seen.pixels))]


def _patches(seen: Seen) -> list[F32]:
    """The cells in any order: the sorted means and spreads of all of them."""
    small = np.stack([_small(cell) for cell in seen.cells], 1)
    return [np.sort(small, axis=1).reshape(len(small), -1)]


def _sizes(seen: Seen) -> list[F32]:
    """Width, height and their ratio, as the files have them."""
    from PIL import Image

    rows: list[tuple[float, ...]] = []
    for data in seen.files:
        if not data:
            return []
        with Image.open(io.BytesIO(data)) as image:
            rows.append((image.width, image.height, image.width / image.height))
    return [_steps(np.array(rows, np.float32))]


def _steps(values: F32) -> F32:
    """Values with a column for each of the commonest ones beside them, so that a single size can be told."""
    parts = [values]
    for column in values.T:
        kinds, counts = np.unique(column, return_counts=True)
        common = kinds[np.argsort(-counts)[:8]]
        parts.append((column[:, None] == common).astype(np.float32))
    return np.concatenate(parts, 1)


def _coding(seen: Seen) -> list[F32]:
    """Format, JPEG tables and subsampling, EXIF and other blocks, of files that are no plain pixels."""
    from PIL import Image

    rows: list[list[str | float]] = []
    for data in seen.files:
        if not data:
            return []
        with Image.open(io.BytesIO(data)) as image:
            tables = getattr(image, "quantization", None) or {}
            rows.append(
                [
                    image.format or "",
                    image.mode,
                    float(np.mean([np.mean(t) for t in tables.values()])) if tables else 0.0,
                    str(image.info.get("dpi", "")),
                    str(len(image.getexif())),
                    str(image.info.get("progressive", "")),
                    ",".join(sorted(str(key) for key in image.info)),
                ]
            )
    words = [_steps(np.array([_code(column)]).T) for column in zip(*rows, strict=True)]
    return [np.concatenate(words, 1)]


def _code(column: Sequence[str | float]) -> F32:
    if isinstance(column[0], float):
        return np.array(column, np.float32)
    _, codes = np.unique(np.array(column), return_inverse=True)
    return codes.astype(np.float32)


def _excess(seen: Seen) -> list[F32]:
    """How much longer a file is than its pixels need, on a scale of factors: what the content explains is left out."""
    from PIL import Image

    rows: list[float] = []
    for data in seen.files:
        if not data:
            return []
        with Image.open(io.BytesIO(data)) as image:
            again = io.BytesIO()
            kind = image.format or "PNG"
            settings: dict[str, Any] = {"quality": "keep"} if kind == "JPEG" else {}
            try:
                image.save(again, kind, **settings)
            except (OSError, ValueError, KeyError):
                return []
        rows.append(float(np.log(len(data)) - np.log(max(1, again.tell()))))
    return [np.round(np.array(rows, np.float32)[:, None] / HARDLY) * np.float32(HARDLY)]


def _names(seen: Seen) -> list[F32]:
    """The length of names, the digits in them, and the numbers they end in."""
    rows: list[tuple[float, ...]] = []
    for name in seen.names:
        stem = name.rpartition("/")[2].rpartition(".")[0]
        digits = "".join(c for c in stem if c.isdigit())[-9:]
        rows.append((len(stem), len(digits), float(digits or -1)))
    return [_steps(np.array(rows, np.float32))]


@dataclass(frozen=True)
class Probe:
    """One way to tell labels.

    Attributes:
        name: in the evidence.
        words: in sentences.
        features: feature sets of the items, of which the best is taken; none where there is nothing to see.
        gate: whether it should tell nothing: much of what the net tells is then a failure, else a note.
        whole: whether it sees the picture as a whole, so that it is what others are held against.
        advice: where it tells much.
        region: of a feature set the part of the picture: top, left, bottom, right as shares.
    """

    name: str
    words: str
    features: Callable[[Seen], list[F32]]
    gate: bool = False
    whole: bool = False
    advice: str = ""
    region: Callable[[int], tuple[float, float, float, float]] | None = None

    def place(self, number: int) -> str:
        """Where a feature set lies, in words."""
        if self.region is None:
            return ""
        top, left, bottom, right = self.region(number)
        return (
            f"rows {percent(top)} to {percent(bottom)}, columns {percent(left)} to {percent(right)}"
        )


def _cell(cells: Sequence[int]) -> Callable[[int], tuple[float, float, float, float]]:
    def region(number: int) -> tuple[float, float, float, float]:
        row, column = divmod(cells[number], GRID)
        return row / GRID, column / GRID, (row + 1) / GRID, (column + 1) / GRID

    return region


INNER = [i for i in range(GRID * GRID) if i not in BORDER]
CROP = "look at this part of the items: crop it away or fill it, for training and use alike, and train anew"
AGAIN = "save all files anew in one way, or find out why classes differ: `striate train` reads pixels alone, but they carry traces of it"

PROBES = (
    Probe(
        "border cell",
        "one cell at the border",
        _border_cells,
        gate=True,
        advice=CROP,
        region=_cell(BORDER),
    ),
    Probe(
        "size",
        "width and height",
        _sizes,
        gate=True,
        advice="cut all items to one shape, or collect them anew",
    ),
    Probe("coding", "format, JPEG tables and EXIF", _coding, gate=True, advice=AGAIN),
    Probe(
        "excess",
        "the length of the file beyond what its pixels need",
        _excess,
        gate=True,
        advice=AGAIN,
    ),
    Probe("inner cell", "one cell inside", _inner_cells, region=_cell(INNER)),
    Probe("border", "the border alone", _border),
    Probe("patches", "the cells in any order", _patches),
    Probe("colours", "the histogram of colours", _colours),
    Probe("names", "the length and numbers of names", _names),
    Probe("thumbnail", "an 8x8 thumbnail", _thumbnail, whole=True),
    Probe("random", "random features", _random, whole=True),
)
