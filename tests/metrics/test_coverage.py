"""Intervals hold what they are of: a few cells of benchmarks/coverage.py, which simulates them all."""

import numpy as np
import pytest

from striate.metrics import Interval

CLASSIFY = [
    # items, classes, skill, sharpness, items a group, rare
    (20, 2, 3.0, 1.0, 1, 0.0),
    (20, 2, 8.0, 2.5, 1, 0.0),
    (20, 2, 1.0, 1.0, 2, 0.0),
    (100, 2, 1.0, 2.5, 1, 0.0),
    (100, 2, 3.0, 1.0, 1, 2.0),
    (100, 2, 3.0, 2.5, 5, 0.0),
    (100, 10, 3.0, 1.0, 1, 0.0),
    (100, 10, 8.0, 0.6, 1, 0.0),
    (360, 2, 3.0, 1.0, 12, 0.0),
    (360, 10, 8.0, 2.5, 12, 0.0),
    (1000, 10, 1.0, 1.0, 1, 0.0),
    (1000, 20, 8.0, 2.5, 1, 0.0),
]
LABELS = [(100, 2, 1.0, 0.2), (100, 5, 3.0, 0.2), (100, 20, 6.0, 0.4), (1000, 5, 6.0, 0.2)]
SEGMENT = [(20, 2, 1.0, 1.5, 1.0), (20, 11, 0.5, 0.0, 1.0), (20, 20, 0.2, 3.5, 0.3), (100, 11, 0.5, 3.5, 1.0)]  # fmt: skip
DETECT = [(20, 1, 3.0, 1.0), (20, 20, 0.3, 0.0), (20, 20, 0.3, 1.0), (100, 3, 1.0, 1.0)]
REGRESS = [(20, "normal"), (20, "laplace"), (100, "outliers")]


def hold(coverage, cell, repeats, least=0.85):
    """Every score's interval in most sets, and all together in nearly all that they promise."""
    found = coverage.covered(cell, repeats)
    shares = {name: share for name, (share, _) in found.items()}
    assert all(share >= least for share in shares.values()), shares
    assert np.mean(list(shares.values())) >= 0.9, shares
    return shares


@pytest.mark.parametrize(("items", "k", "skill", "sharpness", "apiece", "rare"), CLASSIFY)
def test_scores_of_classes(coverage, items, k, skill, sharpness, apiece, rare):
    kind = coverage.Answers(k, skill, sharpness, apiece, rare)
    cell = coverage.Cell(items, "", kind.true, lambda rng: kind.scored(rng, items))
    shares = hold(coverage, cell, 60 if items < 360 else 30)
    assert {"accuracy", "ece", "loss"} <= set(shares)


@pytest.mark.parametrize(("items", "k", "skill", "least"), LABELS)
def test_scores_of_several_labels(coverage, items, k, skill, least):
    kind = coverage.Labels(k, skill, least)
    cell = coverage.Cell(items, "", kind.true, lambda rng: kind.scored(rng, items))
    assert len(hold(coverage, cell, 100)) == 6


@pytest.mark.parametrize(("items", "k", "presence", "skill", "spread"), SEGMENT)
def test_scores_of_masks(coverage, items, k, presence, skill, spread):
    kind = coverage.Masks(k, presence, skill, spread)
    cell = coverage.Cell(items, "", kind.true, lambda rng: kind.meter(rng, items).scores())
    assert len(hold(coverage, cell, 200)) == 3


@pytest.mark.parametrize(("items", "k", "rate", "skill"), DETECT)
def test_scores_of_boxes(coverage, items, k, rate, skill):
    """Also with six boxes a class, where average precision is biased by more than its deviation."""
    kind = coverage.Boxes(k, rate, skill)
    cell = coverage.Cell(items, "", kind.true, lambda rng: kind.meter(rng, items).scores())
    assert len(hold(coverage, cell, 60)) == 2


@pytest.mark.parametrize(("items", "tail"), REGRESS)
def test_scores_of_numbers(coverage, items, tail):
    """Not of 20 items with outliers: one set in eight shows none of them, and no interval can know of them."""
    kind = coverage.Values(tail)
    cell = coverage.Cell(items, "", kind.true, lambda rng: kind.meter(rng, items).scores())
    assert len(hold(coverage, cell, 300)) == 4


def test_an_interval_that_is_too_narrow_is_found(coverage):
    """The normal interval of a loss, which a few sure mistakes make: held in under 80 % of sets."""
    kind = coverage.Answers(2, 8.0, 2.5)

    def normal(rng):
        probs, truth, _ = kind.drawn(rng, 20)
        losses = -np.log(probs[np.arange(20), truth].clip(1e-12))
        half = 1.96 * float(losses.std(ddof=1)) / 20**0.5
        value = float(losses.mean())
        return {"loss": Interval(value, value - half, value + half)}

    with pytest.raises(AssertionError):
        hold(coverage, coverage.Cell(20, "", kind.true, normal), 60)
