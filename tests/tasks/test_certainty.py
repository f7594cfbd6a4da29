"""How sure answers are, as it is drawn: areas as scikit-learn has them, points where the numbers are."""

import re
import warnings

import numpy as np
import pytest

from striate import svg
from striate.metrics.classify import CALIBRATION_BINS, score
from striate.tasks import certainty
from striate.tasks.section import Beside, Figure, Table, Text


def answers(n: int, k: int, seed: int = 0, *, ties: bool = False):
    """Probabilities that are right more often than not."""
    rng = np.random.default_rng(seed)
    truth = (
        np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        if n >= k
        else rng.integers(0, k, n)
    )
    logits = rng.normal(size=(n, k)) + 2 * np.eye(k)[truth]
    if ties:
        logits = np.round(logits)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probs.astype(np.float32), truth


def drawn_of(probs, truth, classes):
    return certainty.section(probs, truth, probs.argmax(1), classes, "pictures")


def figures(section) -> dict[str, Figure]:
    columns = [each for part in section.parts if isinstance(part, Beside) for each in part.columns]
    return {each.title: each for each in columns if isinstance(each, Figure)}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "k"), [(40, 2), (300, 3), (300, 12)])
def test_areas_are_those_of_scikit_learn(n, k, ties):
    from sklearn.metrics import average_precision_score, roc_auc_score

    probs, truth = answers(n, k, ties=ties)
    for c in range(k):
        found = certainty.ranked(probs[:, c], truth == c)
        assert found is not None
        assert found.auroc == pytest.approx(roc_auc_score(truth == c, probs[:, c]))
        assert found.average_precision == pytest.approx(
            average_precision_score(truth == c, probs[:, c])
        )


def test_a_class_without_items_or_without_others_has_no_curve():
    assert certainty.ranked(np.ones(3), np.zeros(3, bool)) is None
    assert certainty.ranked(np.ones(3), np.ones(3, bool)) is None


@pytest.mark.parametrize("k", [2, 3, 12])
def test_the_mean_area_is_the_score(k):
    probs, truth = answers(200, k)
    names = [f"class {i}" for i in range(k)]
    found = figures(drawn_of(probs, truth, names))
    auroc = score(probs, truth, classes=names).scores["auroc"].value
    assert f"{100 * auroc:.1f}\xa0%" in found["ROC"].caption


def test_points_of_reliability_are_the_bins_of_the_calibration_error():
    probs, truth = answers(300, 4)
    sure, right = probs.max(1), probs.argmax(1) == truth
    found = figures(drawn_of(probs, truth, list("abcd")))
    svg_ = found["Reliability"].svg
    dots = re.findall(r"<title>([\d,]+) answers with mean confidence ([\d.]+)\xa0%: ([\d.]+)", svg_)
    bins = np.minimum((sure * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    wanted = [
        ((bins == b).sum(), 100 * sure[bins == b].mean(), 100 * right[bins == b].mean())
        for b in np.unique(bins)
    ]
    for dot, (n, confidence, share) in zip(dots, wanted, strict=True):
        assert int(dot[0]) == n
        assert float(dot[1]) == pytest.approx(confidence, abs=0.06)
        assert float(dot[2]) == pytest.approx(share, abs=0.06)
    gap = sum(int(n) * abs(float(r) - float(c)) for n, c, r in dots) / len(truth) / 100
    ece = score(probs, truth, classes=list("abcd")).scores["ece"].value
    assert gap == pytest.approx(ece, abs=0.002)


def test_bars_of_confidence_count_right_and_wrong():
    probs, truth = answers(300, 4)
    right = probs.argmax(1) == truth
    found = figures(drawn_of(probs, truth, list("abcd")))
    tips = re.findall(
        r": ([\d,]+) right, ([\d,]+) wrong", found["Confidence of right and wrong"].svg
    )
    assert sum(int(g) for g, _ in tips) == right.sum()
    assert sum(int(w) for _, w in tips) == (~right).sum()


def test_of_many_classes_the_worst_are_drawn_and_all_are_listed():
    probs, truth = answers(400, 20)
    section = drawn_of(probs, truth, [f"c{i}" for i in range(20)])
    assert section is not None
    (table,) = [part for part in section.parts if isinstance(part, Table)]
    assert len(table.rows) == 20
    assert table.first == len(svg.SERIES)
    legend = figures(section)["ROC"].legend
    assert legend is not None
    drawn = [name for name, _ in legend.entries]
    assert drawn == [row[0] for row in table.rows[: len(svg.SERIES)]]


def test_long_curves_are_drawn_with_few_points():
    probs, truth = answers(5000, 2)
    found = figures(drawn_of(probs, truth, ["a", "b"]))
    for name in ("ROC", "Precision and recall"):
        points = re.findall(r'points="([^"]*)" class="line', found[name].svg)[0].split()
        assert len(points) <= certainty.POINTS + 2
    ends = re.findall(r'points="([^"]*)" class="line', found["ROC"].svg)[0].split()
    assert ends[0].startswith("44")  # both axes at 0
    assert ends[-1].startswith("278")


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 3), (3, 1)])
def test_few_items_and_one_class_are_no_error(n, k):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = drawn_of(*answers(n, k), [str(i) for i in range(k)])
    assert (section is None) == (n == 0)
    if section is not None and k == 1:
        assert any(isinstance(part, Text) and "No ROC" in part.words for part in section.parts)


@pytest.mark.parametrize(
    "values", [[0.5, 0.9, 0.99], [0.2, 1.0], [1.0, 1.0], [0.95, 0.999, 0.9995]]
)
def test_an_axis_that_opens_keeps_order_and_has_room_at_its_end(values):
    axis = svg.opened_axis(values)
    assert axis.finest > 0
    places = [axis.share(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 for place in places)
    assert axis.share(1.0) == 1
    assert axis.ticks()[-1] == 1.0
    assert 2 <= len(axis.ticks()) <= 10
    steps = np.diff([axis.share(tick) for tick in axis.ticks()])
    assert (steps > 0.1).all()
    even = (0.99 - axis.low) / (1 - axis.low)
    assert axis.share(0.99) < even  # the last per cent has more room


def test_an_axis_of_low_shares_is_even():
    assert svg.opened_axis([0.1, 0.3]).finest == 0
