"""Corrections of single items that a person has looked at: fixes.csv, applied when data are opened.

A row an item: `file`, `action` (relabel, drop or regroup) and `value`. Further columns: `was`, the label that the file
was written for, which is checked; `split`, where one name is in several; others are not read. The files of the data stay as they are.

A split of ours is drawn as without the corrections, so that a net trained before and one trained after them hold out
the same items; only `regroup`, which says what belongs together, changes what is drawn.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from striate.data import documents
from striate.data.files import expanded, shown
from striate.data.index import Listing, Part
from striate.data.targets import Labels, MultiLabels, Targets, Values, in_words
from striate.errors import DataError, nearest

ACTIONS = ("relabel", "drop", "regroup")
BETWEEN = "|"  # several labels, or several numbers, of one item
LARGEST = 2**26  # bytes of the file
LISTED = 10  # corrections that a text names


@dataclass(frozen=True)
class Fix:
    """One row: what is done to an item, and the line it stands in."""

    file: str
    action: str
    value: str = ""
    was: str = ""
    split: str = ""
    line: int = 0


@dataclass(frozen=True)
class Fixes:
    """A file of corrections, as it was read.

    Attributes:
        path: of the file, absolute.
        sha256: of its content.
        rows: what it says.
    """

    path: str
    sha256: str
    rows: tuple[Fix, ...]

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return shown(Path(self.path).name)

    def as_dict(self) -> dict[str, Any]:
        """Plain values that `of` reads."""
        return {
            "file": self.path,
            "sha256": self.sha256,
            "rows": [asdict(row) for row in self.rows],
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_dict` wrote down."""
        return cls(kept["file"], kept["sha256"], tuple(Fix(**row) for row in kept["rows"]))

    def changed(self) -> str:
        """A line where the file is another one now; "" where it is the same, or gone."""
        try:
            now = hashlib.sha256(Path(self.path).read_bytes()).hexdigest()
        except OSError:
            return ""
        if now == self.sha256:
            return ""
        return (
            f"{shown(self.path)} changed since the run was trained: the {len(self.rows)} rows that the run recorded are "
            "used, not those of the file"
        )


@dataclass(frozen=True)
class Applied:
    """What was done, a mapping an item: its file, split, and what it was and is."""

    fixes: Fixes
    relabelled: tuple[Mapping[str, Any], ...] = ()
    dropped: tuple[Mapping[str, Any], ...] = ()
    regrouped: tuple[Mapping[str, Any], ...] = ()
    unchanged: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    def as_dict(self) -> dict[str, Any]:
        """The key `fixes` of the JSON shape `data`."""
        return {
            "file": self.fixes.path,
            "sha256": self.fixes.sha256,
            "relabelled": [dict(row) for row in self.relabelled],
            "dropped": [dict(row) for row in self.dropped],
            "regrouped": [dict(row) for row in self.regrouped],
            "unchanged": list(self.unchanged),
        }

    def as_text(self) -> str:
        """One line."""
        words = [
            f"{len(rows):,} {word}"
            for rows, word in (
                (self.relabelled, "relabelled"),
                (self.dropped, "dropped"),
                (self.regrouped, "regrouped"),
                (self.unchanged, "labelled so already"),
            )
            if rows
        ]
        return f"{self.fixes.name}: {', '.join(words) or 'nothing to correct'}"


def lines(fixes: Mapping[str, Any]) -> list[str]:
    """The corrections of `Applied.as_dict` one by one, the first of each kind."""
    found: list[str] = []
    for key, word in (
        ("relabelled", "relabelled"),
        ("dropped", "dropped"),
        ("regrouped", "regrouped"),
    ):
        rows: Sequence[Mapping[str, Any]] = fixes[key]
        for row in rows[:LISTED]:
            change = f", {row['was']} to {row['now']}" if key == "relabelled" else ""
            group = f" to {row['now']}" if key == "regrouped" else ""
            where = f" ({row['split']}{change})" if row["split"] else group
            found.append(f"{word}: {row['file']}{where}")
        if len(rows) > LISTED:
            found.append(f"{word}: and {len(rows) - LISTED:,} more")
    return found


def read(path: str | os.PathLike[str]) -> Fixes:
    """Read a file of corrections.

    Args:
        path: of a table with the columns file, action and value, separated by commas, tabs or semicolons.

    Raises:
        DataError: it cannot be read, or a row says what cannot be done; the message names the line.
    """
    where = expanded(path)
    name = shown(where)
    try:
        if not where.is_file():
            raise DataError(f"fixes={name}: there is no such file")
        content = where.read_bytes()
    except OSError as error:
        raise DataError(f"fixes={name} cannot be read ({error.strerror})") from error
    if len(content) > LARGEST:
        raise DataError(f"fixes={name} has {len(content):,} bytes, more than {LARGEST:,}")
    rows = documents.read_table(where).rows
    if not rows:
        raise DataError(f"fixes={name} is empty: expected a header file,action,value and rows")
    header = tuple(cell.casefold() for cell in rows[0].cells)
    if missing := [word for word in ("file", "action") if word not in header]:
        raise DataError(
            f"fixes={name} has no column {missing[0]}: expected file,action,value, got {', '.join(rows[0].cells)}"
        )
    at = {
        key: header.index(key)
        for key in ("file", "action", "value", "was", "split")
        if key in header
    }
    found = [
        _checked(Fix(**{key: _cell(row.cells, k) for key, k in at.items()}, line=row.line), name)
        for row in rows[1:]
    ]
    return Fixes(str(where.absolute()), hashlib.sha256(content).hexdigest(), _once(found, name))


def _cell(cells: Sequence[str], k: int) -> str:
    """A cell, without the apostrophe that keeps table programs from taking it for a formula."""
    cell = cells[k] if k < len(cells) else ""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@") else cell


def _checked(row: Fix, name: str) -> Fix:
    """A row that says what can be done.

    Raises:
        DataError: naming its line.
    """
    at = f"fixes={name}, line {row.line}"
    row = replace(row, action=row.action.casefold())
    if not row.file:
        raise DataError(f"{at}: names no file")
    if row.action not in ACTIONS:
        raise DataError(f"{at}: action {row.action!r}; {nearest(row.action, ACTIONS)}")
    if row.action != "drop" and not row.value:
        raise DataError(f"{at}: {row.action} needs a value")
    return row


def _once(rows: Sequence[Fix], name: str) -> tuple[Fix, ...]:
    """The rows without repeated ones.

    Raises:
        DataError: two that contradict each other.
    """
    seen: dict[tuple[str, str, str], Fix] = {}
    for row in rows:
        kind = "regroup" if row.action == "regroup" else "relabel or drop"
        first = seen.setdefault((row.file, row.split, kind), row)
        if (first.action, first.value) != (row.action, row.value):
            one, other = (f"{each.action} {each.value}".strip() for each in (first, row))
            raise DataError(
                f"fixes={name}: {row.file} is to be {one!r} in line {first.line} and {other!r} in line {row.line}: keep one"
            )
    return tuple(seen.values())


def regrouped(listing: Listing, fixes: Fixes) -> Listing:
    """A listing with the groups that `regroup` names, before a split of it is drawn.

    Raises:
        DataError: an item that is not there.
    """
    rows = [row for row in fixes.rows if row.action == "regroup"]
    if not rows:
        return listing
    names = [name for part in listing.parts.values() for name in part.names]
    known = set(names)
    # An item that no row names stays in the group that the data give it, else stands alone.
    words = {name: f"\0{listing.groups.get(name) or name}" for name in names}
    for row in rows:
        words[_named(row, known, fixes)] = row.value
    return replace(listing, groups=words)


def corrected(listing: Listing, fixes: Fixes) -> tuple[Listing, Applied]:
    """A listing with its splits, items relabelled and dropped.

    Raises:
        DataError: an item or a class that is not there, an item that has another label than a row says, a class that
            is left without items to train on, or targets that are no labels or numbers.
    """
    places: dict[str, list[tuple[str, int]]] = {}
    for split, part in listing.parts.items():
        for i, name in enumerate(part.names):
            places.setdefault(name, []).append((split, i))
    done: dict[str, list[dict[str, Any]]] = {action: [] for action in ACTIONS}
    same: list[str] = []
    targets = {split: _copied(part.targets) for split, part in listing.parts.items()}
    gone: dict[str, list[int]] = {split: [] for split in listing.parts}
    for row in fixes.rows:
        name = _named(row, places.keys(), fixes)
        split, i = _place(row, places[name], fixes)
        found: dict[str, Any] = {
            "file": name,
            "split": split,
            "was": None,
            "now": row.value or None,
        }
        if row.action == "regroup":
            found["split"] = ""
        else:
            found["was"] = _word(targets[split], i, listing)
            _check_was(row, found["was"], targets[split], fixes)
        if row.action == "relabel":
            _relabel(targets[split], i, row, listing, fixes)
            if _word(targets[split], i, listing) == found["was"]:
                same.append(name)
                continue
        elif row.action == "drop":
            gone[split].append(i)
        done[row.action].append(found)
    parts = {
        split: _without(replace(part, targets=targets[split]), gone[split])
        for split, part in listing.parts.items()
    }
    _check_left(listing, parts, fixes)
    applied = Applied(fixes, *(tuple(done[action]) for action in ACTIONS), unchanged=tuple(same))
    ignored = Counter(listing.ignored) + Counter({f"(dropped by {fixes.name})": len(done["drop"])})
    warnings = [applied.as_text()]
    if done["regroup"] and not listing.drawn:
        warnings.append(
            f"{fixes.name}: regroup has no effect: no split was drawn, since the data have their own or none was asked for"
        )
    return (
        replace(listing, parts=parts, ignored=ignored, warnings=(*listing.warnings, *warnings)),
        applied,
    )


def _named(row: Fix, known: Any, fixes: Fixes) -> str:
    """The name of the item that a row means: as it is printed, or quoted for table programs.

    Raises:
        DataError: there is none; the nearest is named.
    """
    for name in (
        row.file,
        shown(row.file),
        row.file.replace("\\", "/"),
    ):
        if name in known:
            return name
    raise DataError(
        f"fixes={fixes.name}, line {row.line}: no item is called {row.file!r}; {nearest(row.file, known)}"
    )


def _place(row: Fix, places: Sequence[tuple[str, int]], fixes: Fixes) -> tuple[str, int]:
    """Split and number of an item.

    Raises:
        DataError: it is in several, or not in the one that the row names.
    """
    found = [place for place in places if row.split in ("", place[0])]
    if len(found) == 1 or (found and row.action == "regroup"):
        return found[0]
    splits = " and ".join(split for split, _ in places)
    if found:
        raise DataError(
            f"fixes={fixes.name}, line {row.line}: {row.file} is in {splits}: say which in a column split"
        )
    if len(places) == 1:  # a split of ours may have been drawn otherwise since the row was written
        return places[0]
    raise DataError(
        f"fixes={fixes.name}, line {row.line}: {row.file} is in {splits}, not in {row.split}"
    )


def _word(targets: Targets, i: int, listing: Listing) -> str:
    """The label or the numbers of an item as a cell has them; "" of other targets."""
    if isinstance(targets, Labels):
        return listing.classes[int(targets.codes[i])]
    if isinstance(targets, MultiLabels):
        return BETWEEN.join(listing.classes[k] for k in np.flatnonzero(targets.given[i]).tolist())
    if isinstance(targets, Values):
        return BETWEEN.join(map(_digits, targets.numbers[i].tolist()))
    return ""


def _digits(value: float) -> str:
    """A number with as many digits as tell it from its neighbours."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _alike(one: str, other: str, targets: Targets) -> bool:
    """Whether two cells mean the same: labels in any order, numbers however they are written."""
    parts, others = ([part.strip() for part in each.split(BETWEEN)] for each in (one, other))
    if isinstance(targets, MultiLabels):
        return set(parts) == set(others)
    if isinstance(targets, Values):
        try:
            return [float(part) for part in parts] == [float(part) for part in others]
        except ValueError:
            return False
    return one == other


def _check_was(row: Fix, was: str, targets: Targets, fixes: Fixes) -> None:
    """Refuse a row that was written for another label than the item has."""
    if row.was and was and not _alike(row.was, was, targets):
        raise DataError(
            f"fixes={fixes.name}, line {row.line}: {row.file} is labelled {was}, not {row.was} as column was says: "
            "the data changed since the file was written"
        )


def _copied(targets: Targets) -> Targets:
    """Targets of our own, where a cell can change them."""
    if isinstance(targets, Labels):
        return Labels(targets.codes.copy())
    if isinstance(targets, MultiLabels):
        return MultiLabels(targets.given.copy())
    return Values(targets.numbers.copy()) if isinstance(targets, Values) else targets


def _relabel(targets: Targets, i: int, row: Fix, listing: Listing, fixes: Fixes) -> None:
    """Change the target of one item, in place.

    Raises:
        DataError: a class that is not there, no numbers, or targets that a cell cannot say.
    """
    at = f"fixes={fixes.name}, line {row.line}"
    if isinstance(targets, Labels):
        targets.codes[i] = _class(row.value, listing.classes, at)
    elif isinstance(targets, MultiLabels):
        words = filter(None, (word.strip() for word in row.value.split(BETWEEN)))
        numbers = [_class(word, listing.classes, at) for word in words]
        targets.given[i] = 0
        targets.given[i, numbers] = 1
    elif isinstance(targets, Values):
        targets.numbers[i] = _numbers(row.value, targets.numbers.shape[1], at)
    else:
        raise DataError(
            f"{at}: relabel takes a class or numbers, the items have {in_words(targets.kind)}: correct their files, or drop them"
        )


def _class(word: str, classes: Sequence[str], at: str) -> int:
    if word in classes:
        return classes.index(word)
    raise DataError(f"{at}: no class is called {word!r}; {nearest(word, classes)}")


def _numbers(text: str, count: int, at: str) -> list[float]:
    try:
        found = [float(word) for word in text.split(BETWEEN)]
    except ValueError:
        found = []
    if len(found) != count or not np.isfinite(found).all():
        of = f"{count} numbers with {BETWEEN} between" if count > 1 else "a number"
        raise DataError(f"{at}: value {text!r}, expected {of}")
    return found


def _without(part: Part, gone: Sequence[int]) -> Part:
    return part.take(np.setdiff1d(np.arange(len(part)), gone)) if gone else part


def _check_left(listing: Listing, parts: Mapping[str, Part], fixes: Fixes) -> None:
    """Refuse corrections that leave a split, or a class to train on, without items."""
    for split, part in parts.items():
        if not len(part) and len(listing.parts[split]):
            raise DataError(f"fixes={fixes.name} drops every item of {split}")
    first = next((split for split in ("train", "all") if split in parts), "")
    if not first or parts[first].targets.kind != "label":
        return
    was, now = (
        np.bincount(each[first].targets.strata(), minlength=len(listing.classes))
        for each in (listing.parts, parts)
    )
    if lost := [listing.classes[k] for k in np.flatnonzero((was > 0) & (now == 0)).tolist()]:
        raise DataError(
            f"fixes={fixes.name} leaves no item of the class {lost[0]} in {first}: leave the class out with ignore={lost[0]}"
        )
