"""Data sets with a name: `digits` comes with scikit-learn; `mnist` and `cifar10` are looked up, else fetched."""

import gzip
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.data import layouts
from striate.data.files import shown
from striate.data.index import WHOLE, Listing, Options, Part, numbered
from striate.data.layouts import idx
from striate.data.modes import U8
from striate.data.sources import Pixels
from striate.data.targets import Labels
from striate.download import FetchError, fetch
from striate.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Published:
    """Where a data set is published: its address, and each file with its MD5 as published."""

    address: str
    files: Mapping[str, str]


PUBLISHED = {
    # The mirror that PyTorch keeps; the original address asks for a password.
    "mnist": Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    # https://www.cs.toronto.edu/~kriz/cifar.html, the binary version: the others are pickles.
    "cifar10": Published(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    ),
}
NAMES = ("digits", *PUBLISHED)


def read(name: str, options: Options, published: Mapping[str, Published] = PUBLISHED) -> Listing:
    """A data set by its name.

    Raises:
        ArgumentError: a layout of what comes with the package, which is read in one way.
        DataError: it is nowhere here and cannot be fetched; the message says where to put which files. Or it has no
            targets for the task that was asked for.
    """
    if name == "digits" and options.layout:
        raise ArgumentError(
            f"layout={options.layout}: digits comes with the package and is read in one way; leave layout out"
        )
    listing = _digits() if name == "digits" else _looked_up(name, options, published[name])
    if options.task not in (None, listing.task, layouts.RECONSTRUCT):
        raise DataError(
            f"{name} has nothing for task={options.task}: it is for {listing.task}, or {layouts.RECONSTRUCT}"
        )
    note = (
        f"./{name} is a folder here; {name} alone means the built-in data"
        if Path(name).exists()
        else ""
    )
    return replace(listing, layout=f"built-in {name}", note=note)


def _digits() -> Listing:
    """1,797 digits of 8 x 8; their values 0..16 become 0..255."""
    table = _digits_table()
    images: U8 = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    part = Part(
        numbered("digits", len(images)), Labels(table[:, -1].astype(np.int64)), Pixels(images)
    )
    return Listing("digits", tuple("0123456789"), {WHOLE: part})


def _digits_table() -> npt.NDArray[np.float64]:
    """64 values and the label of each digit, [1797, 65].

    The file is read where it lies, because importing scikit-learn takes longer than training on it.
    """
    package = importlib.util.find_spec("sklearn")
    home = Path(package.origin).parent if package and package.origin else Path()
    table = home / "datasets" / "data" / "digits.csv.gz"
    if table.is_file():
        with gzip.open(table, "rt") as file:
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    return np.column_stack([values, labels])


def _looked_up(name: str, options: Options, published: Published) -> Listing:
    named = os.environ.get("STRIATE_DATA")
    if named and (Path(named) / name).is_dir():
        return layouts.read(Path(named) / name, options)
    downloads = options.store.folder / "downloads" / name
    for folder in (Path(named) if named else downloads, downloads):
        if all((folder / file).is_file() for file in published.files):
            return _opened(folder, published, options)
    try:
        for file, checksum in published.files.items():
            fetch(published.address + file, downloads / file, f"md5:{checksum}")
    except FetchError as error:
        where = f"$STRIATE_DATA ({shown(named) if named else 'not set'}) and {shown(downloads)}"
        raise DataError(
            f"{name} is not in {where} and cannot be fetched ({error.reason}): put "
            f"{', '.join(published.files)} from {published.address} into the latter, or name their folder in $STRIATE_DATA"
        ) from error
    return _opened(downloads, published, options)


def _opened(folder: Path, published: Published, options: Options) -> Listing:
    """Read exactly the published files, whatever else the folder holds."""
    if len(published.files) == 1:
        return layouts.read(folder / next(iter(published.files)), options)
    return idx.read_files(
        folder, {role: name for name in published.files for role in idx.roles(name)}
    )
