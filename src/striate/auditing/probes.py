"""How well labels can be told from some features, and how well by chance: a ridge classifier out of fold, and permutations.

N items, D features, K classes, P permutations. The classifier is linear in the labels, so that one matrix of the
features answers for the labels and for all their permutations (the null of Ojala and Garriga 2010, JMLR 11, test 1).
Of several labels an item whether it has each is told; the items of all labels are permuted together, and a label's p is how
often the largest of all standardised accuracies is as large (the maxT of Westfall and Young 1993, Resampling-Based Multiple Testing).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from striate.metrics import Interval
from striate.metrics.classify import wilson

FOLDS = 5
PERMUTATIONS = 999
PENALTY = 0.1  # of the mean squared length of an item's features

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Probed:
    """What a probe can tell.

    Attributes:
        accuracy: out of fold, the mean over classes, with the interval of as many items.
        chance: the mean of the null.
        p: how often permuted labels are told as well, at least 1 / (P + 1).
        answers: for each item the class that was told out of fold [N].
        place: of several feature sets that were tried, the number of the best one.
        each: the accuracy of every set.
    """

    accuracy: Interval
    chance: float
    p: float
    answers: I64 = field(repr=False)
    place: int = 0
    each: F64 = field(default_factory=lambda: np.zeros(0), repr=False)

    def strong(self) -> list[int]:
        """The sets that tell at least half as much above chance as the best one."""
        least = (self.accuracy.value + self.chance) / 2
        return np.flatnonzero(self.each >= least).tolist()

    def share(self, reference: float) -> Interval:
        """The part of a reference accuracy, above chance, that the probe reaches too: 0 to 1."""
        whole = reference - self.chance
        if whole <= 0:
            return Interval(0.0)
        value, low, high = (
            float(np.clip((each - self.chance) / whole, 0.0, 1.0))
            for each in (self.accuracy.value, self.accuracy.low, self.accuracy.high)
        )
        return Interval(value, low, high)


def probe(
    sets: Sequence[NDArray[np.floating]],
    labels: I64,
    rng: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> Probed:
    """The best of several sets of features, against the best of them for permuted labels.

    Args:
        sets: features [N, D], each of the same items.
        labels: class numbers [N].
        rng: of folds and permutations.
        permutations: of the labels.
    """
    _, codes = np.unique(labels, return_inverse=True)
    folds = _folds(len(codes), rng)
    shuffled = np.stack([codes, *(rng.permutation(codes) for _ in range(permutations))])
    scores = np.stack([_scores(_operator(each, folds), shuffled) for each in sets])
    place = int(scores[:, 0].argmax())
    best = scores.max(0)
    p = float((1 + (best[1:] >= best[0] - 1e-12).sum()) / (1 + permutations))
    answers = _told(_operator(sets[place], folds), codes[None])[0]
    kinds = np.unique(labels)
    value = float(best[0])
    found = wilson(value * len(labels), len(labels))
    accuracy = Interval(value, found.low, found.high)
    return Probed(accuracy, float(best[1:].mean()), p, kinds[answers], place, scores[:, 0])


def probe_each(
    sets: Sequence[NDArray[np.floating]],
    flags: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> list[Probed]:
    """For each label whether items have it, by the best of several sets of features; p corrected for the labels.

    Args:
        sets: features [N, D], each of the same items.
        flags: which labels items have [N, K], each there in some and lacking in others.
        rng: of folds and permutations.
        permutations: of the items.
    """
    folds = _folds(len(flags), rng)
    identity = np.arange(len(flags))
    orders = np.stack([identity, *(rng.permutation(identity) for _ in range(permutations))])
    operators = [_operator(each, folds) for each in sets]
    scores = np.stack([_flag_scores(each, flags, orders) for each in operators])  # sets, P + 1, K
    best = scores.max(0)
    chance, spread = best[1:].mean(0), best[1:].std(0) + 1e-9
    highest = ((best - chance) / spread).max(1)[1:]
    found: list[Probed] = []
    for k, own in enumerate(((best[0] - chance) / spread).tolist()):
        place, value = int(scores[:, 0, k].argmax()), float(best[0, k])
        p = float((1 + (highest >= own - 1e-9).sum()) / (1 + permutations))
        said = _weighed(flags[:, [k]]).T @ operators[place].T > 0
        wide = wilson(value * len(flags), len(flags))
        accuracy = Interval(value, wide.low, wide.high)
        answers = said[0].astype(np.int64)
        found.append(Probed(accuracy, float(chance[k]), p, answers, place, scores[:, 0, k]))
    return found


def _weighed(flags: NDArray[np.bool_]) -> F64:
    """Flags [N, K] as numbers of which those with a label and those without weigh alike."""
    there = flags.sum(0)
    return np.where(flags, 1.0 / there, -1.0 / (len(flags) - there))


def _flag_scores(operator: F64, flags: NDArray[np.bool_], orders: I64) -> F64:
    """Balanced accuracy of each label under each order of the items [P, K]."""
    narrow, wanted = operator.astype(np.float32), _weighed(flags).astype(np.float32)
    shares = np.where(flags, 0.5 / flags.sum(0), 0.5 / (~flags).sum(0)).astype(np.float32)
    found = np.empty((len(orders), flags.shape[1]))
    for at in range(0, len(orders), 64):
        part = orders[at : at + 64]
        flat = wanted[part].transpose(1, 0, 2).reshape(len(flags), -1)
        told = (narrow @ flat).reshape(len(flags), len(part), -1) > 0
        right = told == flags[part].transpose(1, 0, 2)
        found[at : at + 64] = (right * shares[part].transpose(1, 0, 2)).sum(0)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    highest = 0.0
    for rank, i in enumerate(order.tolist()):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = highest
    return corrected.tolist()


def _folds(count: int, rng: np.random.Generator) -> I64:
    """A fold for each item [N], whatever its class: folds that were even in the true labels would not be in permuted ones."""
    return rng.permutation(np.arange(count) % FOLDS)


def _operator(features: NDArray[np.floating], folds: I64) -> F64:
    """What turns labels into out-of-fold scores [N, N]: row i is zero at items of i's own fold."""
    x = np.asarray(features, np.float64)
    x = x - x.mean(0)
    x = x / np.maximum(x.std(0), 1e-9 + 1e-3 * x.std())
    gram = x @ x.T + 1.0  # the one is the intercept
    penalty = PENALTY * float(np.trace(gram)) / len(x) + 1e-9
    whole = np.zeros_like(gram)
    for k in range(FOLDS):
        held, rest = np.flatnonzero(folds == k), np.flatnonzero(folds != k)
        if len(held) and len(rest):
            inner = gram[np.ix_(rest, rest)] + penalty * np.eye(len(rest))
            whole[np.ix_(held, rest)] = np.linalg.solve(inner, gram[np.ix_(rest, held)]).T
    return whole


def _told(operator: F64, codes: I64) -> I64:
    """The class of the highest score of each item, for several labellings [P, N]."""
    classes = int(codes.max()) + 1
    counts = np.bincount(codes[0], minlength=classes)
    found = np.empty(codes.shape, np.int64)
    for at in range(0, len(codes), 64):
        part = codes[at : at + 64]
        wanted = (part[:, :, None] == np.arange(classes)) / np.maximum(
            counts, 1
        )  # classes weigh alike
        flat = wanted.transpose(1, 0, 2).reshape(part.shape[1], -1).astype(np.float32)
        scores = (operator.astype(np.float32) @ flat).reshape(part.shape[1], len(part), classes)
        found[at : at + 64] = scores.argmax(2).T
    return found


def _scores(operator: F64, codes: I64) -> F64:
    """Balanced accuracy of each labelling [P]."""
    classes = int(codes.max()) + 1
    right = _told(operator, codes) == codes
    shares = [
        np.array([row[code == k].mean() for row, code in zip(right, codes, strict=True)])
        for k in range(classes)
    ]
    return np.mean(shares, axis=0)
