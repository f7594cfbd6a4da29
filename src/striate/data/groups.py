"""Which pictures belong together, so that a split keeps them on one side: of a patient, a day, a camera.

Or which split they are in: a table whose column says train, val, test or none assigns instead of grouping.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from striate.data import tables
from striate.data.files import expanded, shown
from striate.data.layouts.lookup import Lookup
from striate.data.listing import ASSIGNED
from striate.data.sources import I64
from striate.errors import ArgumentError, DataError

RULES = "stratified, folder, name:PATTERN or FILE.csv:COLUMN"


def check_rule(rule: str) -> None:
    """Refuse a rule that cannot be read.

    Raises:
        ArgumentError: naming the rule.
    """
    kind, colon, rest = rule.partition(":")
    if rule in ("stratified", "folder") or _of_table(rule):
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


def _of_table(rule: str) -> tuple[Path, str] | None:
    """The table and the column of a rule that names them."""
    path, colon, column = rule.rpartition(":")
    if colon and path.lower().endswith(tables.SUFFIXES):
        return Path(path), column
    return (Path(rule), "") if rule.lower().endswith(tables.SUFFIXES) else None


def absolute(rule: str) -> str:
    """The same rule wherever it is read from."""
    found = _of_table(rule)
    return rule if found is None else f"{expanded(found[0]).absolute()}:{found[1]}"


@dataclass(frozen=True)
class Column:
    """A column of a table that a rule names: a word for each item, and the SHA-256 of the table by its path."""

    words: tuple[str, ...]
    table: str
    column: str
    sha256: str

    @property
    def assigns(self) -> bool:
        """Whether the words are train, val, test and none, and not names of groups."""
        found = {word.lower() for word in self.words}
        return found <= ASSIGNED.keys() and "train" in {ASSIGNED[word] for word in found}

    def splits(self) -> list[str]:
        """The split of each item; "" for none."""
        return [ASSIGNED[word.lower()] for word in self.words]


def column(names: Sequence[str], rule: str) -> Column | None:
    """What the table of a rule says of each item; None where the rule names no table.

    Raises:
        DataError: the table cannot be read, has no such column, or says nothing or two things about an item.
    """
    found = _of_table(rule)
    if found is None:
        return None
    path, wanted = found
    try:
        table = tables.read(expanded(path))
    except DataError as error:
        reason = str(error).partition("cannot be opened: ")[2] or error
        raise DataError(
            f"split={rule}: the table cannot be read ({reason}); expected a CSV file whose first column names the files"
        ) from None
    header = table.rows[0].cells if table.rows else ()
    k = tables.column(header, wanted, str(path))
    words = _matched(names, table, k)
    missing = next((name for name, word in zip(names, words, strict=True) if word is None), None)
    if missing is not None:
        raise DataError(f"{path} has no row for {missing}; its first column names the files")
    given = tuple(word for word in words if word is not None)
    return Column(given, str(expanded(path).absolute()), header[k], table.sha256)


def _matched(names: Sequence[str], table: tables.Table, k: int) -> list[str | None]:
    """The word of each item; None where no row names it.

    Raises:
        DataError: a row that names two items, or an item with two words.
    """
    lookup = Lookup(names)
    words: dict[str, tuple[str, int]] = {}
    for row in table.rows[1:]:
        found = lookup.find(row.cells[0])
        word = row.cells[k] if k < len(row.cells) else ""
        if len(found) > 1:
            raise DataError(
                f"{table.name} line {row.line}: {shown(row.cells[0])} may be {found[0]} or {found[1]}; write the folder too"
            )
        if found and words.setdefault(found[0], (word, row.line))[0] != word:
            first, line = words[found[0]]
            raise DataError(
                f"{table.name}: lines {line} and {row.line} say {shown(first)} and {shown(word)} of {found[0]}"
            )
    return [words[name][0] if name in words else None for name in names]


def groups(
    names: Sequence[str],
    rule: str,
    twins: I64,
    *,
    column: Column | None = None,
    known: Mapping[str, str] | None = None,
) -> I64:
    """A group number for each picture [N]; twins, and twins of members, are in one group.

    Args:
        names: of the pictures, with their folders.
        rule: "stratified" (twins alone), "folder" (the one a picture lies in, below its class), "name:PATTERN"
            (what a regular expression finds in the name, its first bracket if it has one) or
            "FILE.csv:COLUMN" (a table whose first column names the files).
        twins: a number for each picture that pictures of the same content share.
        column: of the table that the rule names.
        known: groups that the data state themselves, by name.

    Raises:
        DataError: a picture whose group is not to be found.
    """
    together = twins if not known else joined(_codes([known[name] for name in names]), twins)
    if rule == "stratified":
        return together
    if rule == "folder":
        found: Sequence[str] = _folders(names)
    elif column is not None:
        found = column.words
    else:
        found = _matches(names, rule.partition(":")[2])
    return joined(_codes(found), together)


def _codes(words: Sequence[str]) -> I64:
    return np.unique(np.array(words, np.str_), return_inverse=True)[1]


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


def joined(one: I64, other: I64) -> I64:
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
