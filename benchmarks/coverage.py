"""How often the 95 % intervals of scores hold the value they are of.

    python benchmarks/coverage.py [classify labels segment detect regress] [--repeats 400]

Each cell is a kind of data; many sets are drawn from it, each is scored, and it is counted how often the interval
holds the true value, which is that of a very large set. Printed are the share of sets whose interval holds it and,
in brackets, the median width; below, for each number of items, mean and least over the cells. A score that has
no interval in more than half of the sets (a class in fewer than five items) is left out of its cell.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.metrics import Interval, multilabel, score
from striate.metrics.average_precision import ranked
from striate.metrics.classify import CALIBRATION_BINS, auroc, confusion_matrix
from striate.metrics.detect import IOUS, DetectMeter
from striate.metrics.multilabel import Answers as Labelled
from striate.metrics.regress import RegressMeter
from striate.metrics.segment import SegmentMeter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Found = Mapping[str, Interval]
MANY = 200_000  # items that true values are of


@dataclass(frozen=True)
class Cell:
    """Sets of one kind.

    Attributes:
        items: in a set.
        name: what kind, for the table.
        true: the values that intervals should hold.
        scored: draws a set and scores it.
    """

    items: int
    name: str
    true: Callable[[], Mapping[str, float]]
    scored: Callable[[np.random.Generator], Found]


# ------------------------------------------------------------------------------------- classification


@dataclass(frozen=True)
class Answers:
    """Answers of a net to items of K classes.

    Attributes:
        classes: K.
        skill: how far the classes lie apart; the probabilities of these logits are the truth's.
        sharpness: by which the net multiplies its logits: 1 is calibrated, more is too sure.
        apiece: items a group; those of a group are of like difficulty and of few classes. 1 is no groups.
        rare: how much rarer the last class is than the first, in logits.
    """

    classes: int
    skill: float
    sharpness: float = 1.0
    apiece: int = 1
    rare: float = 0.0

    def drawn(self, rng: np.random.Generator, items: int) -> tuple[Floats, Ints, Ints | None]:
        """Probabilities [N, K], class numbers [N] and group numbers [N]."""
        logits = self.skill * rng.normal(size=(items, self.classes))
        groups = None
        if self.apiece > 1:
            groups = np.arange(items) // self.apiece
            count = int(groups[-1]) + 1
            ease = np.exp(0.5 * rng.normal(size=(count, 1)))
            logits = logits * ease[groups] + rng.normal(size=(count, self.classes))[groups]
        logits -= self.rare * np.arange(self.classes) / max(self.classes - 1, 1)
        truth = (softmax(logits).cumsum(1) < rng.random((items, 1))).sum(1)
        return softmax(self.sharpness * logits), truth.clip(max=self.classes - 1), groups

    def scored(self, rng: np.random.Generator, items: int) -> Found:
        probs, truth, groups = self.drawn(rng, items)
        return score(
            probs, truth, classes=[str(k) for k in range(self.classes)], groups=groups
        ).scores

    def true(self) -> dict[str, float]:
        """Of a very large set, without the bias of calibration errors: none where the net is calibrated."""
        rng = np.random.default_rng(1)
        parts = max(4, self.classes // 5)
        confusion = np.zeros((self.classes, self.classes))
        gaps, sums = np.zeros(CALIBRATION_BINS), defaultdict[str, float](float)
        for _ in range(parts):
            probs, truth, _ = self.drawn(rng, MANY // parts // 12 * 12)
            answer, best = probs.argmax(1), probs.max(1)
            right = answer == truth
            confusion += confusion_matrix(truth, answer, self.classes)
            bins = np.minimum((best * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
            gaps += np.bincount(bins, right - best, minlength=CALIBRATION_BINS) / len(truth)
            losses = -np.log(probs[np.arange(len(truth)), truth].clip(1e-12))
            top5 = (np.argsort(-probs, axis=1)[:, :5] == truth[:, None]).any(1)
            area = auroc(probs, truth)
            for name, value in (
                ("accuracy", right.mean()),
                ("top5", top5.mean()),
                ("loss", losses.mean()),
            ):
                sums[name] += float(value)
            sums["auroc"] += area.value if area else np.nan
            if self.classes == 2:
                sums["average_precision"] += ranked(probs[:, 1], truth == 1).value
        hit, support, given = np.diag(confusion), confusion.sum(1), confusion.sum(0)
        return {
            **{name: value / parts for name, value in sums.items()},
            "balanced_accuracy": float((hit / support).mean()),
            "sensitivity": float(hit[-1] / support[-1]),
            "specificity": float(hit[0] / support[0]),
            "f1": float((2 * hit / (support + given)).mean()),
            "ece": 0.0 if self.sharpness == 1 else float(np.abs(gaps).sum() / parts),
        }  # fmt: skip


def softmax(logits: Floats) -> Floats:
    """Rows that sum to one."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def classify() -> Iterator[Cell]:
    """20 to 1,000 items, 2 to 100 classes, from poor to nearly perfect, calibrated or not, grouped or not, a rare class."""
    for kind in (
        Answers(classes, skill, sharpness, apiece, rare)
        for classes in (2, 10, 100)
        for skill in (1.0, 3.0, 8.0, 20.0)
        for sharpness, apiece, rare in (
            (1, 1, 0),
            (2.5, 1, 0),
            (0.6, 1, 0),
            (1, 12, 0),
            (2.5, 12, 0),
            (1, 1, 2),
        )
    ):
        true = once(kind.true)
        for items in (20, 100, 1000):
            sized = Answers(**{**kind.__dict__, "apiece": min(kind.apiece, max(items // 10, 1))})
            name = f"{sized.classes} classes, skill {sized.skill:g}, x{sized.sharpness:g}, {sized.apiece} a group, rare {sized.rare:g}"
            yield Cell(items, name, true, lambda rng, k=sized, n=items: k.scored(rng, n))


# -------------------------------------------------------------------------------------- several labels


@dataclass(frozen=True)
class Labels:
    """Several labels an item, which go together, and a net that tells them apart more or less.

    Attributes:
        classes: K, the later ones more frequent.
        skill: how far the logits of items with and without a label lie apart.
        least: the share of items that have the rarest one.
    """

    classes: int
    skill: float
    least: float = 0.2

    def drawn(self, rng: np.random.Generator, items: int) -> Labelled:
        """Probabilities, labels that are there, and those that are said."""
        together = rng.normal(size=(items, 1)) + rng.normal(size=(items, self.classes))
        limit = np.sqrt(2) * np.array(
            [NormalDist().inv_cdf(1 - p) for p in np.linspace(self.least, 0.6, self.classes)]
        )
        truth = together > limit
        logits = rng.normal(size=truth.shape) + self.skill * (truth - 0.5)
        probs = 1 / (1 + np.exp(-logits))
        return Labelled(probs, truth, probs >= 0.5)

    def scored(self, rng: np.random.Generator, items: int) -> Found:
        names = [str(k) for k in range(self.classes)]
        return multilabel.scores(self.drawn(rng, items), names)[0]

    def true(self) -> dict[str, float]:
        found = self.scored(np.random.default_rng(1), MANY)
        return {name: one.value for name, one in found.items()}


def labels() -> Iterator[Cell]:
    """50 to 1,000 items, 2 to 20 labels, from poor to nearly perfect, rare and frequent ones."""
    for kind in (
        Labels(classes, skill, least)
        for classes in (2, 5, 20)
        for skill in (1.0, 3.0, 6.0)
        for least in (0.2, 0.4)
    ):
        true = once(kind.true)
        for items in (50, 100, 1000):
            name = f"{kind.classes} labels, skill {kind.skill:g}, from {kind.least:g} on"
            yield Cell(items, name, true, lambda rng, k=kind, n=items: k.scored(rng, n))


# --------------------------------------------------------------------------------------- segmentation


@dataclass(frozen=True)
class Masks:
    """Pixel counts of pictures of uneven difficulty and of classes of uneven size.

    Attributes:
        classes: K, the later ones easier.
        presence: the share of pictures that have a class.
        skill: logit of the share of a class's pixels that is found, on average.
        spread: of difficulty between pictures and classes.
    """

    classes: int
    presence: float
    skill: float = 1.0
    spread: float = 1.0

    def drawn(self, rng: np.random.Generator, items: int) -> Ints:
        """True positives, false positives and false negatives, [N, K, 3]."""
        ease = self.skill + np.linspace(-1, 1, self.classes)
        noise = rng.normal(size=(items, 1)) + rng.normal(size=(items, self.classes))
        found = 1 / (1 + np.exp(-ease - self.spread * noise))
        there = rng.random((items, self.classes)) < self.presence
        size = there * np.exp(8 + rng.normal(size=there.shape))
        true = (size * found).astype(np.int64)
        missed = ((size - true) * 0.4).astype(np.int64)
        return np.stack([true, size.astype(np.int64) - true - missed, missed], 2)

    def meter(self, rng: np.random.Generator, items: int) -> SegmentMeter:
        names = [str(k) for k in range(self.classes)]
        meter = SegmentMeter(names)
        meter.merge({"counts": self.drawn(rng, items)})
        return meter

    def true(self) -> dict[str, float]:
        return self.meter(np.random.default_rng(1), MANY // 4).values()


def segment() -> Iterator[Cell]:
    """20 to 1,000 pictures, 2 to 20 classes that all or few pictures have, poor to good, even and uneven."""
    for kind in (
        Masks(classes, presence, skill, spread)
        for classes, presence in ((2, 1.0), (11, 0.5), (20, 0.2))
        for skill in (0.0, 1.5, 3.5)
        for spread in (0.3, 1.0)
    ):
        true = once(kind.true)
        for items in (20, 100, 1000):
            name = f"{kind.classes} classes in {kind.presence:.0%}, skill {kind.skill:g}, spread {kind.spread:g}"
            yield Cell(items, name, true, lambda rng, k=kind, n=items: k.meter(rng, n).scores())


# ------------------------------------------------------------------------------------------ detection


@dataclass(frozen=True)
class Boxes:
    """Detections in pictures of uneven difficulty: sure and unsure, well and badly placed, and false ones.

    Attributes:
        classes: K.
        rate: boxes of a class in a picture, on average.
        skill: logit of how well boxes are found.
    """

    classes: int
    rate: float
    skill: float

    def drawn(self, rng: np.random.Generator, items: int) -> dict[str, NDArray[Any]]:
        """Rows as `DetectMeter.state` has them."""
        ease = rng.normal(size=(items, 1))
        truths = rng.poisson(self.rate, (items, self.classes))
        false = rng.poisson(self.rate * np.exp(-ease), (items, self.classes))
        (item, label), count = np.nonzero(truths), truths[truths > 0]
        at, kind = np.repeat(item, count), np.repeat(label, count)
        quality = self.skill + ease[at, 0] + rng.normal(size=len(at))
        found = rng.random(len(at)) < 1 / (1 + np.exp(-quality - 1))
        iou = 0.4 + 0.5 / (1 + np.exp(-quality - rng.normal(size=len(at))))
        bits = ((iou[:, None] >= IOUS) << np.arange(len(IOUS))).sum(1)[found]
        wrong = [np.repeat(places, false[false > 0]) for places in np.nonzero(false)]
        sure = (quality + rng.normal(size=len(at)))[found]
        rows = {
            "boxes": truths.sum(1),
            "item": np.concatenate([at[found], wrong[0]]),
            "label": np.concatenate([kind[found], wrong[1]]),
            "score": np.concatenate([sure, rng.normal(-1, 1, len(wrong[0]))]),
            "matched": np.concatenate([bits, 0 * wrong[0]]),
            "truth_item": item,
            "truth_label": label,
            "truth_count": count,
            "confusion": np.zeros((self.classes + 1, self.classes + 1), np.int64),
        }
        none = 0 * rows["matched"]
        return {**rows, "ignored": none, "sure": none}

    def meter(self, rng: np.random.Generator, items: int) -> DetectMeter:
        meter = DetectMeter([str(k) for k in range(self.classes)])
        meter.merge(self.drawn(rng, items))
        return meter

    def true(self) -> dict[str, float]:
        return self.meter(np.random.default_rng(1), MANY // 8).values()


def detect() -> Iterator[Cell]:
    """20 to 1,000 pictures, 1 to 20 classes, down to six boxes a class."""
    for kind in (
        Boxes(classes, rate, skill)
        for classes, rate in ((1, 3.0), (3, 1.0), (20, 0.3))
        for skill in (0.0, 1.0, 3.0)
    ):
        true = once(kind.true)
        for items in (20, 100, 1000):
            name = f"{kind.classes} classes, {kind.rate:g} boxes each, skill {kind.skill:g}"
            yield Cell(items, name, true, lambda rng, k=kind, n=items: k.meter(rng, n).scores())


# ----------------------------------------------------------------------------------------- regression


@dataclass(frozen=True)
class Values:
    """Numbers with errors of one kind: normal, laplace, or outliers (one in ten three times as wide)."""

    tail: str

    def drawn(self, rng: np.random.Generator, items: int) -> dict[str, Floats]:
        """Rows as `RegressMeter.state` has them."""
        sides = (items, 1)
        noise = rng.laplace(size=sides) if self.tail == "laplace" else rng.normal(size=sides)
        wide = 1 + 2 * (self.tail == "outliers") * (rng.random(sides) < 0.1)
        targets = rng.normal(10, 2, sides)
        return {"answers": targets + wide * noise, "targets": targets}

    def meter(self, rng: np.random.Generator, items: int) -> RegressMeter:
        meter = RegressMeter(["value"])
        meter.merge(self.drawn(rng, items))
        return meter

    def true(self) -> dict[str, float]:
        return self.meter(np.random.default_rng(1), 2 * MANY).values()


def regress() -> Iterator[Cell]:
    """20 to 1,000 numbers."""
    for kind in map(Values, ("normal", "laplace", "outliers")):
        true = once(kind.true)
        for items in (20, 100, 1000):
            yield Cell(
                items, kind.tail, true, lambda rng, k=kind, n=items: k.meter(rng, n).scores()
            )


# ------------------------------------------------------------------------------------------- counting

TASKS = {
    "classify": classify,
    "labels": labels,
    "segment": segment,
    "detect": detect,
    "regress": regress,
}


def once(make: Callable[[], Mapping[str, float]]) -> Callable[[], Mapping[str, float]]:
    """Called when it is first needed, and then remembered."""
    known: list[Mapping[str, float]] = []

    def value() -> Mapping[str, float]:
        if not known:
            known.append(make())
        return known[0]

    return value


def covered(cell: Cell, repeats: int) -> dict[str, tuple[float, float]]:
    """Of each score the share of sets whose interval holds the true value, and the median width."""
    rng = np.random.default_rng(0)
    true = cell.true()
    ends = defaultdict[str, list[Interval]](list)
    for _ in range(repeats):
        for name, found in cell.scored(rng).items():
            if found.known:
                ends[name].append(found)
    return {
        name: (
            float(np.mean([e.low <= true[name] <= e.high for e in each])),
            float(np.median([e.high - e.low for e in each])),
        )
        for name, each in ends.items()
        if 2 * len(each) > repeats
    }


def main(tasks: Iterable[str], repeats: int) -> None:
    """Print a line a cell, and what became of all."""
    for task in tasks:
        total = defaultdict[tuple[int, str], list[float]](list)
        for cell in TASKS[task]():
            found = covered(cell, repeats if cell.items < 1000 else repeats // 2)
            line = "  ".join(
                f"{name} {share:.3f} ({width:.3g})" for name, (share, width) in found.items()
            )
            print(f"{task}, {cell.items} items, {cell.name}: {line}", flush=True)
            for name, (share, _) in found.items():
                total[cell.items, name].append(share)
        for (items, name), shares in sorted(total.items()):
            print(
                f"{task}, {items} items, {name}: mean {np.mean(shares):.3f}, least {min(shares):.3f} of {len(shares)}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--repeats", type=int, default=400)
    options = parser.parse_args()
    main(options.tasks, options.repeats)
