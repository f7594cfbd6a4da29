"""The real data sets."""

import numpy as np
import pytest

from striate import data


def counts(opened: data.Data) -> dict[str, int]:
    return {name: len(split) for name, split in opened.splits.items()}


def test_mnist(shared, cache):
    opened = data.open(shared / "data" / "mnist")
    assert (counts(opened), opened.color, opened.native_size) == (
        {"train": 60_000, "test": 10_000},
        "grey",
        (28, 28),
    )
    train = opened.arrays("train")
    assert np.bincount(train.targets).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert np.asarray(train.inputs).mean() / 255 == pytest.approx(0.1307, abs=1e-4)


def test_cifar_in_its_fullest_form(shared, cache):
    opened = data.open(shared / "data" / "cifar10")
    assert opened.layout == "npz of encoded pictures"
    assert counts(opened) == {"train": 50_000, "test": 10_000}
    assert opened.ignored == {"cifar10_decoded_10k.npz": 1, "original_png/": 200}
    assert opened.classes[:3] == ("airplane", "automobile", "bird")


@pytest.mark.slow
def test_cifar_decoded_is_the_ready_made_array(shared, cache):
    """The ready-made arrays were decoded from the same JPEGs by somebody else."""
    ours = data.open(shared / "data" / "cifar10").arrays("test").inputs
    theirs = (
        data.open(shared / "data" / "cifar10" / "cifar10_decoded_10k.npz").arrays("test").inputs
    )
    known = {image.tobytes() for image in ours}
    assert sum(image.tobytes() in known for image in theirs) == len(theirs) == 2000


def test_lossless_pngs_of_cifar(shared, cache):
    opened = data.open(shared / "data" / "cifar10" / "original_png")
    assert (len(opened), opened.native_size) == (200, (32, 32))
    assert opened.problems == opened.duplicates == ()


def test_clothing(shared, cache):
    opened = data.open(shared / "data" / "clothing")
    assert opened.layout == "split folders"
    assert counts(opened) == {"train": 450, "val": 120, "test": 120}
    assert opened.classes == (
        "dress",
        "hat",
        "longsleeve",
        "outwear",
        "pants",
        "shirt",
        "shoes",
        "shorts",
        "skirt",
        "t-shirt",
    )
    assert opened.native_size is None
    assert opened.duplicates == ()
    assert opened.sizes["height"]["max"] == 936
    val = opened.arrays("val", size=(64, 64))
    assert val.inputs.shape == (120, 64, 64, 3)


def test_masks_and_boxes_are_told_apart(shared, cache):
    membranes = data.open(shared / "data" / "isbi_membrane")
    assert (membranes.task, membranes.kind, membranes.classes) == ("segment", "mask", ("0", "255"))
    cells = data.open(shared / "data" / "bccd")
    assert (cells.task, cells.kind) == ("detect", "boxes")


@pytest.mark.parametrize(
    ("name", "modality", "task"),
    [
        ("graph_series/montevideo_bus.npz", "window", "forecast"),
        ("graph_series/chickenpox.json", "window", "forecast"),
        ("free_spoken_digits", "sound", "classify"),
        ("volumes/modelnet_chair_monitor_32.npz", "volume", "classify"),
    ],
)
def test_what_is_no_picture_is_understood(shared, cache, name, modality, task):
    found = data.open(shared / "data" / name)
    assert (found.modality, found.task) == (modality, task)
