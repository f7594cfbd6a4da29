"""How far a picture has to be changed on purpose before the answer changes, and whether gradients hide that.

Every network fails somewhere; what is told is where. Signs of hidden gradients are those of Carlini et al. 2019,
arXiv 1902.06705: an attack that is weaker than noise or than one step, and accuracy that a huge change does not touch.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from striate.auditing.attacks import Attack, Logits, attacked, noise, smallest
from striate.auditing.check import Case, Check, classified, of_one_size, seconds_of
from striate.auditing.finding import Finding
from striate.metrics import Interval
from striate.metrics.classify import wilson
from striate.probe import as_eval, frozen
from striate.text import percent, plain

MOST = 128
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # grey levels of 255
STEPS = 10
HUGE = 128.0
FAR = 40.0  # grey levels, root of the mean square, up to which the smallest change is looked for
PASSES = 3 * STEPS * (len(STRENGTHS) + 8)


def _lacks(case: Case) -> str:
    if not case.data.pictures:
        return classified(case) or f"the items are {case.data.noun}, not pictures"
    return classified(case) or of_one_size(case)


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(PASSES, 0.25, MOST), "adversarial")
    stored = torch.from_numpy(np.asarray(case.arrays.inputs[index], np.float32))
    x = stored.permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(case.labels()[index])
    used = case.used

    def logits(pictures: Tensor) -> Tensor:
        pre = used.preprocessing
        ready = pre.normalise(pre.centre(pictures.permute(0, 2, 3, 1)))
        return used.net(used.plan.batch(ready.to(used.plan.device))).float().cpu()

    generator = case.generator("adversarial")
    root = float(np.sqrt(x[0].numel()))
    with as_eval(used.net), frozen(used.net), used.plan.uncompiled():
        with torch.no_grad():
            right = (logits(x).argmax(1) == labels).numpy()
        rows: list[dict[str, float | str]] = []
        for strength in STRENGTHS:
            ways = {
                "noise": lambda s=strength: noise(x, Attack("linf", s), generator),
                "one step": lambda s=strength: attacked(
                    logits, x, labels, Attack("linf", s, 1), generator
                ),
                "pgd": lambda s=strength: attacked(
                    logits, x, labels, Attack("linf", s, STEPS, 1), generator
                ),
            }
            for name, make in ways.items():
                rows.append(
                    {"attack": name, "strength": strength, **_accuracy(logits, make(), labels)}
                )
        huge = attacked(logits, x, labels, Attack("linf", HUGE, STEPS), generator)
        rows.append({"attack": "pgd", "strength": HUGE, **_accuracy(logits, huge, labels)})
        least = smallest(
            logits,
            x,
            labels,
            Attack("l2", FAR * root, STEPS),
            generator,
        )
    clean = wilson(int(right.sum()), len(right))
    at_two = next(r for r in rows if r["attack"] == "pgd" and r["strength"] == 2.0)
    value = Interval(float(at_two["accuracy"]), float(at_two["low"]), float(at_two["high"]))
    median = float(least[torch.from_numpy(right)].median()) / root if right.any() else float("nan")
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
    yield from _masking(rows)


def _accuracy(logits: Logits, pictures: Tensor, labels: Tensor) -> dict[str, float]:
    with torch.no_grad():
        right = logits(pictures).argmax(1) == labels
    found = wilson(int(right.sum()), len(labels))
    return {"accuracy": found.value, "low": found.low, "high": found.high}


def _masking(rows: list[dict[str, float | str]]) -> Iterator[Finding]:
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
    yield Finding(
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
    lacks=_lacks,
    seconds=lambda case: seconds_of(case, PASSES, 0.25, MOST),
)
