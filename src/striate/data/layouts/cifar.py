"""The binary version of CIFAR-10 and CIFAR-100.

https://www.cs.toronto.edu/~kriz/cifar.html

A record is one label byte (CIFAR-100: coarse, then fine) and 3 x 32 x 32 bytes, plane by plane. Setting: labels=coarse, the
20 superclasses of CIFAR-100 in place of its 100 classes. Batches that are not there are named; without a test batch some of
the training items are held out.
The other versions of the same site hold pickles and are not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data import files
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Listing, Part, coded, numbered
from striate.data.layouts.tree import Tree
from striate.data.modes import U8
from striate.data.sources import Pixels
from striate.data.targets import Labels
from striate.errors import ArgumentError, DataError, nearest

SETTINGS = ("labels",)
_SIDE = 32
_VALUES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class Form:
    """Files of the training and the test part; for each label byte, the last one first, its name and its file of class names."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: dict[str, str]

    @property
    def labels(self) -> int:
        """Label bytes of a record."""
        return len(self.names)


FORMS = (
    Form(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        {"fine": "batches.meta.txt"},
    ),
    Form(
        ("train.bin",),
        ("test.bin",),
        {"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"},
    ),
)


def find(tree: Tree) -> Candidate | None:
    """The binary batches of the training part, of which the folder holds some, and of the test part.

    Raises:
        ArgumentError: labels= names none of those of the batches.
    """
    root, names = tree.root, set(tree.files())
    form = next((form for form in FORMS if names & {*form.train}), None)
    if form is None or not _are_batches(root, form, sorted(names & {*form.train})):
        return None
    kind = tree.options.settings.get("labels", "fine")
    if kind not in form.names:
        raise ArgumentError(f"layout=cifar:labels={kind}: {nearest(kind, form.names)}")
    batches = [name for name in (*form.train, *form.test) if name in names]
    count = sum((root / name).stat().st_size // (form.labels + _VALUES) for name in batches)
    uses = frozenset({*batches, *form.names.values()} & names)
    why = f"{batches[0]} is there" + (f", and {form.test[0]}" if form.test[0] in names else "")
    return Candidate("cifar batches", count, uses, lambda: _read(root, form, batches, kind), why)


def _are_batches(root: Path, form: Form, names: Sequence[str]) -> bool:
    """Whether files are what their names say: one called train.bin holds whole records, or has the test part beside it."""
    own = form.train[0].startswith("data_batch")
    return (
        own
        or all((root / name).stat().st_size % (form.labels + _VALUES) == 0 for name in names)
        or (root / form.test[0]).is_file()
    )


def _read(root: Path, form: Form, batches: Sequence[str], kind: str) -> Listing:
    labels, lacking = form.labels, [n for n in (*form.train, *form.test) if n not in batches]
    held_out = any(name in batches for name in form.test)
    records = {
        split: np.concatenate([_records(root / name, labels) for name in names if name in batches])
        for split, names in (("train" if held_out else WHOLE, form.train), ("test", form.test))
        if any(name in batches for name in names)
    }
    byte = labels - 1 - list(form.names).index(kind)
    codes = {split: held[:, byte] for split, held in records.items()}
    classes, numbers = coded(codes, _names(root / form.names[kind]))
    parts = {
        split: Part(
            numbered(split, len(held)), Labels(numbers[split]), Pixels(_pixels(held[:, labels:]))
        )
        for split, held in records.items()
    }
    note = f"not there, so not used: {', '.join(lacking)}" if lacking else ""
    return Listing("cifar batches", classes, parts, note=note)


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
