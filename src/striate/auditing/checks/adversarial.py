"""How far a picture has to be changed on purpose before the answer changes, and whether gradients hide that.

Every network fails somewhere; what is told is where. Signs of hidden gradients are those of Carlini et al. 2019,
arXiv 1902.06705: an attack that is weaker than noise or than one step, and accuracy that a huge change does not touch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.auditing.attacks import Attack, attacked, noise, smallest
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
STEPS = 10
HUGE = 128.0
FAR = 40.0  # grey levels, root of the mean square, up to which the smallest change is looked for
PASSES = 3 * STEPS * (len(STRENGTHS) + 8)


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(PASSES, 0.25, MOST), "adversarial")
    stored, labels = case.arrays.inputs[index], case.labels()[index]
    size, generator = case.used.batch_size(case.arrays.inputs), case.generator("adversarial")
    found = [
        _attacked(case.used, np.asarray(stored[at : at + size]), labels[at : at + size], generator)
        for at in range(0, len(index), size)
    ]
    right = np.concatenate([each.right for each in found])
    least = np.concatenate([each.least for each in found])
    rows: list[dict[str, float | str]] = []
    for name, strength in found[0].under:
        still = np.concatenate([each.under[name, strength] for each in found])
        rows.append({"attack": name, "strength": strength, **_share(still)})
    clean = wilson(int(right.sum()), len(right))
    at_two = next(r for r in rows if r["attack"] == "pgd" and r["strength"] == 2.0)
    value = Interval(float(at_two["accuracy"]), float(at_two["low"]), float(at_two["high"]))
    median = float(np.quantile(least[right], 0.5, method="lower")) if right.any() else float("nan")
    half = f"within {median:.2g}" if np.isfinite(median) else f"beyond {FAR:g}"
    yield Finding(
        "adversarial",
        plain(
            f"accuracy {percent(clean.value)}, and {percent(value.value)} when pictures may be changed by 2 of 255 grey levels "
            f"(PGD, {STEPS} steps); half of the right answers change {half} grey levels (root of the mean square)"
        ),
        value,
        limit=clean.value,
        crossed=value.high < clean.low,
        evidence=[*rows, *case.files(index[right][:5])],
        advice="where somebody could gain by it, do not rely on this net alone: adversarial pictures exist for every net that was not trained against them",
        unit="accuracy",
    )
    yield _masking(rows)


@dataclass(frozen=True, eq=False)
class _Attacked:
    """Some pictures: which are answered rightly [n], which still are by attack and strength, and the least change of each."""

    right: NDArray[np.bool_]
    under: dict[tuple[str, float], NDArray[np.bool_]]
    least: NDArray[np.float64]  # root of the mean square, in grey levels


def _attacked(
    used: Net, stored: NDArray[Any], truth: NDArray[np.int64], generator: torch.Generator
) -> _Attacked:
    x, labels = channels_first(stored), torch.from_numpy(truth)

    def logits(pictures: Tensor) -> Tensor:
        pre = used.preprocessing
        ready = pre.normalise(pre.centre(pictures.permute(0, 2, 3, 1)))
        return used.net(used.plan.batch(ready.to(used.plan.device))).float().cpu()

    def right(pictures: Tensor) -> NDArray[np.bool_]:
        with torch.no_grad():
            return (logits(pictures).argmax(1) == labels).numpy()

    under: dict[tuple[str, float], NDArray[np.bool_]] = {}
    root = float(np.sqrt(x[0].numel()))
    with as_eval(used.net), frozen(used.net), used.plan.uncompiled():
        for strength in STRENGTHS:
            under["noise", strength] = right(noise(x, Attack("linf", strength), generator))
            for name, steps, restarts in (("one step", 1, 0), ("pgd", STEPS, 1)):
                attack = Attack("linf", strength, steps, restarts)
                under[name, strength] = right(attacked(logits, x, labels, attack, generator))
        huge = Attack("linf", HUGE, STEPS)
        under["pgd", HUGE] = right(attacked(logits, x, labels, huge, generator))
        least = smallest(logits, x, labels, Attack("l2", FAR * root, STEPS), generator)
        return _Attacked(right(x), under, least.double().numpy() / root)


def _share(right: NDArray[np.bool_]) -> dict[str, float]:
    found = wilson(int(right.sum()), len(right))
    return {"accuracy": found.value, "low": found.low, "high": found.high}


def _masking(rows: list[dict[str, float | str]]) -> Finding:
    """Signs that gradients do not show the way, so that these attacks say little."""
    of = {(str(r["attack"]), float(r["strength"])): float(r["accuracy"]) for r in rows}
    signs: list[str] = []
    for strength in STRENGTHS:
        if of["pgd", strength] > of["noise", strength] + 0.02:
            signs.append(f"at {strength:g} grey levels noise is stronger than the attack")
        if of["pgd", strength] > of["one step", strength] + 0.02:
            signs.append(f"at {strength:g} grey levels one step is stronger than ten")
    if of["pgd", HUGE] > 0.1:
        signs.append(plain(f"{percent(of['pgd', HUGE])} are still right at {HUGE:g} grey levels"))
    return Finding(
        "adversarial",
        f"gradients may be hidden: {'; '.join(signs)}"
        if signs
        else "no sign that gradients are hidden",
        crossed=bool(signs),
        evidence=[{"sign": sign} for sign in signs],
        advice="the accuracy under attack is too high by an unknown amount: other attacks would find more"
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
