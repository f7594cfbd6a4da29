"""Which items are trained on and which are held out, where the data do not say it.

A split of ours is stratified by class and seeded. Items that belong together stay on one side of it: those of the same
content, those whose names say that they are copies, and the groups that a rule or the data name (a patient, a day, a
camera); by "similar" pictures that are nearly the same too. Items that are known to be broken take no part in it; they are listed with those that are trained on. A rule may also name a column of a table that assigns every item to train, val, test or none.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from striate.data import documents
from striate.data import levels as depth
from striate.data.broken import known_broken
from striate.data.cache import Broken
from striate.data.duplicates import copies_by_name, exact_groups, similar_groups
from striate.data.files import expanded, shown
from striate.data.index import ASSIGNED, WHOLE, Fault, Listing, Part
from striate.data.layouts.class_folders import ordered
from striate.data.layouts.file_lists import Lookup
from striate.data.series.windows import Windows, by_time, unseen_days
from striate.data.sources import I64, Source
from striate.data.targets import OneBox
from striate.errors import ArgumentError, DataError
from striate.text import some

UNDIVIDED = ""  # the class of items that have none
OUT = -1  # the class number of items that take no part in a split
VAL = 0.2  # the share held out where nobody asked for another
_PLACES = 5  # of a fault that are named
SIMILAR = "similar"
RULES = (
    "stratified, folder, name:PATTERN or FILE.csv:COLUMN, or similar, or similar+ and one of them"
)


def with_splits(listing: Listing, val: float | str | None, rule: str, seed: int) -> Listing:
    """A listing with the splits of the data, those that a table assigns, or a val split of ours where none is held out.

    Args:
        listing: of a layout; its part `WHOLE` belongs to no split yet.
        val: as in `striate.open`: a share, a part such as "2of5", 0 for no split, None for what the data have or 0.2.
        rule: of what belongs together, one of `RULES`.
        seed: of the order in which items are held out.

    Raises:
        ArgumentError: val, where the data have a val split already.
        DataError: the data cannot be split so.
    """
    if val == 0:
        parts = {"all" if name == WHOLE else name: part for name, part in listing.parts.items()}
        return replace(listing, parts=parts)
    whole = listing.parts.get(WHOLE) or listing.parts.get("train")
    if whole is not None and isinstance(whole.source, Windows):
        return _by_time(listing, whole, val, rule)
    similar, rule = _separated(rule)
    column = None if whole is None else read_column(whole.names, rule)
    if whole is not None and column is not None:
        listing = replace(listing, tables={**listing.tables, column.table: column.sha256})
        if column.assigns:
            listing = _assigned(listing, whole, column, similar=similar)
            whole, column, rule = listing.parts["train"], None, "stratified"
    if val is not None and "val" in listing.parts:
        raise ArgumentError("val: the data have a val split of their own; leave val out")
    if whole is None or (val is None and listing.parts.keys() & {"val", "test"}):
        return _with_copies_apart(_without_effect(listing, rule, similar=similar))
    weights = whole.source.weights()
    listing, whole, together = _kept_together(
        listing,
        whole,
        rule,
        column=column,
        similar=similar,
        exact=exact_groups(whole.source, weights),
    )
    broken = known_broken(whole, weights)
    if len(broken) == len(whole):
        broken = {}  # data of which nothing can be read are refused as a whole, when they are looked at
    if isinstance(val, str) and rule == "stratified" and listing.groups:
        together = _as_published([listing.groups[name] for name in whole.names], together, val)
    train, held_out = _halves(whole, broken, listing.classes, together, val=val, seed=seed)
    test = {"test": listing.parts["test"]} if "test" in listing.parts else {}
    parts = {"train": whole.take(train), "val": whole.take(held_out), **test}
    return replace(listing, parts=parts, drawn=True)


def _kept_together(
    listing: Listing, whole: Part, rule: str, *, column: "Column | None", similar: bool, exact: I64
) -> tuple[Listing, Part, I64]:
    """With notes of what stays on one side of a split, the part with what hangs together in it, and the groups of all items [N].

    Folds are no groups of items that hang together: those of one fold are as independent as any, but for what they were cut from.
    """
    together = groups(whole.names, rule, exact, column=column, known=listing.groups)
    copies = copies_by_name(whole.names)
    if copies is not None:
        together = joined(copies.groups, together)
        listing = _noted(
            listing,
            f"{copies.count:,} names are copies of {copies.originals:,} pictures (such as {copies.example}): those of one "
            "stay on one side of the split",
        )
    if similar:
        near = similar_groups(_with_levels(listing, whole))
        together = joined(near, together)
        more = len(whole) - len(np.unique(near))
        listing = _noted(
            listing, f"{more:,} near duplicates stay on the side of what they are like"
        )
    if listing.sources is not None and not similar and rule == "stratified":
        apart = groups(whole.names, rule, exact, known=listing.sources)
        apart = apart if copies is None else joined(copies.groups, apart)
        if listing.sources or copies is not None:
            whole = replace(whole, groups=apart)
    elif copies is not None or listing.groups or similar or rule != "stratified":
        whole = replace(whole, groups=together)
    return listing, whole, together


def _separated(rule: str) -> tuple[bool, str]:
    """Whether near duplicates are kept together, and the rest of a rule."""
    if rule == SIMILAR:
        return True, "stratified"
    similar = rule.startswith(f"{SIMILAR}+")
    return similar, rule[len(SIMILAR) + 1 :] if similar else rule


def _with_levels(listing: Listing, whole: Part) -> Source:
    """Its inputs, deep ones by their range of values, so that they can be compared at all."""
    return depth.of_set(replace(listing, parts={"train": whole}), None)[0].parts["train"].source


def _without_effect(listing: Listing, rule: str, *, similar: bool) -> Listing:
    """With a note where a rule was given and the data have splits of their own."""
    given = [SIMILAR] * similar + [rule] * (rule != "stratified")
    if not given:
        return listing
    note = f"split={'+'.join(given)} has no effect: the data have splits of their own"
    return _noted(listing, note)


def _by_time(listing: Listing, whole: Part, val: float | str | None, rule: str) -> Listing:
    """Windows of series with splits in the order of time.

    Raises:
        ArgumentError: a rule of what belongs together.
    """
    if rule != "stratified":
        raise ArgumentError(
            f"split={rule}: series are split in the order of time; leave split= out"
        )
    own = {name: listing.parts[name] for name in ("val", "test") if name in listing.parts}
    if "val" in own and val is not None:
        raise ArgumentError("val: the data have a val split of their own; leave val out")
    made = {"train": whole} if "val" in own else by_time(whole, val, tested="test" in own)
    parts = {**made, **own}
    spans = [f"{name} {part.names[0]} to {part.names[-1]}" for name, part in parts.items()]
    strange = unseen_days(parts)
    warnings = (*listing.warnings, *([strange] if strange else []))
    listing = _noted(listing, f"split by time: {', '.join(spans)}")
    return replace(listing, parts=parts, warnings=warnings)


def _noted(listing: Listing, note: str) -> Listing:
    """With one more line about how the data were understood."""
    return replace(listing, note="; ".join(filter(None, [listing.note, note])))


def _assigned(listing: Listing, whole: Part, column: "Column", *, similar: bool) -> Listing:
    """With the splits that a table says; items that it gives to none are left out.

    Raises:
        DataError: the data have splits of their own, or near duplicates were to be moved.
    """
    own = sorted(listing.parts.keys() & {"val", "test"})
    where = f"{shown(column.table)} column {shown(column.column)}"
    if own:
        raise DataError(
            f"split={where}: it assigns splits, and the data have {' and '.join(own)} of their own"
        )
    if similar:
        raise DataError(
            f"split={SIMILAR}+{where}: the table says which split each item is in, so none can be moved; leave one out"
        )
    words = np.array(column.splits(), np.str_)
    parts = {
        split: whole.take(np.flatnonzero(words == split))
        for split in ("train", "val", "test")
        if (words == split).any()
    }
    counts = {name: len(part) for name, part in parts.items()}
    none = len(whole) - sum(counts.values())
    counted = [f"{name} {count:,}" for name, count in {**counts, "none": none}.items() if count]
    ignored = Counter(listing.ignored) + Counter({"(assigned to no split)": none})
    listing = _noted(listing, f"{where} assigns: {', '.join(counted)}")
    return replace(listing, parts=parts, ignored=ignored)


def _with_copies_apart(listing: Listing) -> Listing:
    """With a fault where names say that copies of one picture are in different splits of the data's own."""
    names = [(split, name) for split, part in listing.parts.items() for name in part.names]
    # Folders of splits are no part of what two copies must share.
    bare = [name.partition("/")[2] if "/" in name else name for _, name in names]
    copies = copies_by_name(bare)
    if copies is None:
        return listing
    splits: dict[int, set[str]] = {}
    places: dict[int, list[str]] = {}
    for (split, name), group in zip(names, copies.groups.tolist(), strict=True):
        splits.setdefault(group, set()).add(split)
        places.setdefault(group, []).append(name)
    apart = [group for group, names_of in splits.items() if len(names_of) > 1]
    if not apart:
        return listing
    first = tuple(" and ".join(places[group][:2]) for group in apart[:_PLACES])
    fault = Fault(
        "pictures with copies by name in different splits", "left where they are", len(apart), first
    )
    return replace(listing, faults=(*listing.faults, fault))


def _halves(
    whole: Part,
    broken: Broken,
    classes: Sequence[str],
    together: I64,
    *,
    val: float | str | None,
    seed: int,
) -> tuple[I64, I64]:
    """Numbers of the items to train on and to hold out; those that are known to be broken are among the first.

    Raises:
        DataError: a class has too few different items.
    """
    strata = whole.targets.strata()
    classes = classes if whole.targets.kind in ("label", OneBox.kind) else (UNDIVIDED,)
    labels = strata.copy()
    labels[list(broken)] = OUT
    _refuse_broken_classes(
        whole.names, broken, strata, np.where(labels == OUT, OUT, together), classes
    )
    if isinstance(val, str):
        fold = read_fold(val)
        held_out = one_fold(labels, together, classes=classes, fold=fold, seed=seed)
        return np.setdiff1d(np.arange(len(whole)), held_out), held_out
    share = VAL if val is None else val
    return stratified(labels, together, classes=classes, val=share, seed=seed)


def _as_published(words: Sequence[str], together: I64, val: str) -> I64:
    """Groups [N] numbered so that the first fold holds out the first group by its name, where the data bring so many groups.

    Numbers below `OUT`, which `one_fold` takes as they are. As they were where groups are not one a fold.
    """
    names = ordered(set(words))
    count = read_fold(val)[1]
    if not len(names) == len(np.unique(together)) == count:
        return together
    place = {name: OUT - k for k, name in enumerate(names, 1)}
    return np.array([place[word] for word in words], np.int64)


def _refuse_broken_classes(
    names: Sequence[str], broken: Broken, strata: I64, groups: I64, classes: Sequence[str]
) -> None:
    """Refuse a class that has too few items on which a split could be drawn because others are broken.

    Args:
        names: of the items.
        broken: those that are known to be, and why.
        strata: class numbers [N].
        groups: [N], `OUT` of those that are broken.
        classes: their names.
    """
    of_class = strata[list(broken)]
    for number in np.unique(of_class).tolist():
        left = groups[(strata == number) & (groups != OUT)]
        if len(np.unique(left)) > 1:
            continue
        lost = [i for i in sorted(broken) if strata[i] == number]
        named = [f"{names[i]} ({broken[i]})" for i in lost[:_PLACES]]
        first = some(named, _PLACES, of=len(lost), between=";")
        of, mend = "", "mend them"
        if classes[number] != UNDIVIDED:
            of = f" of the class {classes[number]}"
            mend = f"mend them, or leave it out with ignore={classes[number]}"
        raise DataError(
            f"{len(lost)} of {len(left) + len(lost)} pictures{of} cannot be read: {first}; that leaves {len(left)}, and "
            f"a split needs at least 2 different ones, one to train on and one to hold out: {mend}"
        )


def check_share(val: float | str | None) -> None:
    """Refuse a share that leaves nothing on one side.

    Raises:
        ArgumentError: val is not between 0 and 1, and is no part such as "2of5".
    """
    if isinstance(val, str):
        read_fold(val)
        return
    if val is not None and not 0 <= val < 1:
        raise ArgumentError(f"val: got {val}, expected a share between 0 and 1, such as 0.2")


def read_fold(val: str) -> tuple[int, int]:
    """The numbers of "2of5": which part is held out, from 1, and of how many.

    Raises:
        ArgumentError: it is not of this form.
    """
    found = re.fullmatch(r"(\d+)of(\d+)", val)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise ArgumentError(
            f"val: got {val!r}, expected a share such as 0.2, or 2of5 for the second of five parts"
        )
    return number, count


def check_rule(rule: str) -> None:
    """Refuse a rule that cannot be read.

    Raises:
        ArgumentError: naming the rule.
    """
    rule = _separated(rule)[1]
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
    if colon and path.lower().endswith(documents.TABLE_SUFFIXES):
        return Path(path), column
    return (Path(rule), "") if rule.lower().endswith(documents.TABLE_SUFFIXES) else None


def absolute(rule: str) -> str:
    """The same rule wherever it is read from."""
    similar, rest = _separated(rule)
    found = _of_table(rest)
    before = f"{SIMILAR}+" if similar else ""
    return rule if found is None else f"{before}{expanded(found[0]).absolute()}:{found[1]}"


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


def read_column(names: Sequence[str], rule: str) -> Column | None:
    """What the table of a rule says of each item; None where the rule names no table.

    Raises:
        DataError: the table cannot be read, has no such column, or says nothing or two things about an item.
    """
    found = _of_table(rule)
    if found is None:
        return None
    path, wanted = found
    try:
        table = documents.read_table(expanded(path))
    except DataError as error:
        reason = str(error).partition("cannot be opened: ")[2] or error
        raise DataError(
            f"split={rule}: the table cannot be read ({reason}); expected a CSV file whose first column names the files"
        ) from None
    header = table.rows[0].cells if table.rows else ()
    k = documents.column_number(header, wanted, str(path))
    words = _matched(names, table, k)
    missing = next((name for name, word in zip(names, words, strict=True) if word is None), None)
    if missing is not None:
        raise DataError(f"{path} has no row for {missing}; its first column names the files")
    given = tuple(word for word in words if word is not None)
    return Column(given, str(expanded(path).absolute()), header[k], table.sha256)


def _matched(names: Sequence[str], table: documents.Table, k: int) -> list[str | None]:
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
    exact: I64,
    *,
    column: Column | None = None,
    known: Mapping[str, str] | None = None,
) -> I64:
    """A group number for each picture [N]; exact copies, and those of members, are in one group.

    Args:
        names: of the pictures, with their folders.
        rule: "stratified" (exact copies alone), "folder" (the one a picture lies in, below its class), "name:PATTERN"
            (what a regular expression finds in the name, its first bracket if it has one) or
            "FILE.csv:COLUMN" (a table whose first column names the files).
        exact: a number for each picture that pictures of the same content share, from `exact_groups`.
        column: of the table that the rule names.
        known: groups that the data state themselves, by name.

    Raises:
        DataError: a picture whose group is not to be found.
    """
    together = exact if not known else joined(_codes([known[name] for name in names]), exact)
    if rule == "stratified":
        return together
    if rule == "folder":
        words: Sequence[str] = _folders(names)
    elif column is not None:
        words = column.words
    else:
        words = _matches(names, rule.partition(":")[2])
    return joined(_codes(words), together)


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


def stratified(
    labels: I64, groups: I64, *, classes: Sequence[str], val: float, seed: int
) -> tuple[I64, I64]:
    """Numbers of the pictures to train on and to hold out, each ascending.

    Args:
        labels: [N] class numbers; `OUT` of pictures that are not to be held out nor counted.
        groups: [N]; pictures of one group (the same content) stay on one side.
        classes: their names, for messages.
        val: share of each class to hold out, at least one picture, never all.
        seed: of the random order.

    Raises:
        DataError: a class has too few different pictures; the message names it and its counts.
    """
    counts = np.bincount(labels[labels != OUT], minlength=len(classes))
    wanted = np.clip(np.rint(counts * val).astype(np.int64), 1, np.maximum(counts - 1, 1))
    _check_sizes(labels, groups, counts, classes)
    held = np.zeros(len(labels), bool)
    members = _members(groups, labels)
    order = np.random.default_rng(seed).permutation(len(members))
    for index in (members[number] for number in order):
        need = np.bincount(labels[index], minlength=len(classes))
        if np.all(wanted >= need):
            held[index] = True
            wanted -= need
    _hold_out_missing(held, labels, [members[number] for number in order], classes)
    return np.flatnonzero(~held), np.flatnonzero(held)


def one_fold(
    labels: I64, groups: I64, *, classes: Sequence[str], fold: tuple[int, int], seed: int
) -> I64:
    """Numbers of the pictures of one of several folds that are alike in their classes.

    Groups go, the largest first and else in random order, to the fold that has least of their classes; groups of numbers
    below `OUT` are a fold each, the first the one that is next to it.

    Args:
        labels: [N] class numbers; `OUT` of pictures that are to be in no fold.
        groups: [N]; pictures of one group are in one fold.
        classes: their names, for messages.
        fold: which, from 1, and of how many.
        seed: of the random order.

    Raises:
        DataError: a class has too few different pictures.
    """
    number, count = fold
    _check_sizes(
        labels, groups, np.bincount(labels[labels != OUT], minlength=len(classes)), classes
    )
    if groups.max() < OUT:
        return np.flatnonzero((groups == OUT - number) & (labels != OUT))
    members = _members(groups, labels)
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort([-len(members[i]) for i in order], kind="stable")]
    have = np.zeros((count, len(classes)))
    held: list[I64] = []
    for index in (members[i] for i in order):
        need = np.bincount(labels[index], minlength=len(classes))
        least = min(range(count), key=lambda k: (float(have[k] @ need), float(have[k].sum())))
        have[least] += need
        if least == number - 1:
            held.append(index)
    return np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)


def _members(groups: I64, labels: I64) -> list[I64]:
    """The numbers of the pictures of each group, groups in the order of their first picture, those that are `OUT` left out.

    A group stays even if nothing of it is left, so that the random order of the others does not depend on it.
    """
    _, codes = np.unique(groups, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return [part[labels[part] != OUT] for part in sorted(parts, key=lambda part: int(part[0]))]


def _check_sizes(labels: I64, groups: I64, counts: I64, classes: Sequence[str]) -> None:
    for number, name in enumerate(classes):
        different = len(np.unique(groups[labels == number]))
        if different < 2:
            what = f"{different} picture{'' if different == 1 else 's'}"
            if counts[number] > different:
                what = f"{counts[number]} pictures that count as one (copies, or kept together by split=)"
            if name == UNDIVIDED:
                raise DataError(
                    f"there are {what}; a split needs at least 2, one to train on and one to hold out"
                )
            raise DataError(
                f"the class {name} has {what}; a split needs at "
                f"least 2, one to train on and one to hold out: add pictures, or leave it out with ignore={name}"
            )


def _hold_out_missing(
    held: npt.NDArray[np.bool], labels: I64, members: list[I64], classes: Sequence[str]
) -> None:
    """Hold out the smallest group of each class that has nothing held out, because its groups were too large for its share."""
    for number, name in enumerate(classes):
        of_class = labels == number
        if held[of_class].any():
            continue
        for index in sorted((m for m in members if of_class[m].any()), key=len):
            trial = held.copy()
            trial[index] = True
            if all((~trial[labels == label]).any() for label in np.unique(labels[index])):
                held[:] = trial
                break
        else:
            raise DataError(
                f"the class {name} cannot be split: all its pictures are copies of others, or kept together "
                "with them by split="
            )
