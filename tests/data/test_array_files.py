"""idx, npz and CIFAR files: sound ones, and each way to be unsound."""

import gzip
import pickle
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data.layouts import cifar
from striate.errors import ArgumentError, DataError


def refused(path: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.open(path)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dot", [True, False])
def test_the_four_idx_files(cache, tmp_path, idx_files, zipped, dot):
    idx_files(tmp_path / "m", zipped=zipped, dot=dot)
    opened = data.open(tmp_path / "m")
    assert (opened.layout, opened.classes) == ("idx files", ("0", "1", "2"))
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 20, "test": 10}
    train = opened.arrays("train")
    expected = np.random.default_rng(3).integers(0, 256, (20, 6, 5), dtype=np.uint8)
    assert (train.inputs[..., 0] == expected).all()
    assert np.asarray(train.inputs).flags.writeable
    assert np.asarray(train.targets).tolist() == [i % 3 for i in range(20)]
    assert list(train.names)[:2] == ["train/0", "train/1"]
    assert (opened.color, opened.native_size) == ("grey", (6, 5))


def test_idx_files_that_do_not_fit(cache, tmp_path, idx_files):
    root = tmp_path / "m"
    idx_files(root)
    (root / "t10k-labels-idx1-ubyte.gz").rename(root / "away")
    assert refused(root) == f"{root} has no file with the test labels beside its other idx files"
    (root / "away").rename(root / "t10k-labels-idx1-ubyte.gz")
    labels = root / "train-labels-idx1-ubyte.gz"
    whole = gzip.decompress(labels.read_bytes())
    labels.write_bytes(gzip.compress(whole[:7] + b"\x13" + whole[8:-1]))
    assert refused(root) == "train has 20 pictures but 19 labels"
    labels.write_bytes(gzip.compress(whole[:-5]))
    assert refused(root) == f"{labels} is truncated: 15 of 20 values"
    labels.write_bytes(gzip.compress(whole)[:-9])
    assert refused(root).startswith(f"{labels} cannot be read (")
    labels.write_bytes(gzip.compress(whole + b"more"))
    assert refused(root) == f"{labels} holds more than the 20 values that it states"
    labels.write_bytes(b"no gzip")
    assert refused(root).startswith(f"{labels} cannot be read (Not a gzipped file")
    labels.write_bytes(gzip.compress(b"hello world"))
    assert refused(root) == f"{labels} is no idx file of bytes with 1 or 3 axes"
    labels.write_bytes(gzip.compress(whole[:4] + b"\xff" * 4))
    labels_huge = bytes((0, 0, 8, 3)) + b"\xff" * 12
    labels.write_bytes(gzip.compress(labels_huge))
    assert "the limit is 17,179,869,184" in refused(root)
    assert (
        refused(labels) == f"{labels} is one of the four idx files; give the folder that holds them"
    )


def test_labels_of_test_out_of_range(cache, tmp_path, idx_files):
    root = tmp_path / "m"
    idx_files(root, zipped=False)
    labels = root / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x09")
    assert refused(root) == "test has the label 9, which train has not: labels out of range"


def arrays(path: Any, x: np.ndarray, y: Any = (0, 1, 0, 1, 0, 1), **more: Any) -> Any:
    np.savez(path, x_train=x, y_train=np.array(y), x_test=x, y_test=np.array(y), **more)
    return path


@pytest.mark.parametrize(
    ("values", "golden"),
    [
        (np.array([0, 128, 255], np.uint8), [0, 128, 255]),
        (np.array([0, 128, 255], np.int64), [0, 128, 255]),
        (np.array([0, 0.5, 1], np.float32), [0, 127.5, 255]),
        (np.array([0, 32768, 65535], np.uint16), [0, 32768 / 257, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_each_type_of_array(cache, tmp_path, values, golden):
    x = np.tile(values, (6, 2, 1))
    opened = data.open(arrays(tmp_path / "a.npz", x))
    assert opened.layout == "npz arrays"
    assert opened.arrays("train").inputs[0, 0, :, 0].tolist() == pytest.approx(golden)


def test_each_order_of_axes(cache, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    last = data.open(arrays(tmp_path / "a.npz", x)).arrays("test").inputs
    first = data.open(arrays(tmp_path / "b.npz", x.transpose(0, 3, 1, 2))).arrays("test").inputs
    assert np.array_equal(last, x)
    assert np.array_equal(first, x)
    clear = np.concatenate([x, np.zeros((6, 5, 7, 1), np.uint8)], -1)
    assert np.all(
        np.asarray(data.open(arrays(tmp_path / "c.npz", clear)).arrays("test").inputs) == 255
    )


def test_names_of_classes_and_other_keys(cache, tmp_path):
    x = np.zeros((6, 4, 4), np.uint8)
    y = np.array([0, 1, 0, 1, 0, 1])
    named = data.open(arrays(tmp_path / "a.npz", x, classes=np.array(["cat", "dog"])))
    assert named.classes == ("cat", "dog")
    np.savez(
        tmp_path / "b.npz",
        train_images=x,
        train_labels=y[:, None],
        val_images=x,
        val_labels=y[:, None],
    )
    assert list(data.open(tmp_path / "b.npz").splits) == ["train", "val"]
    np.savez(
        tmp_path / "c.npz",
        x=np.arange(96, dtype=np.uint8).reshape(6, 4, 4),
        y=np.array(list("ababab")),
    )
    whole = data.open(tmp_path / "c.npz")
    assert (list(whole.splits), whole.classes) == (["train", "val"], ("a", "b"))
    assert sorted(n for s in whole.splits.values() for n in s.names) == [
        f"all/{i}" for i in range(6)
    ]


@pytest.mark.parametrize(
    ("x", "more", "message"),
    [
        (
            np.zeros((6, 4, 4), np.float32) - 1,
            {},
            "x_train is float32 with values from -1.0 to -1.0, expected uint8",
        ),
        (
            np.full((6, 4, 4), np.nan),
            {},
            "x_train is float64 with values from nan to nan, expected uint8",
        ),
        (
            np.full((6, 4, 4), 300),
            {},
            "x_train is int64 with values from 300 to 300, expected uint8",
        ),
        (
            np.zeros((6, 4)),
            {},
            r"x_train is [6, 4], expected [N, H, W], [N, H, W, C] or [N, C, H, W]",
        ),
        (np.zeros((0, 8, 8)), {}, r"x_train is [0, 8, 8]: no pictures"),
        (np.full((6, 4, 4), "a"), {}, "x_train is of type <U1, expected uint8"),
        (np.zeros((5, 4, 4)), {}, "train has 5 pictures but 6 labels"),
        (
            np.zeros((6, 4, 4)),
            {"classes": np.array(["one"])},
            "the labels of train run from 0 to 1, expected 0 to 0 for 1 classes",
        ),
        (
            np.zeros((6, 4, 4)),
            {"classes": np.array([1, 2])},
            "classes is int64 [2], expected [K] names",
        ),
    ],
)
def test_arrays_that_do_not_fit(cache, tmp_path, x, more, message):
    assert message in refused(arrays(tmp_path / "a.npz", x, **more))


def test_labels_that_do_not_fit(cache, tmp_path):
    x = np.zeros((6, 4, 4), np.uint8)
    halves = np.eye(2)[[0, 1, 0, 1, 0, 1]] / 2
    assert refused(arrays(tmp_path / "a.npz", x, halves)) == (
        "the labels of train are float64 [6, 2], expected one whole number or name for each picture, [N]"
    )
    np.savez(tmp_path / "b.npz", x_train=x)
    assert (
        refused(tmp_path / "b.npz")
        == f"{tmp_path}/b.npz has x_train but no labels for it (y_train)"
    )
    np.savez(tmp_path / "c.npz", hello=x)
    assert refused(tmp_path / "c.npz") == (
        f"{tmp_path}/c.npz holds hello; expected x_train and y_train (and x_test, y_test), or bytes, offsets and labels"
    )


class Payload:
    """Writes a canary when it is unpickled."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.canary, "w")


def test_python_objects_are_never_unpickled(cache, tmp_path):
    canary = tmp_path / "canary"
    x = np.array([Payload(str(canary))] * 6, object)
    assert refused(arrays(tmp_path / "a.npz", x)) == (
        f"{tmp_path}/a.npz: x_train holds Python objects, which are never unpickled; save it again as plain numbers"
    )
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Payload(str(canary))))
    assert refused(tmp_path / "b.npz").startswith(f"{tmp_path}/b.npz is no sound .npz file (")
    assert not canary.exists()


def test_a_damaged_npz_beside_class_folders_does_no_harm(cache, tmp_path, pictures):
    root = pictures({"a": 3, "b": 3})
    (root / "x.npz").write_bytes(b"damaged")
    assert data.open(root).ignored == {"x.npz": 1}


def encoded_file(path: Any, encoded: Any, count: int = 8, seed: int = 0, **changes: Any) -> None:
    blobs = [encoded(seed + i, kind="JPEG") for i in range(count)]
    arrays: dict[str, Any] = {
        "bytes": np.frombuffer(b"".join(blobs), np.uint8),
        "offsets": np.cumsum([0, *map(len, blobs)]),
        "labels": np.arange(count) % 2,
        "classes": np.array(["cat", "dog"]),
    }
    np.savez(path, **(arrays | changes))


def test_encoded_pictures_in_two_files(cache, tmp_path, encoded):
    encoded_file(tmp_path / "x_train_jpeg.npz", encoded)
    encoded_file(tmp_path / "x_test_jpeg.npz", encoded, 4, 50)
    opened = data.open(tmp_path)
    assert opened.layout == "npz of encoded pictures"
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 8, "test": 4}
    assert opened.classes == ("cat", "dog")
    got = opened.arrays("test").inputs
    assert all((got[i] == data.picture(encoded(50 + i, kind="JPEG"))).all() for i in range(4))
    one = data.open(tmp_path / "x_train_jpeg.npz")
    assert {name: len(split) for name, split in one.splits.items()} == {"train": 6, "val": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 5, 3])}, "offsets do not rise from 0 to"),
        ({"offsets": np.arange(9) + 10**9}, "offsets do not rise from 0 to"),
        ({"offsets": np.arange(9) - 5}, "offsets do not rise from 0 to"),
        ({"offsets": np.array([])}, "expected uint8 [total] and whole numbers [N + 1]"),
        ({"bytes": np.zeros(5)}, "expected uint8 [total] and whole numbers [N + 1]"),
        ({"labels": np.arange(3) % 2}, "all has 8 pictures but 3 labels"),
        (
            {"labels": np.arange(8)},
            "the labels of all run from 0 to 7, expected 0 to 1 for 2 classes",
        ),
    ],
)
def test_encoded_pictures_that_do_not_fit(cache, tmp_path, encoded, change, message):
    encoded_file(tmp_path / "a.npz", encoded, **change)
    assert message in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("one", [True, False])
def test_zeros_and_ones_are_several_labels_or_one(cache, tmp_path, one):
    rng = np.random.default_rng(0)
    y = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 20)]
    y[0] = (1, 0, 0) if one else (1, 1, 0)
    arrays: dict[str, Any] = {"x_train": rng.integers(0, 256, (20, 8, 8), np.uint8), "y_train": y}
    np.savez(tmp_path / "a.npz", **arrays)
    opened = data.open(tmp_path / "a.npz", val=0)
    assert opened.task == ("classify" if one else "multilabel")
    assert opened.classes == ("0", "1", "2")
    assert (opened.counts("train") or opened.counts("all")) == y.sum(0).tolist()
    asked = data.open(tmp_path / "a.npz", task="multilabel")
    assert (asked.kind, asked.task) == ("labels", "multilabel")
    np.savez(tmp_path / "a.npz", **arrays, classes=np.array(["a", "b"]))
    assert "2 and 3 columns or names" in refused(tmp_path / "a.npz")


def test_a_file_without_targets_for_a_task_is_refused(cache, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((8, 4, 4), np.uint8), y=np.arange(8) % 2)
    with pytest.raises(DataError, match=r"a\.npz has nothing for task=segment: it is read as npz"):
        data.open(tmp_path / "a.npz", task="segment")


def test_cifar_batches(cache, tmp_path):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    form = cifar.FORMS[0]
    for i, name in enumerate((*form.train, *form.test)):
        rows = [bytes([k % 3]) + planes[k].tobytes() for k in (2 * i, 2 * i + 1)]
        (tmp_path / name).write_bytes(b"".join(rows))
    (tmp_path / form.names["fine"]).write_text("plane\ncar\nbird\n\n")
    opened = data.open(tmp_path)
    assert (opened.layout, opened.classes) == ("cifar batches", ("plane", "car", "bird"))
    assert np.array_equal(opened.arrays("train").inputs, planes[:10].transpose(0, 2, 3, 1))
    assert np.asarray(opened.arrays("test").targets).tolist() == [1, 2]
    (tmp_path / form.test[0]).write_bytes(b"\0" * 3072)
    assert refused(tmp_path) == (
        f"{tmp_path}/test_batch.bin has 3,072 bytes, expected a multiple of 3,073: fetch it again"
    )


def test_batches_of_cifar_that_are_not_there_are_named(cache, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("data_batch_1.bin", "data_batch_4.bin"):
        rows = [bytes([k % 2]) + rng.bytes(3072) for k in range(10)]
        (tmp_path / name).write_bytes(b"".join(rows))
    opened = data.open(tmp_path)
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 16, "val": 4}
    assert opened.note == (
        "not there, so not used: data_batch_2.bin, data_batch_3.bin, data_batch_5.bin, test_batch.bin"
    )


@pytest.mark.parametrize("name", ["test_batch.bin", "test.bin"])
def test_a_test_batch_alone_can_be_evaluated_on(cache, tmp_path, name):
    labels = 1 if name == "test_batch.bin" else 2
    rows = [bytes([k % 2] * labels) + bytes([k] * 3072) for k in range(10)]
    (tmp_path / name).write_bytes(b"".join(rows))
    opened = data.open(tmp_path, val=0)
    assert {split: len(part) for split, part in opened.splits.items()} == {"all": 10}
    assert "not there, so not used: " in opened.note


@pytest.mark.parametrize(
    ("batch", "records", "names", "expected"),
    [
        ("data_batch_2.bin", [[0], [10]], "", "record 2: label 10, expected 0 to 9 for 10 classes"),
        ("test_batch.bin", [[0], [1], [2]], "plane\ncar\n", "record 3: label 2, expected 0 to 1"),
        ("train.bin", [[0, 0], [3, 100]], "", "record 2: label 100, expected 0 to 99 for 100 classes"),
    ],
)  # fmt: skip
def test_a_label_beyond_the_classes_is_named_with_its_file(
    cache, tmp_path, batch, records, names, expected
):
    file = "batches.meta.txt" if len(records[0]) == 1 else "fine_label_names.txt"
    if names:
        (tmp_path / file).write_text(names)
    (tmp_path / batch).write_bytes(b"".join(bytes(each) + bytes(3072) for each in records))
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path}/{batch} {expected}")
    assert said.endswith(f": fetch it again, or give {file} beside it a line for each class")


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickled_batches_are_called_so_and_not_read(cache, tmp_path, protocol):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"labels": [0]}, protocol))
    (tmp_path / "readme.html").write_text("<html>")
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path} holds no pictures among its 2 files")
    for each in (said, refused(tmp_path / "data_batch_1")):
        assert "data_batch_1 is pickled, and pickles are never read" in each
        assert "CIFAR: the binary version" in each


def test_one_batch_of_cifar_is_asked_for_its_folder(cache, tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(bytes([1]) * 3073)
    one = tmp_path / "test_batch.bin"
    assert refused(one) == f"{one} is one of the batches of CIFAR; give the folder that holds them"


def test_the_superclasses_of_cifar_100(cache, tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("train.bin", 12), ("test.bin", 4)):
        rows = [bytes([k % 2, k % 4]) + rng.bytes(3072) for k in range(count)]
        (tmp_path / name).write_bytes(b"".join(rows))
    (tmp_path / "fine_label_names.txt").write_text("apple\nbear\ncrab\ndish\n")
    (tmp_path / "coarse_label_names.txt").write_text("alive\ndead\n")
    fine, coarse = data.open(tmp_path), data.open(tmp_path, layout="cifar:labels=coarse")
    assert (fine.classes, coarse.classes) == (("apple", "bear", "crab", "dish"), ("alive", "dead"))
    assert np.asarray(fine.arrays("test").targets).tolist() == [0, 1, 2, 3]
    assert np.asarray(coarse.arrays("test").targets).tolist() == [0, 1, 0, 1]
    assert np.array_equal(fine.arrays("test").inputs, coarse.arrays("test").inputs)
    with pytest.raises(ArgumentError, match="labels=corse: did you mean coarse"):
        data.open(tmp_path, layout="cifar:labels=corse")


def test_a_file_called_train_bin_of_something_else_is_no_cifar(cache, tmp_path):
    (tmp_path / "train.bin").write_bytes(b"tokens of a text")
    assert "cifar" not in refused(tmp_path)
