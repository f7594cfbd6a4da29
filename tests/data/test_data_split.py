"""Which pictures are held out: shares, seeds, twins."""

import numpy as np
import pytest

from striate import data
from striate.data import split
from striate.data.sources import Pixels
from striate.errors import DataError

CLASSES = ("a", "b", "c")


def held_out(labels, groups=None, *, val=0.2, seed=0):
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    train, held = split.stratified(
        labels, groups, classes=CLASSES[: labels.max() + 1], val=val, seed=seed
    )
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert not set(groups[train]) & set(groups[held])
    return held


@pytest.mark.parametrize("val", [0.01, 0.2, 0.5, 0.99])
def test_every_class_gives_its_share_and_keeps_one(val):
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    counts = np.bincount(labels[held_out(labels, val=val)], minlength=3)
    for count, size in zip(counts, (100, 10, 2), strict=True):
        assert count == min(max(round(size * val), 1), size - 1)


def test_the_seed_decides_alone():
    labels = np.repeat([0, 1], 50)
    assert (held_out(labels, seed=1) == held_out(labels, seed=1)).all()
    assert (held_out(labels, seed=1) != held_out(labels, seed=2)).any()


@pytest.mark.parametrize("seed", range(20))
def test_twins_stay_together_also_across_classes(seed):
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 3, 60))
    groups = rng.integers(0, 25, 60)
    held = held_out(labels, groups, seed=seed)
    assert (np.bincount(labels[held], minlength=3) > 0).all()


def test_a_class_of_large_groups_still_gives_one():
    assert held_out([0] * 8 + [1] * 2, [0, 0, 0, 0, 1, 1, 1, 1, 2, 3]).tolist()[:4] in (
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    )


def test_a_class_that_cannot_be_split():
    with pytest.raises(
        DataError,
        match=r"^the class a has 3 pictures that count as one \(copies, or kept together by split=\); a split needs at least 2",
    ):
        held_out([0, 0, 0, 1, 1], [0, 0, 0, 1, 2])
    with pytest.raises(
        DataError,
        match=r"^the class [abc] cannot be split: all its pictures are copies of others, or kept",
    ):
        held_out([0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 2])


def test_twins_are_found_by_content():
    images = np.zeros((5, 4, 4, 1), np.uint8)
    images[1, 0, 0] = images[2, 1, 1] = images[4, 0, 0] = (
        9  # 2 has the same sum, not the same pixels
    )
    assert split.twins(Pixels(images)).tolist() == [0, 1, 2, 0, 1]


def test_duplicates_never_cross_our_split(cache, pictures):
    root = pictures({"a": 30, "b": 30})
    for i in range(10):
        (root / "a" / f"copy{i}.png").write_bytes((root / "a" / f"{i:03}.png").read_bytes())
    for seed in range(5):
        opened = data.open(root, seed=seed)
        assert len(opened.duplicates) == 10
        assert opened.leaks == ()
        assert opened.counts("val") == [8, 6]
