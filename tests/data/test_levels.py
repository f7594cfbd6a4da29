"""The range of values belongs to the set: 12 bits in 16, floats, counts of 32 bits, arrays of another type in a split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import data
from striate.data import levels
from striate.errors import ArgumentError, DataError


def deep(root: Path, tops: list[float], dtype: Any, low: float = 0, suffix: str = ".tif") -> Path:
    """Pictures of two classes, ramps from low to these values in turn."""
    for label in "ab":
        for k in range(8):
            path = root / label / f"{k}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            ramp = np.roll(np.linspace(low, tops[k % len(tops)], 64), k + 8 * (label == "b"))
            ramp = ramp.reshape(8, 8)
            Image.fromarray(ramp.astype(dtype)).save(path)
    return root


@pytest.mark.parametrize(
    ("dtype", "low", "tops", "expected"),
    [
        (np.uint16, 0, [4095], (0, 4095)),
        (np.uint16, 0, [4000, 100], (0, 4095)),
        (np.uint16, 100, [400, 300], (0, 511)),
        (np.uint16, 0, [60000], (0, 65535)),
        (np.uint16, 0, [200], (0, 255)),
        (np.int32, 0, [200, 100_000], (0, 131_071)),
        (np.int32, -50, [50], (-50, 50)),
        (np.float32, 0, [1, 0.5], (0, 1)),
        (np.float32, 0, [1, 200], (0, 255)),
        (np.float32, -3, [5, 9], (-3, 9)),
        (np.float32, 1000, [2000], (1000, 2000)),
    ],
)
def test_all_pictures_of_a_set_share_one_range(cache, tmp_path, dtype, low, tops, expected):
    opened = data.open(deep(tmp_path / "set", tops, dtype, low), val=0.25)
    assert opened.origin["levels"] == list(expected)
    assert (
        f"values from {expected[0]:g} to {expected[1]:g} become 0 to 255, in all pictures alike"
        in opened.note
    )
    for split in opened.splits:
        arrays = opened.arrays(split)
        for name, image in zip(arrays.names, arrays.inputs, strict=True):
            top = tops[int(Path(name).stem) % len(tops)]
            want = (
                255
                * (np.array([low, top], dtype).astype(float) - expected[0])
                / (expected[1] - expected[0])
            )
            assert np.abs([image.min(), image.max()] - want).max() <= 1


def test_a_16_bit_set_of_few_levels_keeps_them_apart(cache, tmp_path):
    opened = data.open(deep(tmp_path / "set", [400], np.uint16, 100), val=0)
    assert len(np.unique(opened.arrays("all").inputs[0])) == 64


def test_the_range_can_be_said(cache, tmp_path):
    root = deep(tmp_path / "set", [4095], np.uint16)
    opened = data.open(root, val=0, levels=(0, 65535))
    top = np.asarray(opened.arrays("all").inputs).max()
    assert top == pytest.approx(255 * 4095 / 65535)
    assert opened.as_dict()["warnings"] == [
        "the values use 0 to 4095 of a range from 0 to 65535 alone: levels= sets another"
    ]
    assert "note: the values use 0 to 4095" in opened.as_text()
    clipped = np.asarray(data.open(root, val=0, levels=(1000, 2000)).arrays("all").inputs)
    assert (clipped.min(), clipped.max()) == (0, 255)


@pytest.mark.parametrize("given", [(5, 5), (3, 1), "ab", 7, (0, float("nan"))])
def test_no_range(cache, tmp_path, given):
    with pytest.raises(
        ArgumentError, match=r"^levels: got .*, expected two numbers such as \(0, 4095\)$"
    ):
        data.open(deep(tmp_path / "set", [4095], np.uint16), levels=given)


def test_the_range_is_measured_where_is_trained_and_recorded(cache, tmp_path):
    deep(tmp_path / "set" / "train", [1000], np.uint16)
    deep(tmp_path / "set" / "test", [3000], np.uint16)
    opened = data.open(tmp_path / "set")
    assert opened.origin["levels"] == [0, 1023]
    assert (np.asarray(opened.arrays("test").inputs).max((1, 2, 3)) == 255).all()
    deep(tmp_path / "set" / "train", [60_000], np.uint16)
    again = data.again(opened.origin)
    assert again.origin["levels"] == [0, 1023]


@pytest.mark.parametrize(
    ("top", "dtype", "range_"),
    [(4095, np.uint16, "0,4095"), (0.5, np.float32, "0,1"), (60_000, np.uint16, "")],
)
def test_a_split_that_is_deeper_than_what_is_trained_on_is_named(
    cache, tmp_path, top, dtype, range_
):
    deep(tmp_path / "set" / "train", [200], np.uint8, suffix=".png")
    deep(tmp_path / "set" / "test", [top], dtype)
    opened = data.open(tmp_path / "set")
    assert opened.levels is None
    said = (
        f"test has pictures of more than 8 bits, whose values use 0 to {top:g}, and train has none: each is read by its own "
        f"type and values; levels={range_} gives them one range"
    )
    assert opened.warnings == ((said,) if range_ else ())
    given = data.open(tmp_path / "set", levels=(0, top))
    assert (given.levels, given.warnings) == ((0, top), ())
    assert np.asarray(given.arrays("test").inputs).max() == pytest.approx(255, abs=0.1)


def test_pictures_of_8_bits_have_no_range(cache, tmp_path, pictures):
    opened = data.open(pictures({"a": 4, "b": 4}))
    assert opened.origin["levels"] is None
    assert opened.note == ""


def test_values_that_are_no_numbers(cache, tmp_path):
    root = deep(tmp_path / "set", [1], np.float32)
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(root / "a" / "0.tif")
    opened = data.open(root, val=0)
    assert [(p.file, p.reason) for p in opened.problems] == [
        ("a/0.tif", "holds values that are no finite numbers")
    ]


def arrays(path: Path, train: Any, test: Any) -> Path:
    y = np.arange(6) % 2
    np.savez(path, x_train=train, y_train=y, x_test=test, y_test=y)
    return path


RAMP = np.tile(np.arange(0, 256, 51), (6, 6, 1))


@pytest.mark.parametrize(
    ("train", "test", "golden"),
    [
        (RAMP.astype(np.uint16), RAMP.astype(np.uint16), [0, 51, 102, 153, 204, 255]),
        (RAMP.astype(np.uint8), RAMP.astype(np.uint16), [0, 51, 102, 153, 204, 255]),
        (RAMP.astype(np.uint16), RAMP.astype(np.uint8), [0, 51, 102, 153, 204, 255]),
        (
            (RAMP * 16).astype(np.uint16),
            (RAMP * 16).astype(np.uint16),
            [255 * 16 * k * 51 / 4095 for k in range(6)],
        ),
        (
            (RAMP * 257).astype(np.uint16),
            (RAMP * 257).astype(np.uint16),
            [0, 51, 102, 153, 204, 255],
        ),
        ((RAMP * 257).astype(np.uint16), RAMP.astype(np.uint16), [k * 51 / 257 for k in range(6)]),
    ],
)
def test_arrays_share_the_range_of_train(cache, tmp_path, train, test, golden):
    opened = data.open(arrays(tmp_path / "a.npz", train, test))
    assert opened.arrays("test").inputs[0, 0, :, 0].tolist() == pytest.approx(golden)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (RAMP.astype(np.uint8), (RAMP * 257).astype(np.uint16)),
        (RAMP.astype(np.uint8), RAMP / 255),
        (RAMP / 255, RAMP.astype(np.uint8)),
    ],
)
def test_arrays_of_other_ranges_in_a_split_are_refused(cache, tmp_path, train, test):
    with pytest.raises(
        DataError,
        match=r"a\.npz: x_test is \w+ with values from .*, x_train \w+ from .*: save both alike",
    ):
        data.open(arrays(tmp_path / "a.npz", train, test))


def test_ranges_of_whole_numbers_are_those_of_bits():
    assert [levels.around(0, top, whole=True)[1] for top in (0, 1, 255, 256, 1023, 65535)] == [
        255, 255, 255, 511, 1023, 65535,
    ]  # fmt: skip


def test_a_run_predicts_in_the_range_that_it_was_trained_in(cache, tmp_path):
    root = deep(tmp_path / "set", [4000, 3000], np.uint16)
    run = striate.train(root, "linear", out=tmp_path, epochs=1, size=8, val=0.25, plan="default")
    assert run.config.preprocessing.opening["levels"] == (0, 4095)
    again = striate.Run.load(run.path)
    assert again.config.preprocessing == run.config.preprocessing
    held = again.open_data().splits["val"]
    scores = {Path(p.file).name: p for p in again.predict([root / name for name in held.names])}
    assert not any(p.error for p in scores.values())
    dark = tmp_path / "dark.tif"  # alone it would be stretched, or taken for 8 bits
    Image.fromarray(np.full((8, 8), 200, np.int32)).save(dark)
    same = tmp_path / "same.png"
    Image.fromarray(np.full((8, 8), 200, np.uint16)).save(same)
    first, second = again.predict([dark, same])
    assert first.answer == second.answer
    evaluated = again.evaluate(deep(tmp_path / "other", [100], np.uint16))
    assert evaluated.items == 16


@pytest.mark.parametrize(
    ("top", "dtype", "expected"),
    [
        (4095, np.uint16, "its values, 0 to 4095, are read in the range from 0 to 65535;"),
        (65_000, np.uint16, ""),
        (200, np.uint8, ""),
        (0.5, np.float32, "its values, 0 to 0.5, are read in the range from 0 to 1;"),
    ],
)
def test_a_deeper_picture_than_those_that_were_learned_from_is_answered_with_a_note(
    cache, tmp_path, top, dtype, expected
):
    root = deep(tmp_path / "set", [255], np.uint8, suffix=".png")
    settings: dict[str, Any] = {"net": "linear", "size": 8, "epochs": 1, "plan": "default", "health": 0}  # fmt: skip
    run = striate.train(root, out=tmp_path / "runs", **settings)
    ramp = np.linspace(0, top, 64).reshape(8, 8).astype(dtype)
    Image.fromarray(ramp).save(tmp_path / "one.tif")
    (found,) = run.predict(tmp_path / "one.tif")
    note = found.as_dict().get("note", "")
    assert (expected in note, bool(note)) == (True, bool(expected))
    ranged = striate.train(root, out=tmp_path / "ranged", levels=(0, 4095), **settings)
    assert "note" not in next(iter(ranged.predict(tmp_path / "one.tif"))).as_dict()
