"""Which pictures belong together, so that a split keeps them on one side: of a patient, a day, a camera."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from striate.data.sources import I64
from striate.errors import ArgumentError, DataError

RULES = "stratified, folder, name:PATTERN or FILE.csv:COLUMN"


def check_rule(rule: str) -> None:
    """Refuse a rule that cannot be read.

    Raises:
        ArgumentError: naming the rule.
    """
    kind, colon, rest = rule.rpartition(":") if ".csv:" in rule else rule.partition(":")
    if rule in ("stratified", "folder") or kind.endswith(".csv"):
        return
    if kind != "name" or not colon or not rest:
        raise ArgumentError(f"split={rule}: expected {RULES}")
    try:
        re.compile(rest)
    except re.error as error:
        raise ArgumentError(
            f"split={rule}: {rest!r} is no regular expression ({error}); "
            "name:^([^_]+) groups by what stands before the first _"
        ) from None


def groups(names: Sequence[str], rule: str, twins: I64) -> I64:
    """A group number for each picture [N]; twins, and twins of members, are in one group.

    Args:
        names: of the pictures, with their folders.
        rule: "stratified" (twins alone), "folder" (the one a picture lies in, below its class), "name:PATTERN"
            (what a regular expression finds in the name, its first bracket if it has one) or
            "FILE.csv:COLUMN" (a table whose first column names the files).
        twins: a number for each picture that pictures of the same content share.

    Raises:
        DataError: a picture whose group is not to be found.
    """
    if rule == "stratified":
        return twins
    if rule == "folder":
        found = _folders(names)
    elif ".csv:" in rule:
        table, _, column = rule.rpartition(":")
        found = _from_table(names, Path(table), column)
    else:
        found = _matches(names, rule.partition(":")[2])
    return _joined(np.unique(found, return_inverse=True)[1], twins)


def _folders(names: Sequence[str]) -> list[str]:
    parents = [PurePosixPath(name).parts[1:-1] for name in names]
    if not any(parents):
        raise DataError(
            "split=folder: the pictures lie in their class folders themselves; put those that belong "
            "together into folders below them, or use split=name:PATTERN"
        )
    alone = next((name for name, parent in zip(names, parents, strict=True) if not parent), None)
    if alone is not None:
        raise DataError(f"split=folder: {alone} lies in no folder below its class")
    return [parent[-1] for parent in parents]


def _matches(names: Sequence[str], pattern: str) -> list[str]:
    expression = re.compile(pattern)
    found: list[str] = []
    for name in names:
        match = expression.search(PurePosixPath(name).name)
        if match is None:
            raise DataError(f"split=name:{pattern}: nothing in {name} matches")
        found.append(match[1 if expression.groups else 0])
    return found


def _from_table(names: Sequence[str], path: Path, column: str) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            header = rows.fieldnames or []
            if column not in header:
                raise DataError(
                    f"{path} has no column {column!r}; it has {', '.join(header) or 'none'}"
                )
            known = {row[header[0]]: row[column] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"split={path}:{column}: the table cannot be read ({reason}); expected a CSV file whose "
            "first column names the files"
        ) from None
    found: list[str] = []
    for name in names:
        group = known.get(name, known.get(PurePosixPath(name).name))
        if group is None:
            raise DataError(f"{path} has no row for {name}; its first column names the files")
        found.append(group)
    return found


def _joined(one: I64, other: I64) -> I64:
    """The finest groups that hold those of both together."""
    parent = list(range(len(one)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for numbers in (one, other):
        first: dict[int, int] = {}
        for i, number in enumerate(numbers.tolist()):
            parent[root(i)] = root(first.setdefault(number, i))
    return np.array([root(i) for i in range(len(one))], np.int64)
