"""Whether answers stay the same where what the picture shows does: moved, mirrored, turned, enlarged, lighter, greyer.

A convolution moves with its input (equivariance), a stride of s keeps that for shifts by multiples of s alone (Azulay and
Weiss 2019, JMLR 20; Zhang 2019, arXiv 1904.11486). No layer is equivariant to turning or to scale. Of several labels an
item those are compared that are said before or after: a label that is said of few items would else seem to stay.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.auditing.antialias import blurred
from striate.auditing.check import (
    FEWEST,
    Case,
    Check,
    agreement,
    changed,
    pictures_with_labels,
    seconds_of,
    sets_of,
)
from striate.auditing.finding import Finding
from striate.metrics import Interval
from striate.metrics.classify import wilson
from striate.metrics.compare import paired
from striate.probe import as_eval, watch
from striate.text import counted, percent, plain

Bools = NDArray[np.bool_]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MOST = 300
BLURRED = 150  # pictures that are shifted before and after a swap of strides
MAPPED = 16  # pictures whose maps are held against each other
SHIFTS = (1, 2, 4, 8)  # pixels
USUAL = 0.95  # agreement below which, for certain, a small change counts as a weakness
SMALL = frozenset(["shift by 1", "shift by 2", "light by 10 %", "contrast by 10 %"])


@dataclass(frozen=True)
class Change:
    """A change of pictures [N, C, H, W] of 0 to 255 that leaves what they show."""

    name: str
    of: Callable[[Tensor], Tensor]


def _moved(pixels: int) -> Callable[[Tensor], Tensor]:
    """To the right and down; the border is continued."""

    def change(x: Tensor) -> Tensor:
        padded = F.pad(x, (pixels, 0, pixels, 0), mode="replicate")
        return padded[:, :, : x.shape[2], : x.shape[3]]

    return change


def _warped(matrix: Sequence[Sequence[float]]) -> Callable[[Tensor], Tensor]:
    """By an affine map of coordinates -1 to 1; a third row makes it a perspective."""

    def change(x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        ys, xs = torch.meshgrid(
            (torch.arange(height) * 2 + 1) / height - 1,
            (torch.arange(width) * 2 + 1) / width - 1,
            indexing="ij",
        )
        points = torch.stack([xs, ys, torch.ones_like(xs)], -1) @ torch.tensor(matrix).T
        grid = points[..., :2] / (points[..., 2:] if points.shape[-1] == 3 else 1.0)
        batch = grid[None].expand(len(x), -1, -1, -1)
        return F.grid_sample(x, batch, padding_mode="border", align_corners=False)

    return change


def _turned(degrees: float) -> Callable[[Tensor], Tensor]:
    angle = np.radians(degrees)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return _warped([[c, -s, 0.0], [s, c, 0.0]])


def _contrasted(factor: float) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        middle = x.mean((1, 2, 3), keepdim=True)
        return (middle + (x - middle) * factor).clamp(0, 255)

    return change


CHANGES = (
    *(Change(f"shift by {k}", _moved(k)) for k in SHIFTS),
    Change("mirrored", lambda x: x.flip(3)),
    Change("upside down", lambda x: x.flip(2)),
    Change("turned by 5 degrees", _turned(5)),
    Change("turned by 15 degrees", _turned(15)),
    Change("turned by 90 degrees", lambda x: torch.rot90(x, 1, (2, 3))),
    Change("enlarged by 10 %", _warped([[1 / 1.1, 0.0, 0.0], [0.0, 1 / 1.1, 0.0]])),
    Change("shrunk by 10 %", _warped([[1.1, 0.0, 0.0], [0.0, 1.1, 0.0]])),
    Change("sheared by 10 %", _warped([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0]])),
    Change("in perspective", _warped([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 1.0]])),
    Change("light by 10 %", lambda x: (x * 1.1).clamp(0, 255)),
    Change("light by 30 %", lambda x: (x * 1.3).clamp(0, 255)),
    Change("contrast by 10 %", _contrasted(0.9)),
    Change("contrast by 30 %", _contrasted(0.7)),
)


PASSES = len(CHANGES) + 10  # with those of the swap of strides, of half as many pictures


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(PASSES, 0.15, MOST), "equivariance")
    stored, given = np.array(case.arrays.inputs[index]), case.given()[index]
    yield _of_changes(case, index, stored, given)
    mapped = min(MAPPED, case.used.batch_size(case.arrays.inputs))
    kinds = sets_of(given)
    yield from _layers(case, stored[case.of_all_classes(kinds, mapped, "maps")])
    some = case.of_all_classes(kinds, BLURRED, "blurred")
    yield from _blurred(case, stored[some], given[some])


def _of_changes(case: Case, index: I64, stored: NDArray[Any], given: Bools) -> Finding:
    """How many answers stay the same under each change, and the worst of the small ones."""
    before = case.said(case.outputs(stored))
    if not before.any():
        return Finding.skipped(
            "equivariance", f"no label is said of any of {len(index)} items, so that none could change"
        )  # fmt: skip
    found = [
        _Changed(each.name, before, case.said(case.outputs(changed(stored, each.of))))
        for each in CHANGES
        if each.name != "turned by 90 degrees" or stored.shape[1] == stored.shape[2]
    ]
    rows = [each.row(given, several=case.several) for each in found]
    rows.sort(key=lambda row: float(str(row["agreement"])))
    worst = min((each for each in found if each.name in SMALL), key=lambda each: each.share.value)
    weak = worst.share.high < USUAL
    said = (
        f"{percent(worst.share.value)} of the labels that are said of {len(index)} items stay the same"
        if case.several
        else f"{percent(worst.share.value)} of {len(index)} answers stay the same"
    )
    by_label = worst.by_label(case.data.classes) if case.several else []
    return Finding(
        "equivariance",
        plain(
            f"{said} after the worst small change, {worst.name}"
            + (" pixel" if worst.name == "shift by 1" else "")
            + _least_label(by_label)
        ),
        worst.share,
        limit=USUAL,
        crossed=weak,
        evidence=[*rows, *by_label, *case.files(index[worst.each < 1][:10])],
        advice="train with augment=translate+brightness, or with a net whose strides follow a blur"
        if weak
        else "",
        unit="share",
    )


@dataclass(frozen=True, eq=False)
class _Changed:
    """What is said of items [n, K] before and after a change."""

    name: str
    before: Bools
    after: Bools

    @cached_property
    def each(self) -> F64:
        """The part of what is said of an item that stays [n]; nan where nothing is said."""
        return agreement(self.before, self.after)

    @cached_property
    def share(self) -> Interval:
        """The mean over items."""
        return wilson(float(np.nansum(self.each)), int((~np.isnan(self.each)).sum()))

    def row(self, given: Bools, *, several: bool) -> dict[str, object]:
        """For the evidence: how much stays, and how much is right after the change."""
        same = self.after == given
        right = {"label_accuracy": same} if several else {"accuracy": same.all(1)}
        return {
            "change": self.name,
            "agreement": self.share.value,
            "low": self.share.low,
            "high": self.share.high,
            **{key: float(each.mean()) for key, each in right.items()},
        }

    def by_label(self, classes: Sequence[str]) -> list[dict[str, object]]:
        """For each label the items of which it is said before or after, and the share of which it is said both times."""
        either, both = (self.before | self.after).sum(0), (self.before & self.after).sum(0)
        rows: list[dict[str, object]] = []
        for name, n, kept in zip(classes, either.tolist(), both.tolist(), strict=True):
            if n:
                found = wilson(kept, n)
                row = {"agreement": found.value, "low": found.low, "high": found.high}
                rows.append({"label": name, "said": n, **row})
        return sorted(rows, key=lambda row: float(str(row["agreement"])))


def _least_label(rows: Sequence[dict[str, object]]) -> str:
    """Which label stays least among those that are said often enough."""
    for row in rows:
        if int(str(row["said"])) >= FEWEST and float(str(row["agreement"])) < 1:
            return f"; {row['label']} least, {percent(float(str(row['agreement'])))}"
    return ""


def _blurred(case: Case, stored: NDArray[Any], given: Bools) -> Iterator[Finding]:
    """Shifts of 1 to 8 pixels before and after an anti-alias swap of strides, without training after it."""
    net, paths = blurred(case.used.net)
    if not paths:
        return
    nets = {"before": case.used, "after": replace(case.used, net=net)}
    said = {key: case.said(case.outputs(stored, used)) for key, used in nets.items()}
    if not all(each.any() for each in said.values()):
        return  # no label is said that could stay
    agree: dict[str, list[F64]] = {key: [] for key in nets}
    rows: list[dict[str, object]] = []
    for pixels in range(1, 9):
        moved = changed(stored, _moved(pixels))
        row: dict[str, object] = {"shift": pixels}
        for key, used in nets.items():
            same = agreement(said[key], case.said(case.outputs(moved, used)))
            agree[key].append(same)
            row[key] = _mean(same)
        rows.append(row)
    before, after = (_means(agree[key]) for key in ("before", "after"))
    gain = paired(before, after, score="accuracy")
    right = {key: _right(each, given, several=case.several) for key, each in said.items()}
    of, what = ("of the labels of", "of the labels said") if case.several else ("of", "of answers")
    yield Finding(
        "equivariance",
        f"with a blur before {counted(len(paths), 'stride')}, and no training after that, {percent(_mean(after))} {what} "
        f"stay under shifts of 1 to 8 pixels, {percent(_mean(before))} before; {of} {len(given)} pictures "
        f"{percent(right['after'])} are right, {percent(right['before'])} before: agreement alone is no gain where that falls",
        Interval(gain.value, gain.low, gain.high),
        evidence=rows,
        unit="share",
    )


def _right(said: Bools, given: Bools, *, several: bool) -> float:
    """The share of items whose class is said, or of all labels of all items that are right."""
    return float(((said == given) if several else (said == given).all(1)).mean())


def _mean(values: F64) -> float:
    """Of those that are numbers."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def _means(rows: Sequence[F64]) -> F64:
    """The mean of each item's over some changes, of those that are numbers; nan where none is."""
    held = np.stack(rows)
    there = ~np.isnan(held)
    count = there.sum(0)
    total = np.where(there, held, 0.0).sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _layers(case: Case, stored: NDArray[np.generic]) -> Iterator[Finding]:
    """How much each stage's maps move with the input: the part of a map's variance that is left when both are moved."""
    net, pre, plan = case.used.net, case.used.preprocessing, case.used.plan
    paths = [path for path, _ in net.named_modules() if path]
    seen: list[dict[str, Tensor]] = []
    for each in (stored, changed(stored, CHANGES[3].of)):  # by 8 pixels
        x = plan.batch(pre.normalise(pre.centre(torch.from_numpy(np.array(each)))).to(plan.device))
        with as_eval(net), plan.uncompiled(), torch.inference_mode(), watch(net, paths) as record:
            net(x)
        last = {p: record.activations[p][-1] for p in paths if record.activations[p]}
        seen.append({p: value.float().cpu() for p, value in last.items() if value.ndim == 4})
    size = x.shape[2:]
    rows: list[dict[str, object]] = []
    for path in seen[0]:
        before, after = seen[0][path], seen[1][path]
        step = 8 * before.shape[2] / size[0], 8 * before.shape[3] / size[1]
        if min(before.shape[2:]) < 6 or any(abs(s - round(s)) > 1e-6 or s < 1 for s in step):
            continue
        down, right = (round(s) for s in step)
        edge = max(2, min(before.shape[2:]) // 6)
        top, left = edge + down, edge + right
        height, width = before.shape[2] - edge - top, before.shape[3] - edge - left
        if min(height, width) < 1:
            continue
        inner = before[:, :, edge : edge + height, edge : edge + width]
        moved = after[:, :, top : top + height, left : left + width]
        spread = float(inner.var())
        if spread > 0:
            rows.append(
                {"layer": path, "left": float((moved - inner).square().mean()) / spread / 2}
            )
    if rows:
        worst = max(rows, key=lambda row: float(str(row["left"])))
        yield Finding(
            "equivariance",
            plain(
                f"maps move with an input that moves by 8 pixels: of {len(rows)} layers {worst['layer']} least, "
                f"{percent(float(str(worst['left'])))} of its variance is left over"
            ),
            evidence=rows,
            unit="share",
        )


CHECK = Check(
    "equivariance",
    "Do answers stay the same where what the picture shows does?",
    _find,
    lacks=pictures_with_labels,
    seconds=lambda case: seconds_of(case, PASSES, 0.15, MOST),
)
