"""Labels that are probably wrong: where a head on the net's features, fitted to the other items, is sure of another class.

Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70): an item counts as of class j where the probability of j
reaches the mean of that among items labelled j; those counted as of another class than their label are suspected.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, classified
from striate.auditing.finding import Finding
from striate.metrics.classify import wilson
from striate.see import features
from striate.text import counted

MOST = 5000
FOLDS = 5

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def _find(case: Case) -> Iterator[Finding]:
    run = case.trained
    name = "train" if "train" in case.data.splits else case.split
    arrays, key = features.stored(run, case.data, name)
    labels = case.data.splits[name].labels[arrays.numbers]
    index = np.arange(len(labels))
    if len(index) > MOST:
        index = np.sort(case.rng("labels").choice(index, MOST, replace=False))
    known = features.features(run, arrays, key, index=index)
    probs = out_of_fold(np.asarray(known, np.float64), labels[index], case.rng("folds"))
    suspects, others, margins = suspected(probs, labels[index])
    classes = case.data.classes
    rows = [
        {
            "file": arrays.names[int(index[i])],
            "split": name,
            "label": classes[int(labels[index[i]])],
            "rather": classes[int(other)],
            "margin": float(margin),
        }
        for i, other, margin in zip(
            suspects.tolist(), others.tolist(), margins.tolist(), strict=True
        )
    ]
    found = wilson(len(rows), len(index))
    drawn = f", drawn from {len(labels):,}," if len(index) < len(labels) else ""
    yield Finding(
        "labels",
        f"{counted(len(rows), 'label')} of {len(index):,} in {name}{drawn} may be wrong: a head fitted to the other items is sure of another class",
        found,
        limit=0.05,
        crossed=found.low > 0.05,
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


def suspected(probs: F64, labels: I64) -> tuple[I64, I64, F64]:
    """Items whose label is suspected, the surest first: their numbers, the class they rather are, and by how much."""
    classes = probs.shape[1]
    usual = np.array(
        [probs[labels == k, k].mean() if (labels == k).any() else np.inf for k in range(classes)]
    )
    reached = np.where(probs >= usual, probs, 0.0)
    counts_as = reached.argmax(1)
    suspects = np.flatnonzero((reached.max(1) > 0) & (counts_as != labels))
    margins = probs[suspects, counts_as[suspects]] - probs[suspects, labels[suspects]]
    order = np.argsort(-margins, kind="stable")
    return suspects[order], counts_as[suspects][order], margins[order]


def _lacks(case: Case) -> str:
    if reason := classified(case):
        return reason
    name = "train" if "train" in case.data.splits else case.split
    counts = np.bincount(case.data.splits[name].labels, minlength=len(case.data.classes))
    rare = [case.data.classes[k] for k, n in enumerate(counts.tolist()) if n == 1]
    return f"class {rare[0]} has one item in {name}" if rare else ""


CHECK = Check(
    "labels",
    "Which labels are probably wrong?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 5.0 + 0.002 * min(MOST, len(case.data)),
)
