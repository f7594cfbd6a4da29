"""Whether labels can be told from what should not tell them: a corner, the border, the file and not the picture.

Huskies were told from wolves by the snow (Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938, section 6.4), pneumonia by
the hospital's mark in a corner (Zech et al. 2018, PLOS Medicine 15). Probes are trained on such parts alone; what they
tell is held against permuted labels, corrected for the number of probes, and against what the net tells. Of several labels
an item each is told by itself, whether it is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, flags_of
from striate.auditing.cues import PROBES, SIDE, Probe, Seen
from striate.auditing.finding import Finding
from striate.auditing.probes import PERMUTATIONS, Probed, holm, probe, probe_each
from striate.auditing.rests import PASSES as MAPPED
from striate.auditing.rests import saliency_maps, shares_inside
from striate.data.sources import Encoded, Form
from striate.data.targets import in_words
from striate.errors import DataError, StriateError
from striate.metrics import Interval
from striate.metrics.intervals import mean
from striate.text import listed, percent, plain

FEW = 199  # permutations for what is no gate
MOST = 400  # items that probes learn from and are judged on, out of fold
FEWEST = 30
EACH = 5  # items that have a label and that have it not, at least
LABELS = 32  # that are looked at
EXPLAINED = 64  # items whose saliency is looked at
CERTAIN = 0.01  # the chance of a false alarm of the whole check, at most
MOSTLY = 0.8  # the share of what the net tells from which on a cue is a shortcut

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def _lacks(case: Case) -> str:
    if not case.has_labels and not case.several:
        return f"the items have {in_words(case.data.kind)}, not one label each"
    if len(case.data.classes) < 2 and not case.several:
        return "there is one class only"
    if not case.data.pictures:
        return f"the items are {case.data.noun}, not pictures"
    count = max(len(split) for split in case.data.splits.values())
    if count < FEWEST:
        return f"the largest split has {count} items, fewer than {FEWEST}"
    return ""


def _find(case: Case) -> Iterator[Finding]:
    seen = _sampled(case)
    asked = _asked(case, seen)
    if not asked.labels:
        yield Finding.skipped("shortcuts", asked.missing)
        return
    told: list[tuple[Probe, list[Probed]]] = []
    unlooked: list[str] = []
    for each in PROBES:
        sets = each.features(seen)
        if not sets:
            unlooked.append(each.words)
        if sets and any(float(np.ptp(x)) > 0 for x in sets):
            told.append((each, asked.probed(case, each, sets, seen)))
    references = _references(case, asked, [found for each, found in told if each.whole])
    for each, found in _corrected(told):
        if not each.whole or each.name == "thumbnail":
            yield from _findings(case, each, found, references, asked, seen)
    if asked.missing:
        yield Finding.skipped("shortcuts", asked.missing)
    if unlooked:
        why = "some items are no files of their own, or none that can be written again"
        yield Finding.skipped("shortcuts", f"not looked at, since {why}: {listed(unlooked)}")


@dataclass(frozen=True)
class _Asked:
    """What probes are to tell: the class of items, or of several labels whether items have each.

    Attributes:
        labels: the numbers of the labels, or None alone for the class.
        missing: which are not asked for, and why; "" if all are.
    """

    labels: Sequence[int | None]
    missing: str = ""

    def probed(self, case: Case, each: Probe, sets: Sequence[F32], seen: Seen) -> list[Probed]:
        """What one probe tells of each."""
        rng = case.rng("shortcuts", each.name)
        count = PERMUTATIONS if each.gate else FEW
        numbers = [k for k in self.labels if k is not None]
        if not numbers:
            return [probe(sets, seen.given.argmax(1), rng, permutations=count)]
        return probe_each(sets, seen.given[:, numbers], rng, permutations=count)


def _asked(case: Case, seen: Seen) -> _Asked:
    """What there are enough items of."""
    with_it = seen.given.sum(0)
    if not case.several:
        enough = np.count_nonzero(with_it >= EACH) >= 2
        few = "fewer than two classes have five items that can be read"
        return _Asked([None]) if enough else _Asked([], few)
    least = np.minimum(with_it, len(seen.given) - with_it)
    order = np.argsort(-least, kind="stable")
    often = [k for k in order.tolist() if least[k] >= EACH]
    said: list[str] = []
    if rare := [case.data.classes[k] for k in np.flatnonzero(least < EACH).tolist()]:
        said.append(f"with or without it fewer than {EACH} items can be read: {listed(rare)}")
    if rest := [case.data.classes[k] for k in often[LABELS:]]:
        said.append(f"rarer than the first {LABELS}: {listed(rest)}")
    missing = "; ".join(f"labels not looked at, {each}" for each in said)
    return _Asked(sorted(often[:LABELS]), missing)


def _corrected(
    told: "Sequence[tuple[Probe, list[Probed]]]",
) -> "Iterator[tuple[Probe, list[Probed]]]":
    """Gates first, with p corrected for the number of gates, and of the others for theirs."""
    for gate in (True, False):
        some = [(each, found) for each, found in told if each.gate is gate]
        for k in range(len(some[0][1]) if some else 0):
            certain = holm([found[k].p for _, found in some])
            for (_, found), p in zip(some, certain, strict=True):
                found[k] = replace(found[k], p=p)
        yield from some


def _findings(
    case: Case,
    each: Probe,
    found: Sequence[Probed],
    references: Sequence[tuple[float, str]],
    asked: _Asked,
    seen: Seen,
) -> Iterator[Finding]:
    """Of one class an item what the probe tells; of several labels those that it tells nearly as the net does, else the best one."""
    made = [
        _finding(case, each, one, label, reference, seen)
        for one, label, reference in zip(found, asked.labels, references, strict=True)
    ]
    crossed = [one for one in made if one.crossed]
    best = min(made, key=lambda one: (one.evidence[0]["p"], -one.evidence[0]["share"]))
    yield from crossed or [best]


def _finding(
    case: Case,
    each: Probe,
    found: Probed,
    label: int | None,
    reference: tuple[float, str],
    seen: Seen,
) -> Finding:
    share, p = found.share(reference[0]), found.p
    alarm = each.gate and p <= CERTAIN and share.value >= MOSTLY
    where = each.place(found.place)
    what = f"{each.words}{f' ({where})' if where else ''}"
    of = (
        f"{percent(found.accuracy.value)} of the labels told"
        if label is None
        else f"whether items have {case.data.classes[label]} told in {percent(found.accuracy.value)}"
    )
    text = (
        f"{what}: {of} (chance {percent(found.chance)}, p {p:.2g}), "
        f"{percent(share.value)} of what {reference[1]} tells above chance"
    )
    evidence: list[dict[str, Any]] = [
        {"probe": each.name, "where": where, "p": p, "chance": found.chance, "share": share.value}
    ]
    if label is not None:
        evidence[0] |= {"of": case.data.classes[label]}
    advice = ""
    if alarm:
        evidence += _items(case, found, label, seen)
        advice = each.advice
        places = found.strong()
        swapped = _swapped(case, each, places, label)
        if swapped is not None:
            text += f"; {swapped[1]}"
            evidence[0] |= {"follows": swapped[0].value}
        rests = _rests(case, each, places, label)
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


def _items(case: Case, found: Probed, label: int | None, seen: Seen) -> list[dict[str, Any]]:
    """A few items of each class, or with a label and without it, that the probe told rightly."""
    rows: list[dict[str, Any]] = []
    codes = _codes(seen.given, label)
    for k in np.unique(codes):
        right = np.flatnonzero((codes == k) & (found.answers == k))[:3]
        name = case.data.classes[int(k) if label is None else label]
        words = name if label is None or k else f"without {name}"
        rows += [{"file": seen.names[i], "label": words} for i in right.tolist()]
    return rows[:30]


def _codes(flags: Bools, label: int | None) -> I64:
    """The class of each item, or whether it has a label [N]."""
    return (flags.argmax(1) if label is None else flags[:, label]).astype(np.int64)


def _sampled(case: Case) -> Seen:
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
    given = flags_of(split, numbers, len(case.data.classes))
    return Seen(np.stack(pixels), given, files, [split.names[i] for i in kept])


def _references(
    case: Case, asked: _Asked, whole: Sequence[Sequence[Probed]]
) -> list[tuple[float, str]]:
    """The accuracy that shares are of, for all that is asked: the net's on items that are judged, or the best of probes of whole pictures."""
    best = [
        max((each[n].accuracy.value for each in whole), default=0.0)
        for n in range(len(asked.labels))
    ]
    of_probes = [(value, "a linear probe of the whole picture") for value in best]
    if case.run is None:
        return of_probes
    index = case.sample(MOST, "shortcuts")
    said, given = case.said(case.outputs(case.arrays.inputs[index])), case.given()[index]
    found: list[tuple[float, str]] = []
    for label, of_probe in zip(asked.labels, of_probes, strict=True):
        right, codes = _codes(said, label) == _codes(given, label), _codes(given, label)
        shares = [right[codes == k].mean() for k in np.unique(codes)]
        # Of a label that no item that is judged has, or each, the net's accuracy says nothing.
        known = label is None or len(shares) > 1
        found.append((float(np.mean(shares)), "the net") if known else of_probe)
    return found


def _swapped(
    case: Case, each: Probe, places: Sequence[int], label: int | None
) -> tuple[Interval, str] | None:
    """How often the net's answer becomes that of another item whose region is put in: a counterfactual swap."""
    if case.run is None or each.region is None or not case.data.pictures or case.varied():
        return None
    from striate.metrics.classify import wilson

    index = case.sample(200, "swap")
    stored, labels = np.array(case.arrays.inputs[index]), _codes(case.given()[index], label)
    rng = case.rng("swap")
    donors = np.array([_other(labels, k, rng) for k in labels])
    if (donors < 0).any():
        return None
    before = _codes(case.said(case.outputs(stored)), label)
    changed = stored.copy()
    for place in places:
        rows, columns = _pixels(each.region(place), stored.shape[1:3])
        changed[:, rows, columns] = stored[donors][:, rows, columns]
    after = _codes(case.said(case.outputs(changed)), label)
    follows = (after == labels[donors]) & (before != labels[donors])
    value = wilson(int(follows.sum()), len(follows))
    other = (
        "an item of another class the net answers that class"
        if label is None
        else "an item that differs in the label the net says of it what belongs to that item"
    )
    return value, f"with this part of {other} in {percent(value.value)} of {len(follows)} items"


def _rests(
    case: Case, each: Probe, places: Sequence[int], label: int | None = None
) -> tuple[Interval, float, str] | None:
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
            shares_inside(saliency_maps(case, stored, label), seen)
            for _, stored in case.batches(index)
        ]
    except StriateError as error:
        case.say(f"shortcuts: without saliency, {error}")
        return None
    found, area = mean(np.concatenate(shares), scale="share"), float(seen.mean())
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


CHECK = Check(
    "shortcuts",
    "Can labels be told from what should not tell them?",
    _find,
    gate=True,
    lacks=_lacks,
    seconds=lambda case: 4.0 + 0.03 * min(MOST, len(case.data)),
    needs_run=False,
)
