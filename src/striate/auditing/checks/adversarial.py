"""How far a picture has to be changed on purpose before the answer changes, and whether gradients hide that.

Every network fails somewhere; what is told is where. Signs of hidden gradients are those of Carlini et al. 2019,
arXiv 1902.06705: an attack that is weaker than noise or than one step, and accuracy that a huge change does not touch.
Of several labels an item it is asked when any of them changes from what is said of the picture itself. k labels, or 1 of
classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.auditing.attacks import Attack, attacked, noise, right_labels, smallest
from striate.auditing.check import (
    Case,
    Check,
    channels_first,
    pictures_with_labels,
    seconds_of,
)
from striate.auditing.finding import Finding
from striate.metrics import Interval
from striate.metrics.classify import wilson
from striate.probe import as_eval, frozen
from striate.runs.answering import Net
from striate.text import percent, plain

MOST = 128
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # grey levels of 255
TWO = 2.0  # of which the sentence speaks
STEPS = 10
HUGE = 128.0
FAR = 40.0  # grey levels, root of the mean square, up to which the smallest change is looked for
PASSES = 3 * STEPS * (len(STRENGTHS) + 8)
ADVICE = "where somebody could gain by it, do not rely on this net alone: adversarial pictures exist for every net that was not trained against them"

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(PASSES, 0.25, MOST), "adversarial")
    stored = case.arrays.inputs[index]
    labels = None if case.several else case.labels()[index]
    size, generator = case.used.batch_size(case.arrays.inputs), case.generator("adversarial")
    found: list[_Attacked] = []
    for at in range(0, len(index), size):
        part = slice(at, at + size)
        truth = None if labels is None else labels[part]
        found.append(_attacked(case.used, np.asarray(stored[part]), truth, generator))
    rows: list[dict[str, float | str]] = []
    key = "unchanged" if case.several else "accuracy"
    for name, strength in found[0].under:
        still = np.all(np.concatenate([each.under[name, strength] for each in found]), axis=1)
        rows.append({"attack": name, "strength": strength, **_share(still, key)})
    yield (_of_several if case.several else _of_classes)(case, index, found, rows)
    yield _masking(rows, key)


def _of_classes(
    case: Case, index: I64, found: "Sequence[_Attacked]", rows: list[dict[str, float | str]]
) -> Finding:
    """Of one label an item: how many answers are still right."""
    right = np.concatenate([each.right.all(1) for each in found])
    clean = wilson(int(right.sum()), len(right))
    value = _at_two(rows, "accuracy")
    return Finding(
        "adversarial",
        plain(
            f"accuracy {percent(clean.value)}, and {percent(value.value)} when pictures may be changed by {TWO:g} of 255 grey levels "
            f"(PGD, {STEPS} steps); half of the right answers change {_half(found, right)} grey levels (root of the mean square)"
        ),
        value,
        limit=clean.value,
        crossed=value.high < clean.low,
        evidence=[*rows, *case.files(index[right][:5])],
        advice=ADVICE,
        unit="accuracy",
    )


def _of_several(
    case: Case, index: I64, found: "Sequence[_Attacked]", rows: list[dict[str, float | str]]
) -> Finding:
    """Of several labels an item: in how many answers each label stays as it is said of the picture itself."""
    kept = np.concatenate([each.under["pgd", TWO] for each in found])
    value, clean = _at_two(rows, "unchanged"), wilson(len(index), len(index))
    flips = [
        {"label": name, "flipped": float(share)}
        for name, share in zip(case.data.classes, 1 - kept.mean(0), strict=True)
    ]
    flips.sort(key=lambda row: -float(row["flipped"]))
    first = f", {flips[0]['label']} most often" if float(flips[0]["flipped"]) > 0 else ""
    said = np.ones(len(index), np.bool_)
    return Finding(
        "adversarial",
        plain(
            f"{percent(value.value)} of {len(index)} answers keep every label as it is said when pictures may be changed by {TWO:g} of 255 "
            f"grey levels (PGD on the label that is nearest to changing, {STEPS} steps{first}); half of the answers gain or lose a label "
            f"{_half(found, said)} grey levels (root of the mean square)"
        ),
        value,
        limit=1.0,
        crossed=value.high < clean.low,
        evidence=[*rows, *flips, *case.files(index[~kept.all(1)][:5])],
        advice=ADVICE,
        unit="share",
    )


def _at_two(rows: Sequence[dict[str, float | str]], key: str) -> Interval:
    """What is left under the strongest attack of two grey levels."""
    row = next(r for r in rows if r["attack"] == "pgd" and r["strength"] == TWO)
    return Interval(float(row[key]), float(row["low"]), float(row["high"]))


def _half(found: "Sequence[_Attacked]", counted: Bools) -> str:
    """Within how many grey levels half of the answers that count change."""
    least = np.concatenate([each.least for each in found])[counted]
    median = float(np.quantile(least, 0.5, method="lower")) if len(least) else float("nan")
    return f"within {median:.2g}" if np.isfinite(median) else f"beyond {FAR:g}"


@dataclass(frozen=True, eq=False)
class _Attacked:
    """Some pictures: which answers [n, 1] are right or labels [n, k] as said, which still are by attack and strength, the least change of each."""

    right: Bools
    under: dict[tuple[str, float], Bools]
    least: NDArray[np.float64]  # root of the mean square, in grey levels


def _attacked(
    used: Net, stored: NDArray[Any], truth: I64 | None, generator: torch.Generator
) -> _Attacked:
    """Attack stored pictures; without classes [n] the labels that the net says of them."""
    x, logits = channels_first(stored), logits_of(used)
    under: dict[tuple[str, float], Bools] = {}
    root = float(np.sqrt(x[0].numel()))
    with as_eval(used.net), frozen(used.net), used.plan.uncompiled():
        with torch.no_grad():
            labels = logits(x) >= 0 if truth is None else torch.from_numpy(truth)

        def right(pictures: Tensor) -> Bools:
            with torch.no_grad():
                return right_labels(logits(pictures), labels).numpy()

        for strength in STRENGTHS:
            under["noise", strength] = right(noise(x, Attack("linf", strength), generator))
            for name, steps, restarts in (("one step", 1, 0), ("pgd", STEPS, 1)):
                attack = Attack("linf", strength, steps, restarts)
                under[name, strength] = right(attacked(logits, x, labels, attack, generator))
        huge = Attack("linf", HUGE, STEPS)
        under["pgd", HUGE] = right(attacked(logits, x, labels, huge, generator))
        least = smallest(logits, x, labels, Attack("l2", FAR * root, STEPS), generator)
        return _Attacked(right(x), under, least.double().numpy() / root)


def logits_of(used: Net) -> Callable[[Tensor], Tensor]:
    """What a net says of pictures of 0 to 255 [N, C, H, W], with gradients: the likeliest is said, of several labels those from 0 on."""

    def logits(pictures: Tensor) -> Tensor:
        pre = used.preprocessing
        ready = pre.normalise(pre.centre(pictures.permute(0, 2, 3, 1)))
        found = used.net(used.plan.batch(ready.to(used.plan.device))).float().cpu()
        return used.task.from_thresholds(found)

    return logits


def _share(right: Bools, key: str) -> dict[str, float]:
    found = wilson(int(right.sum()), len(right))
    return {key: found.value, "low": found.low, "high": found.high}


def _masking(rows: list[dict[str, float | str]], key: str) -> Finding:
    """Signs that gradients do not show the way, so that these attacks say little."""
    of = {(str(r["attack"]), float(r["strength"])): float(r[key]) for r in rows}
    what, still = (
        ("the accuracy", "still right")
        if key == "accuracy"
        else ("the share that is unchanged", "unchanged")
    )
    signs: list[str] = []
    for strength in STRENGTHS:
        if of["pgd", strength] > of["noise", strength] + 0.02:
            signs.append(f"at {strength:g} grey levels noise is stronger than the attack")
        if of["pgd", strength] > of["one step", strength] + 0.02:
            signs.append(f"at {strength:g} grey levels one step is stronger than ten")
    if of["pgd", HUGE] > 0.1:
        signs.append(plain(f"{percent(of['pgd', HUGE])} are {still} at {HUGE:g} grey levels"))
    return Finding(
        "adversarial",
        f"gradients may be hidden: {'; '.join(signs)}"
        if signs
        else "no sign that gradients are hidden",
        crossed=bool(signs),
        evidence=[{"sign": sign} for sign in signs],
        advice=f"{what} under attack is too high by an unknown amount: other attacks would find more"
        if signs
        else "",
    )


CHECK = Check(
    "adversarial",
    "How far has a picture to be changed on purpose before the answer changes?",
    _find,
    lacks=pictures_with_labels,
    seconds=lambda case: seconds_of(case, PASSES, 0.25, MOST),
)
