"""Labels that are probably wrong: where a head on the net's features, fitted to the other items, is sure of another class.

Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70): an item counts as of class j where the probability of j
reaches the mean of that among items labelled j; those counted as of another class than their label are suspected. Of
several labels an item each is judged so by itself. Of a label and a box an item both are, the box by what a linear head
expects. Masks and boxes are judged by the net's own answers, in a split that it did not learn from.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, classified, enough, of_one_size
from striate.auditing.drawn_labels import misplaced, wrong_boxes, wrong_regions
from striate.auditing.finding import Finding
from striate.data.fixes import BETWEEN
from striate.data.targets import in_words
from striate.metrics.classify import wilson
from striate.runs.split_answers import natural_sizes
from striate.see import features
from striate.text import counted, listed, percent, plain, times

MOST, DRAWN = 5000, 500  # items with labels, and with masks or boxes
VALUES = 2**25  # numbers of all maps together, 128 MiB: of large ones fewer items are looked at
FOLDS = 5

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def _find(case: Case) -> Iterator[Finding]:
    ways = {"labels": _several, "box": _located, "mask": _masks, "boxes": _boxes}
    yield ways.get(case.data.kind, _single)(case)


def _split(case: Case) -> str:
    """The split whose labels are looked at: heads are fitted to the others of it, so that it may be the training's."""
    return "train" if "train" in case.data.splits else case.split


@dataclass(frozen=True, eq=False)
class _Sample:
    """Items of a split: what the net's last layer reads of them [n, D], their numbers in the split, names and words."""

    x: F64
    numbers: I64
    names: list[str]
    split: str
    drawn: str


def _sample(case: Case) -> _Sample:
    run, name = case.trained, _split(case)
    arrays, key = features.stored(run, case.data, name)
    index = np.arange(len(arrays))
    if len(index) > MOST:
        index = np.sort(case.rng("labels").choice(index, MOST, replace=False))
    known = np.asarray(features.features(run, arrays, key, index=index), np.float64)
    drawn = f", drawn from {len(arrays):,}," if len(index) < len(arrays) else ""
    names = [arrays.names[int(i)] for i in index]
    return _Sample(known, arrays.numbers[index], names, name, drawn)


def _single(case: Case) -> Finding:
    """Of items with one label each."""
    sample, classes = _sample(case), case.data.classes
    labels = case.data.splits[sample.split].labels[sample.numbers]
    suspects, others, margins = suspected(out_of_fold(sample.x, labels, case.rng("folds")), labels)
    rows: list[dict[str, Any]] = [
        {
            "file": sample.names[i],
            "split": sample.split,
            "label": classes[int(labels[i])],
            "rather": classes[int(other)],
            "margin": float(margin),
        }
        for i, other, margin in zip(
            suspects.tolist(), others.tolist(), margins.tolist(), strict=True
        )
    ]
    said = (
        f"{counted(len(rows), 'label')} of {len(labels):,} in {sample.split}{sample.drawn} may be wrong: "
        "a head fitted to the other items is sure of another class"
    )
    return _found(said, len(rows), len(labels), rows)


def _several(case: Case) -> Finding:
    """Of items with any number of labels each: a head for each label says who has it."""
    sample, classes = _sample(case), case.data.classes
    targets = case.data.splits[sample.split].targets
    given = np.array([targets.truth(int(i)) for i in sample.numbers], np.int64)
    rather, margins = given.copy(), np.zeros(len(given))
    rare: list[str] = []
    for k, name in enumerate(classes):
        if np.bincount(given[:, k], minlength=2).min() < FOLDS:
            rare.append(name)
            continue
        probs = out_of_fold(sample.x, given[:, k], case.rng("folds", name))
        suspects, others, found = suspected(probs, given[:, k])
        rather[suspects, k] = others
        margins[suspects] = np.maximum(margins[suspects], found)
    if len(rare) == len(classes):
        return Finding.skipped(
            "labels", f"no label is there and lacking in {FOLDS} items of {sample.split} each"
        )
    wrong = np.flatnonzero((rather != given).any(1))
    rows: list[dict[str, Any]] = [
        {
            "file": sample.names[i],
            "split": sample.split,
            "label": _joined(given[i], classes),
            "rather": _joined(rather[i], classes),
            "margin": float(margins[i]),
        }
        for i in wrong[np.argsort(-margins[wrong], kind="stable")].tolist()
    ]
    unlooked = (
        f"; not looked at, with or without it there are fewer than {FOLDS} items: {listed(rare)}"
    )
    said = (
        f"the labels of {counted(len(rows), 'item')} of {len(given):,} in {sample.split}{sample.drawn} may be wrong: "
        f"heads fitted to the other items are sure of others{unlooked if rare else ''}"
    )
    return _found(said, len(rows), len(given), rows)


def _joined(flags: I64, classes: Sequence[str]) -> str:
    """Labels of an item as a table of corrections has them."""
    return BETWEEN.join(classes[k] for k in np.flatnonzero(flags).tolist()) or BETWEEN


def _located(case: Case) -> Finding:
    """Of items with a label and a box: heads fitted to the other items say both."""
    sample, classes = _sample(case), case.data.classes
    split = case.data.splits[sample.split]
    sides = natural_sizes(split)[sample.numbers][:, [1, 0, 1, 0]].astype(np.float64)
    boxes = np.stack([split.targets.truth(int(i)).boxes[0] for i in sample.numbers]) / sides
    expected = boxes_out_of_fold(sample.x, boxes, case.rng("boxes"))
    wrong, labels = misplaced(expected, boxes), split.labels[sample.numbers]

    def row(i: int, what: str) -> dict[str, Any]:
        name = classes[int(labels[i])]
        return {"file": sample.names[i], "split": sample.split, "what": what, "label": name}

    rows: list[dict[str, Any]] = []
    unjudged = _rare(case)
    if not unjudged:
        found = suspected(out_of_fold(sample.x, labels, case.rng("folds")), labels)
        for i, other, margin in zip(*(each.tolist() for each in found), strict=True):
            rows.append(
                row(i, "another class") | {"expected": classes[int(other)], "margin": margin}
            )
    swapped = len(rows)
    for i in wrong.items.tolist():
        box = ", ".join(f"{end:.0f}" for end in expected[i] * sides[i])
        rows.append(row(i, "misplaced") | {"expected": box, "iou": float(wrong.overlaps[i])})
    items = len({each["file"] for each in rows})
    kinds = f": {swapped} of another class, {len(rows) - swapped} misplaced" if rows else ""
    said = (
        f"label or box of {counted(items, 'item')} of {len(labels):,} in {sample.split}{sample.drawn} may be wrong, by heads "
        f"fitted to the other items{kinds}{f'; no label is judged, {unjudged}' if unjudged else ''}"
    )
    if wrong.limit <= 0:
        usual = float(np.median(wrong.overlaps))
        said += f"; no box is judged, since those expected overlap with them too differently (median IoU {usual:.2f})"
    return _found(said, items, len(labels), rows)


def _masks(case: Case) -> Finding:
    """Of masks: regions where the net is sure of another class."""
    some = case.sample(DRAWN, "labels")
    one = case.outputs(case.arrays.inputs[some[:1]]).numel()
    index = case.sample(max(1, min(DRAWN, VALUES // max(1, one))), "labels")
    probs = case.outputs(case.arrays.inputs[index]).softmax(1).numpy()
    masks = case.targets(index).numpy()
    if probs.shape[2:] != masks.shape[1:]:
        sizes = [times(shape) for shape in (probs.shape[2:], masks.shape[1:])]
        return Finding.skipped("labels", f"answers of {sizes[0]} for masks of {sizes[1]}")
    regions, classes = wrong_regions(probs, masks), case.data.classes
    rows: list[dict[str, Any]] = [
        {
            **case.files(index[[each.item]])[0],
            "label": classes[each.label],
            "the net": classes[each.rather],
            "at": _place(each.ends),
            "pixels": each.pixels,
            "margin": each.margin,
        }
        for each in regions
    ]
    items = len({each.item for each in regions})
    said = (
        f"{counted(items, 'mask')} of {len(index):,} in {case.split} may be wrong: in "
        f"{counted(len(rows), 'region')} the net, which did not learn from them, is sure of another class"
    )
    return _found(said, items, len(index), rows)


def _boxes(case: Case) -> Finding:
    """Of boxes: overlooked objects, boxes of another class, boxes that fit badly."""
    index = case.sample(DRAWN, "labels")
    found = [each for part, stored in case.batches(index) for each in case.answers(stored, part)]
    wrong = wrong_boxes(found, case.truths(index), len(case.data.classes))
    classes = case.data.classes
    rows: list[dict[str, Any]] = [
        {
            **case.files(index[[each.item]])[0],
            "what": each.kind,
            "label": "" if each.label is None else classes[each.label],
            "the net": classes[each.rather],
            "box": ", ".join(f"{end:.0f}" for end in each.box),
            "sure": each.sure,
        }
        for each in wrong
    ]
    items = len({each.item for each in wrong})
    kinds = Counter(each.kind for each in wrong)
    what = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    said = (
        f"the boxes of {counted(items, 'item')} of {len(index):,} in {case.split} may be wrong, by what the net, "
        f"which did not learn from them, is sure of{f': {what}' if what else ''}"
    )
    return _found(said, items, len(index), rows)


def _place(ends: Sequence[float]) -> str:
    top, left, bottom, right = (percent(end) for end in ends)
    return plain(f"rows {top} to {bottom}, columns {left} to {right}")


def _found(said: str, wrong: int, of: int, rows: Sequence[Mapping[str, Any]]) -> Finding:
    value = wilson(wrong, of)
    return Finding(
        "labels",
        said,
        value,
        limit=0.05,
        crossed=value.low > 0.05,
        evidence=rows,
        advice="look at these items, the surest first, and correct those that are wrong"
        if rows
        else "",
        unit="share",
    )


def out_of_fold(x: F64, labels: I64, rng: np.random.Generator) -> F64:
    """Probabilities of each class for each item [N, K], from heads that were not fitted to it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    classes = int(labels.max()) + 1
    probs = np.full((len(labels), classes), 1e-9)
    least = int(np.bincount(labels)[np.unique(labels)].min())
    folds = StratifiedKFold(
        max(2, min(FOLDS, least)), shuffle=True, random_state=int(rng.integers(2**31))
    )
    for rest, held in folds.split(x, labels):
        scaler = StandardScaler().fit(x[rest])
        model = LogisticRegression(C=0.1, max_iter=200).fit(scaler.transform(x[rest]), labels[rest])
        probs[np.ix_(held, model.classes_)] = model.predict_proba(scaler.transform(x[held]))
    return probs / probs.sum(1, keepdims=True)


def boxes_out_of_fold(x: F64, boxes: F64, rng: np.random.Generator) -> F64:
    """The corners of a box for each item [N, 4], from linear heads that were not fitted to it."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import StandardScaler

    found = np.empty_like(boxes)
    folds = KFold(min(FOLDS, len(boxes)), shuffle=True, random_state=int(rng.integers(2**31)))
    for rest, held in folds.split(x):
        scaler = StandardScaler().fit(x[rest])
        model = RidgeCV(np.logspace(-1, 4, 6)).fit(scaler.transform(x[rest]), boxes[rest])
        found[held] = model.predict(scaler.transform(x[held]))
    return found


def suspected(probs: F64, labels: I64) -> tuple[I64, I64, F64]:
    """Items whose label is suspected, the surest first: their numbers, the class they rather are, and by how much.

    The other class is as probable as is usual for it, and more probable than the label: a class that the head hardly predicts
    is usually improbable, so that the first condition alone would suspect half of the items.
    """
    classes = probs.shape[1]
    usual = np.array(
        [probs[labels == k, k].mean() if (labels == k).any() else np.inf for k in range(classes)]
    )
    reached = np.where(probs >= usual, probs, 0.0)
    counts_as = reached.argmax(1)
    suspects = np.flatnonzero((reached.max(1) > 0) & (counts_as != labels))
    margins = probs[suspects, counts_as[suspects]] - probs[suspects, labels[suspects]]
    order = np.argsort(-margins, kind="stable")
    order = order[margins[order] > 0]
    return suspects[order], counts_as[suspects][order], margins[order]


def _lacks(case: Case) -> str:
    kind = case.data.kind
    if kind in ("mask", "boxes"):
        if case.split == "train":
            return (
                f"the net learned from the {in_words(kind)} of train, and answers them as they are"
            )
        return enough(case) or (of_one_size(case) if kind == "mask" else "")
    if kind in ("labels", "box"):
        return enough(case, _split(case))
    return classified(case, _split(case)) or _rare(case)


def _rare(case: Case) -> str:
    """Why no head for classes can be fitted to the other items; "" where one can."""
    if len(case.data.classes) < 2:
        return "there is one class only"
    name = _split(case)
    counts = np.bincount(case.data.splits[name].labels, minlength=len(case.data.classes))
    rare = [case.data.classes[k] for k, n in enumerate(counts.tolist()) if n == 1]
    if np.count_nonzero(counts) < 2:
        return f"{name} has one class only"
    return f"class {rare[0]} has one item in {name}" if rare else ""


CHECK = Check(
    "labels",
    "Which labels are probably wrong?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 5.0 + 0.002 * min(MOST, len(case.data)),
)
