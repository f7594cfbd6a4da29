"""Whether labels can be told from what should not tell them: a corner, the border, the file and not the picture.

Huskies were told from wolves by the snow (Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938, section 6.4), pneumonia by
the hospital's mark in a corner (Zech et al. 2018, PLOS Medicine 15). Probes are trained on such parts alone; what they
tell is held against permuted labels, corrected for the number of probes, and against what the net tells.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing.check import Case, Check
from striate.auditing.finding import Finding
from striate.auditing.probes import PERMUTATIONS, Probed, holm, probe
from striate.auditing.rests import PASSES as MAPPED
from striate.auditing.rests import saliency_maps, shares_inside
from striate.data.sources import Encoded, Form
from striate.errors import DataError, StriateError
from striate.metrics import Interval
from striate.metrics.intervals import mean
from striate.text import listed, percent, plain

FEW = 199  # permutations for what is no gate
MOST = 400  # items that probes learn from and are judged on, out of fold
FEWEST = 30
EXPLAINED = 64  # items whose saliency is looked at
SIDE, GRID = 64, 8  # pixels at which pictures are looked at, and cells a side
CERTAIN = 0.01  # the chance of a false alarm of the whole check, at most
HARDLY = 0.02  # steps of factors between lengths: what is less is the encoder's own
MOSTLY = 0.8  # the share of what the net tells from which on a cue is a shortcut

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What probes see of some items: pixels at 64x64 and their files."""

    pixels: NDArray[np.uint8]
    labels: I64
    files: Sequence[bytes]
    names: Sequence[str]
    numbers: I64  # in the split

    @cached_property
    def cells(self) -> F32:
        """The pixels of every cell of an 8x8 grid [64, N, values], a row of cells after the other, 0 to 1."""
        n, _, _, channels = self.pixels.shape
        step = SIDE // GRID
        laid = self.pixels.reshape(n, GRID, step, GRID, step, channels).transpose(1, 3, 0, 2, 4, 5)
        flat = laid.reshape(GRID * GRID, n, -1).astype(np.float32) / 255
        return np.concatenate([flat, flat.std(2, keepdims=True)], 2).astype(np.float32)


def _lacks(case: Case) -> str:
    if not case.has_labels:
        return f"the items have {case.data.kind} targets, not one label each"
    if len(case.data.classes) < 2:
        return "there is one class only"
    if not case.data.pictures:
        return f"the items are {case.data.noun}, not pictures"
    count = max(len(split) for split in case.data.splits.values())
    if count < FEWEST:
        return f"the largest split has {count} items, fewer than {FEWEST}"
    return ""


def _find(case: Case) -> Iterator[Finding]:
    seen = _sampled(case)
    counts = np.bincount(seen.labels)
    if np.count_nonzero(counts >= 5) < 2:
        yield Finding.skipped(
            "shortcuts", "fewer than two classes have five items that can be read"
        )
        return
    told: list[tuple[_Probe, Probed]] = []
    unlooked: list[str] = []
    for each in PROBES:
        sets = each.features(seen)
        if not sets:
            unlooked.append(each.words)
        if sets and any(float(np.ptp(x)) > 0 for x in sets):
            rng = case.rng("shortcuts", each.name)
            count = PERMUTATIONS if each.gate else FEW
            told.append((each, probe(sets, seen.labels, rng, permutations=count)))
    reference = _reference(case, [found for each, found in told if each.whole])
    gates = [(each, found) for each, found in told if each.gate]
    others = [(each, found) for each, found in told if not each.gate]
    certain = [*holm([f.p for _, f in gates]), *holm([f.p for _, f in others])]
    for (each, found), p in zip([*gates, *others], certain, strict=True):
        if each.whole and each.name != "thumbnail":
            continue
        yield _finding(case, each, found, p, reference, seen)
    if unlooked:
        why = "some items are no files of their own, or none that can be written again"
        yield Finding.skipped("shortcuts", f"not looked at, since {why}: {listed(unlooked)}")


def _finding(
    case: Case, each: "_Probe", found: Probed, p: float, reference: tuple[float, str], seen: _Seen
) -> Finding:
    share = found.share(reference[0])
    alarm = each.gate and p <= CERTAIN and share.value >= MOSTLY
    where = each.place(found.place)
    what = f"{each.words}{f' ({where})' if where else ''}"
    text = (
        f"{what}: {percent(found.accuracy.value)} of the labels told (chance {percent(found.chance)}, p {p:.2g}), "
        f"{percent(share.value)} of what {reference[1]} tells above chance"
    )
    evidence: list[dict[str, Any]] = [
        {"probe": each.name, "where": where, "p": p, "chance": found.chance, "share": share.value}
    ]
    advice = ""
    if alarm:
        evidence += _items(case, found, seen)
        advice = each.advice
        places = found.strong()
        swapped = _swapped(case, each, places)
        if swapped is not None:
            text += f"; {swapped[1]}"
            evidence[0] |= {"follows": swapped[0].value}
        rests = _rests(case, each, places)
        if rests is not None:
            text += f"; {rests[2]}"
            evidence[0] |= {"mass": rests[0].value, "area": rests[1]}
    return Finding(
        "shortcuts",
        plain(text),
        found.accuracy,
        limit=found.chance + MOSTLY * (reference[0] - found.chance),
        crossed=alarm,
        evidence=evidence,
        advice=advice,
        unit="accuracy",
    )


def _items(case: Case, found: Probed, seen: _Seen) -> list[dict[str, Any]]:
    """A few items of each class that the probe told rightly."""
    rows: list[dict[str, Any]] = []
    for k in np.unique(seen.labels):
        right = np.flatnonzero((seen.labels == k) & (found.answers == k))[:3]
        label = case.data.classes[int(k)]
        rows += [{"file": seen.names[i], "label": label} for i in right.tolist()]
    return rows[:30]


def _sampled(case: Case) -> _Seen:
    """Items of the split that holds most, each class as it occurs, decoded small, with the bytes of their files."""
    split = max(case.data.splits.values(), key=len)
    order = case.rng("shortcuts").permutation(len(split))
    pixels: list[NDArray[np.uint8]] = []
    kept: list[int] = []
    files: list[bytes] = []
    form = Form((SIDE, SIDE), case.data.color, "stretch")
    for i in order.tolist():
        if len(kept) == MOST:
            break
        try:
            pixels.append(np.asarray(split.source.decode(i, form)).astype(np.uint8))
            files.append(split.source.data(i) if isinstance(split.source, Encoded) else b"")
        except DataError:
            del pixels[len(kept) :]
            continue
        kept.append(i)
    numbers = np.array(kept, np.int64)
    return _Seen(
        np.stack(pixels), split.labels[numbers], files, [split.names[i] for i in kept], numbers
    )


def _reference(case: Case, whole: Sequence[Probed]) -> tuple[float, str]:
    """The accuracy that shares are of: the net's on items that are judged, or the best of probes of whole pictures."""
    best = max(whole, key=lambda each: each.accuracy.value)
    if case.run is None:
        return best.accuracy.value, "a linear probe of the whole picture"
    index = case.sample(MOST, "shortcuts")
    labels = case.labels()[index]
    right = case.right(case.arrays.inputs[index], labels)
    shares = [right[labels == k].mean() for k in np.unique(labels)]
    return float(np.mean(shares)), "the net"


def _swapped(case: Case, each: "_Probe", places: Sequence[int]) -> tuple[Interval, str] | None:
    """How often the net's answer becomes the class of another item whose region is put in: a counterfactual swap."""
    if case.run is None or each.region is None or not case.data.pictures or case.varied():
        return None
    from striate.metrics.classify import wilson

    index = case.sample(200, "swap")
    stored, labels = np.array(case.arrays.inputs[index]), case.labels()[index]
    rng = case.rng("swap")
    donors = np.array([_other(labels, k, rng) for k in labels])
    if (donors < 0).any():
        return None
    before = case.outputs(stored).argmax(1).numpy()
    changed = stored.copy()
    for place in places:
        rows, columns = _pixels(each.region(place), stored.shape[1:3])
        changed[:, rows, columns] = stored[donors][:, rows, columns]
    after = case.outputs(changed).argmax(1).numpy()
    follows = (after == labels[donors]) & (before != labels[donors])
    value = wilson(int(follows.sum()), len(follows))
    return value, (
        f"with this part of an item of another class the net answers that class in {percent(value.value)} of "
        f"{len(follows)} items"
    )


def _rests(case: Case, each: "_Probe", places: Sequence[int]) -> tuple[Interval, float, str] | None:
    """How much of the net's saliency lies in a region: its mean share over items, and the region's share of the picture."""
    if case.run is None or each.region is None or not case.data.pictures or case.varied():
        return None
    index = case.sample(case.affordable(MAPPED, 0.05, EXPLAINED), "saliency")
    size = case.arrays.inputs.shape[1:3]
    inside = np.zeros(size, np.bool_)
    for place in places:
        inside[_pixels(each.region(place), size)] = True
    # As the net sees it: the middle of what is stored.
    plane = torch.from_numpy(inside[None, :, :, None].astype(np.float32))
    seen = case.used.preprocessing.centre(plane)[0, :, :, 0].numpy() > 0
    try:
        shares = [
            shares_inside(saliency_maps(case, stored), seen) for _, stored in case.batches(index)
        ]
    except StriateError as error:
        case.say(f"shortcuts: without saliency, {error}")
        return None
    found, area = mean(np.concatenate(shares)), float(seen.mean())
    return (
        found,
        area,
        (
            f"{percent(found.value)} of its saliency lies there (gradient times input, {len(index)} items), "
            f"on {percent(area)} of the picture"
        ),
    )


def _pixels(
    region: tuple[float, float, float, float], size: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of a region of shares, at least one of each."""
    (top, left, bottom, right), (height, width) = region, size
    first, start = int(top * height), int(left * width)
    return (
        slice(first, max(round(bottom * height), first + 1)),
        slice(start, max(round(right * width), start + 1)),
    )


def _other(labels: I64, k: int, rng: np.random.Generator) -> int:
    index = np.flatnonzero(labels != k)
    return int(rng.choice(index)) if len(index) else -1


# ------------------------------------------------------------------------------------ what probes see

BORDER = [
    i * GRID + j
    for i in range(GRID)
    for j in range(GRID)
    if i in (0, GRID - 1) or j in (0, GRID - 1)
]


def _border_cells(seen: _Seen) -> list[F32]:
    return [seen.cells[i] for i in BORDER]


def _border(seen: _Seen) -> list[F32]:
    return [np.concatenate([_small(seen.cells[i]) for i in BORDER], 1)]


def _inner_cells(seen: _Seen) -> list[F32]:
    return [seen.cells[i] for i in range(GRID * GRID) if i not in BORDER]


def _small(cell: F32) -> F32:
    """The mean of each channel and the spread of a cell [N, C + 1]."""
    values = cell[:, :-1].reshape(len(cell), (SIDE // GRID) ** 2, -1)
    return np.concatenate([values.mean(1), cell[:, -1:]], 1).astype(np.float32)


def _thumbnail(seen: _Seen) -> list[F32]:
    return [np.concatenate([_small(cell) for cell in seen.cells], 1)]


def _random(seen: _Seen) -> list[F32]:
    """One convolution with random kernels, rectified, averaged over a 4x4 grid."""
    generator = torch.Generator().manual_seed(0)
    x = torch.from_numpy(seen.pixels.astype(np.float32) / 255).permute(0, 3, 1, 2)
    kernels = torch.randn(48, x.shape[1], 5, 5, generator=generator)
    maps = torch.nn.functional.conv2d(x - x.mean((2, 3), keepdim=True), kernels, stride=2).relu()
    return [torch.nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1).numpy()]


def _colours(seen: _Seen) -> list[F32]:
    from striate.auditing.checks.baselines import histograms

    return [np.sqrt(histograms(seen.pixels))]


def _patches(seen: _Seen) -> list[F32]:
    """The cells in any order: the sorted means and spreads of all of them."""
    small = np.stack([_small(cell) for cell in seen.cells], 1)
    return [np.sort(small, axis=1).reshape(len(small), -1)]


def _sizes(seen: _Seen) -> list[F32]:
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


def _coding(seen: _Seen) -> list[F32]:
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


def _excess(seen: _Seen) -> list[F32]:
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


def _names(seen: _Seen) -> list[F32]:
    """The length of names, the digits in them, and the numbers they end in."""
    rows: list[tuple[float, ...]] = []
    for name in seen.names:
        stem = name.rpartition("/")[2].rpartition(".")[0]
        digits = "".join(c for c in stem if c.isdigit())[-9:]
        rows.append((len(stem), len(digits), float(digits or -1)))
    return [_steps(np.array(rows, np.float32))]


@dataclass(frozen=True)
class _Probe:
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
    features: Callable[[_Seen], list[F32]]
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
    _Probe(
        "border cell",
        "one cell at the border",
        _border_cells,
        gate=True,
        advice=CROP,
        region=_cell(BORDER),
    ),
    _Probe(
        "size",
        "width and height",
        _sizes,
        gate=True,
        advice="cut all items to one shape, or collect them anew",
    ),
    _Probe("coding", "format, JPEG tables and EXIF", _coding, gate=True, advice=AGAIN),
    _Probe(
        "excess",
        "the length of the file beyond what its pixels need",
        _excess,
        gate=True,
        advice=AGAIN,
    ),
    _Probe("inner cell", "one cell inside", _inner_cells, region=_cell(INNER)),
    _Probe("border", "the border alone", _border),
    _Probe("patches", "the cells in any order", _patches),
    _Probe("colours", "the histogram of colours", _colours),
    _Probe("names", "the length and numbers of names", _names),
    _Probe("thumbnail", "an 8x8 thumbnail", _thumbnail, whole=True),
    _Probe("random", "random features", _random, whole=True),
)

CHECK = Check(
    "shortcuts",
    "Can labels be told from what should not tell them?",
    _find,
    gate=True,
    lacks=_lacks,
    seconds=lambda case: 4.0 + 0.03 * min(MOST, len(case.data)),
    needs_run=False,
)
