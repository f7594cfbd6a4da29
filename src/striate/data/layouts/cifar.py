"""The binary version of CIFAR-10 and CIFAR-100.

https://www.cs.toronto.edu/~kriz/cifar.html

A record is one label byte (CIFAR-100: coarse, then fine) and 3 x 32 x 32 bytes, plane by plane.
The other versions of the same site hold pickles and are not read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data import files
from striate.data.files import shown
from striate.data.index import Candidate, Listing, Part, coded, numbered
from striate.data.layouts.tree import Tree
from striate.data.modes import U8
from striate.data.sources import Pixels
from striate.data.targets import Labels
from striate.errors import DataError

_SIDE = 32
_VALUES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class Form:
    """Files of the training and the test part, label bytes (the last one counts), file of class names."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int
    names: str


FORMS = (
    Form(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        1,
        "batches.meta.txt",
    ),
    Form(("train.bin",), ("test.bin",), 2, "fine_label_names.txt"),
)


def find(tree: Tree) -> Candidate | None:
    """The binary batches, if the folder holds all of them."""
    root, names = tree.root, set(tree.files())
    form = next((form for form in FORMS if names.issuperset((*form.train, *form.test))), None)
    if form is None:
        return None
    batches = (*form.train, *form.test)
    count = sum((root / name).stat().st_size // (form.labels + _VALUES) for name in batches)
    uses = frozenset({*batches, form.names} & names)
    why = f"{form.test[0]} and the others of its kind are there"
    return Candidate("cifar batches", count, uses, lambda: _read(root, form), why)


def _read(root: Path, form: Form) -> Listing:
    labels = form.labels
    records = {
        split: np.concatenate([_records(root / name, labels) for name in names])
        for split, names in (("train", form.train), ("test", form.test))
    }
    codes = {split: held[:, labels - 1] for split, held in records.items()}
    classes, numbers = coded(codes, _names(root / form.names))
    parts = {
        split: Part(
            numbered(split, len(held)), Labels(numbers[split]), Pixels(_pixels(held[:, labels:]))
        )
        for split, held in records.items()
    }
    return Listing("cifar batches", classes, parts)


def _records(path: Path, labels: int) -> U8:
    data = np.frombuffer(files.read(path), np.uint8)
    if not len(data) or len(data) % (labels + _VALUES):
        raise DataError(
            f"{shown(path)} has {len(data):,} bytes, expected a multiple of {labels + _VALUES:,}: fetch it again"
        )
    return data.reshape(-1, labels + _VALUES)


def _pixels(planes: U8) -> U8:
    return np.ascontiguousarray(planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _names(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    return [shown(line) for line in path.read_text("utf-8", "replace").split("\n") if line.strip()]
