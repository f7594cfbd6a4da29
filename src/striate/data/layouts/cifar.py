"""The binary version of CIFAR-10 and CIFAR-100.

https://www.cs.toronto.edu/~kriz/cifar.html

A record is one label byte (CIFAR-100: coarse, then fine) and 3 x 32 x 32 bytes, plane by plane. Setting: labels=coarse, the
20 superclasses of CIFAR-100 in place of its 100 classes. Batches that are not there are named; without a test batch, or
with nothing else, some of the items are held out.
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
    """A set as it is published.

    Attributes:
        train, test: the files of the two parts.
        names: for each label byte, the last one first, its name and its file of class names.
        classes: how many each label byte tells apart where that file is not there, in the same order.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: dict[str, str]
    classes: tuple[int, ...]

    @property
    def batches(self) -> tuple[str, ...]:
        """The files of both parts."""
        return self.train + self.test

    @property
    def labels(self) -> int:
        """Label bytes of a record."""
        return len(self.names)


FORMS = (
    Form(
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        {"fine": "batches.meta.txt"},
        (10,),
    ),
    Form(
        ("train.bin",),
        ("test.bin",),
        {"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"},
        (100, 20),
    ),
)
# A name that says by itself what a file is; a train.bin may be anything.
NAMES = frozenset(FORMS[0].batches)


def find(tree: Tree) -> Candidate | None:
    """The binary batches of the training part and of the test part, of which the folder holds some.

    Raises:
        ArgumentError: labels= names none of those of the batches.
    """
    root, names = tree.root, set(tree.files())
    form = next((form for form in FORMS if names & {*form.batches}), None)
    if form is None or not _are_batches(root, form, sorted(names & {*form.batches})):
        return None
    kind = tree.options.settings.get("labels", "fine")
    if kind not in form.names:
        raise ArgumentError(f"layout=cifar:labels={kind}: {nearest(kind, form.names)}")
    batches = [name for name in form.batches if name in names]
    count = sum((root / name).stat().st_size // (form.labels + _VALUES) for name in batches)
    uses = frozenset({*batches, *form.names.values()} & names)
    why = f"{' and '.join(dict.fromkeys((batches[0], batches[-1])))} {'are' if len(batches) > 1 else 'is'} there"
    return Candidate("cifar batches", count, uses, lambda: _read(root, form, batches, kind), why)


def _are_batches(root: Path, form: Form, names: Sequence[str]) -> bool:
    """Whether files are what their names say: those called train.bin or test.bin alone hold whole records, or both are there."""
    return (
        not NAMES.isdisjoint(names)
        or len(names) > 1
        or (root / names[0]).stat().st_size % (form.labels + _VALUES) == 0
    )


def _read(root: Path, form: Form, batches: Sequence[str], kind: str) -> Listing:
    labels, lacking = form.labels, [name for name in form.batches if name not in batches]
    which = list(form.names).index(kind)
    byte, file = labels - 1 - which, form.names[kind]
    names = _names(root / file)
    count = len(names) if names else form.classes[which]
    held: dict[str, list[U8]] = {}
    both = {name in form.test for name in batches} == {True, False}
    for name in batches:
        split = ("test" if name in form.test else "train") if both else WHOLE
        batch = _records(root / name, labels)
        _check_labels(root / name, batch[:, byte], count, file)
        held.setdefault(split, []).append(batch)
    records = {split: np.concatenate(parts) for split, parts in held.items()}
    classes, numbers = coded({split: each[:, byte] for split, each in records.items()}, names)
    parts = {
        split: Part(
            numbered(split, len(each)), Labels(numbers[split]), Pixels(_pixels(each[:, labels:]))
        )
        for split, each in records.items()
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


def _check_labels(path: Path, codes: U8, classes: int, names: str) -> None:
    wrong = np.flatnonzero(codes >= classes)
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"{shown(path)} record {first + 1:,}: label {codes[first]}, expected 0 to {classes - 1} for {classes} classes: fetch "
            f"it again, or give {names} beside it a line for each class"
        )


def _pixels(planes: U8) -> U8:
    return np.ascontiguousarray(planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _names(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    return [shown(line) for line in path.read_text("utf-8", "replace").split("\n") if line.strip()]
