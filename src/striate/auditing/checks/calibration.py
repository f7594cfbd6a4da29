"""Whether confidences are what they say: their error, what one temperature mends, and what leaving answers out brings.

Temperature: Guo et al. 2017, arXiv 1706.04599, fitted on one half of the items and judged on the other. Conformal sets:
Angelopoulos and Bates 2021, arXiv 2107.07511, section 1: sets of classes that hold the right one in 9 of 10 cases.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, classified, enough, seconds_of
from striate.auditing.finding import Finding
from striate.metrics.classify import calibration_error, wilson
from striate.text import percent, plain

WRONG_BY = 0.05  # an error that is larger for certain is a weakness
COVER = 0.9  # of conformal sets
KEPT = (1.0, 0.9, 0.8, 0.7, 0.5)  # shares of the items that are answered, the surest ones

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(1, 0.1, 10_000), "calibration")
    if case.data.kind == "labels":
        yield _of_several(case, index)
        return
    logits = case.outputs(case.arrays.inputs[index]).double().numpy()
    labels = case.labels()[index]
    order = case.rng("calibration").permutation(len(labels))
    half = len(order) // 2
    fitted, judged = order[:half], order[half:]
    probs = softmax(logits)
    found = calibration_error(probs.max(1), (probs.argmax(1) == labels).astype(np.float64))
    temperature = best_temperature(logits[fitted], labels[fitted])
    mended = softmax(logits[judged] / temperature)
    after = calibration_error(
        mended.max(1), (mended.argmax(1) == labels[judged]).astype(np.float64)
    )
    weak = found.low > WRONG_BY
    way = "too sure" if temperature > 1 else "not sure enough"
    yield Finding(
        "calibration",
        f"confidences are off by {found.value:.3f} on average (ECE); {way}: divided by a temperature of {temperature:.2f}, "
        f"fitted on half of the items, by {after.value:.3f} on the other half",
        found,
        limit=WRONG_BY,
        crossed=weak,
        evidence=_reliability(probs, labels),
        advice=f"divide the net's outputs by {temperature:.2f} before they become probabilities"
        if weak
        else "",
        unit="ece",
    )
    yield _abstention(probs, labels)
    yield _conformal(probs, labels, fitted, judged)


def _of_several(case: Case, index: I64) -> Finding:
    """Of several labels an item: whether an item has a label as often as its probability says."""
    answers = [np.asarray(case.answers(stored, part)) for part, stored in case.batches(index)]
    probs = np.concatenate(answers).astype(np.float64)
    truth = (np.array(case.truths(index)) > 0).astype(np.float64)
    items = np.repeat(np.arange(len(index)), probs.shape[1])
    found = calibration_error(probs.ravel(), truth.ravel(), items)
    each = [calibration_error(p, t) for p, t in zip(probs.T, truth.T, strict=True)]
    rows: list[dict[str, str | float]] = [
        {"label": name, "off by": one.value, "low": one.low, "high": one.high}
        for name, one in zip(case.data.classes, each, strict=True)
    ]
    rows.sort(key=lambda row: -float(row["off by"]))
    weak = found.low > WRONG_BY
    return Finding(
        "calibration",
        f"probabilities of {len(rows)} labels are off by {found.value:.3f} on average (ECE), those of "
        f"{rows[0]['label']} most, by {rows[0]['off by']:.3f}",
        found,
        limit=WRONG_BY,
        crossed=weak,
        evidence=rows,
        advice="do not read these probabilities as shares; train with smoothing=0.1 or for fewer epochs"
        if weak
        else "",
        unit="ece",
    )


def softmax(logits: F64) -> F64:
    """Probabilities [N, K]."""
    from scipy.special import softmax as of

    return np.asarray(of(logits, axis=1), np.float64)


def best_temperature(logits: F64, labels: I64) -> float:
    """The temperature with the least mean log loss, between 0.05 and 20."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    rows = np.arange(len(labels))

    def cost(log: float) -> float:
        scaled = logits / np.exp(log)
        return float((logsumexp(scaled, axis=1) - scaled[rows, labels]).mean())

    found = minimize_scalar(cost, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def _reliability(probs: F64, labels: I64) -> list[dict[str, float]]:
    """Ten bins of confidence: how many answers, how sure, how many right."""
    sure, right = probs.max(1), probs.argmax(1) == labels
    bins = np.minimum((sure * 10).astype(int), 9)
    rows: list[dict[str, float]] = []
    for k in range(10):
        inside = bins == k
        if inside.any():
            share = wilson(int(right[inside].sum()), int(inside.sum()))
            rows.append(
                {
                    "confidence": float(sure[inside].mean()),
                    "right": share.value,
                    "low": share.low,
                    "high": share.high,
                    "items": int(inside.sum()),
                }
            )
    return rows


def _abstention(probs: F64, labels: I64) -> Finding:
    """The accuracy among the surest answers."""
    order = np.argsort(-probs.max(1), kind="stable")
    right = (probs.argmax(1) == labels)[order]
    rows: list[dict[str, float]] = []
    for kept in KEPT:
        count = max(1, round(kept * len(order)))
        share = wilson(int(right[:count].sum()), count)
        least = float(probs.max(1)[order[count - 1]])
        rows.append(
            {
                "answered": kept,
                "accuracy": share.value,
                "low": share.low,
                "high": share.high,
                "threshold": least,
            }
        )
    eight = next(row for row in rows if row["answered"] == 0.8)
    value = wilson(int(right[: round(0.8 * len(order))].sum()), round(0.8 * len(order)))
    return Finding(
        "calibration",
        plain(
            f"answering the surest 80 % alone (confidence from {eight['threshold']:.2f}) {percent(eight['accuracy'])} are right, "
            f"of all {percent(rows[0]['accuracy'])}"
        ),
        value,
        evidence=rows,
        unit="accuracy",
    )


def conformal_threshold(true: F64) -> float:
    """The probability from which a class is in the set, by the probabilities of the right classes of some items [N]."""
    n = len(true)
    rank = int(np.ceil((n + 1) * COVER))
    return float(np.sort(1 - true)[rank - 1]) if rank <= n else 1.0


def _conformal(probs: F64, labels: I64, fitted: I64, judged: I64) -> Finding:
    """How large sets must be to hold the right class in 9 of 10 cases, and how many do."""
    most = conformal_threshold(probs[fitted, labels[fitted]])
    sets = 1 - probs[judged] <= most
    inside = sets[np.arange(len(judged)), labels[judged]]
    covered = wilson(int(inside.sum()), len(inside))
    sizes = np.bincount(sets.sum(1), minlength=3)
    return Finding(
        "calibration",
        plain(
            f"sets that hold the right class in {percent(COVER)} of cases have {sets.sum(1).mean():.2f} classes on average; "
            f"on the other half of the items {percent(covered.value)} hold it"
        ),
        covered,
        limit=COVER,
        crossed=covered.high < COVER,
        evidence=[{"classes": k, "items": int(n)} for k, n in enumerate(sizes.tolist())],
        advice="the two halves differ: the items are not drawn alike"
        if covered.high < COVER
        else "",
        unit="share",
    )


def _lacks(case: Case) -> str:
    return enough(case) if case.data.kind == "labels" else classified(case)


CHECK = Check(
    "calibration",
    "Are confidences what they say?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 1.0 + seconds_of(case, 1, 0.1, 10_000),
)
