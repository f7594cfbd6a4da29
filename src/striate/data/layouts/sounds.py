"""Sound files: in a folder for each class, named by a table, or with the class in their names. Three layouts.

`sound_folders`: ROOT/class/*.wav, or ROOT/{train,val,test}/class/*.wav. `sound_table`: a table beside the sounds, with the
file, the class and, if there are, the fold or the split in columns, such as meta/esc50.csv and
metadata/UrbanSound8K.csv. `sound_names`: 7_jackson_32.wav, by a pattern such as {label}_{speaker}_{take}.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from striate.data import documents, files
from striate.data.documents import Row, Table
from striate.data.files import shown
from striate.data.index import ASSIGNED, IGNORED, SPLITS, WHOLE, Candidate, Fault, Listing, Part
from striate.data.layouts.class_folders import ordered
from striate.data.layouts.file_lists import Lookup
from striate.data.layouts.label_columns import TASKS, Column, is_flag, is_missing, label_targets
from striate.data.layouts.tree import Tree
from striate.data.sounds import SoundFiles, is_sound
from striate.data.targets import Labels
from striate.errors import ArgumentError, DataError

TABLE_SETTINGS = ("table", "path", "label", "group", "split", "separator")
NAME_SETTINGS = ("pattern",)
_SEPARATORS = "_-. "
_FITS = 0.95  # of the names that must have the same number of fields
_EACH = 5  # sounds of a class at least, on the average, for a field to be taken as the class
_LISTED = 6
_FIRST = 5  # places of a fault
_SAMPLE = 200  # rows of a table that are looked at
# fmt: off
_LABELS = (
    "category", "label", "labels", "class", "classname", "class_name", "genre", "tag", "tags", "word", "target", "digit",
    "classid", "class_id",
)
# fmt: on
_GROUPS = ("fold", "group", "speaker", "speaker_id", "subject", "patient")


def find_folders(tree: Tree) -> Candidate | None:
    """Two folders of sounds or more, or split folders that hold some."""
    splits = {name: SPLITS[name.lower()] for name in tree.folders() if name.lower() in SPLITS}
    found: dict[str, dict[str, list[str]]] = {}
    for base, split in (splits or {"": WHOLE}).items():
        for folder in tree.folders(base):
            if names := _sounds(tree, folder):
                label = folder.rpartition("/")[2]
                found.setdefault(split, {}).setdefault(label, []).extend(names)
    if not found or (not splits and len(found[WHOLE]) < 2):
        return None
    count = sum(len(names) for held in found.values() for names in held.values())
    uses = frozenset(splits) or frozenset(found[WHOLE])
    words = "split folders of sounds" if splits else "class folders of sounds"
    read = partial(_folders, tree, found, words)
    return Candidate(words, count, uses, read, "folders hold sounds")


def _sounds(tree: Tree, inside: str = "") -> list[str]:
    """The sounds below a folder."""
    found = (e.name for e in tree.walk(inside) if e.kind == "file" and is_sound(e.name))
    return [name for name in found if not tree.options.leaves_out(name)]


def _folders(tree: Tree, found: Mapping[str, Mapping[str, list[str]]], words: str) -> Listing:
    """Labels by folder.

    Raises:
        DataError: a class has nothing to train on.
    """
    classes = ordered({label for held in found.values() for label in held})
    if "train" in found and (missing := [c for c in classes if c not in found["train"]]):
        raise DataError(
            f"the class {shown(missing[0])} has no sounds in train: add some, or leave it out with ignore={shown(missing[0])}"
        )
    parts: dict[str, Part] = {}
    for split in ("train", "val", "test", WHOLE):
        if held := found.get(split):
            pairs = [
                (name, classes.index(label)) for label in classes for name in held.get(label, ())
            ]
            parts[split] = _part(
                tree, [n for n, _ in pairs], Labels(np.array([k for _, k in pairs]))
            )
    used = {name for held in found.values() for names in held.values() for name in names}
    ignored = _unused(tree, used, {name.split("/")[0] for name in used})
    return Listing(words, tuple(map(shown, classes)), parts, ignored)


def _part(tree: Tree, names: Sequence[str], targets: Labels) -> Part:
    return Part(tuple(map(shown, names)), targets, SoundFiles(tree.root, tuple(names)))


def _unused(tree: Tree, used: Iterable[str], folders: Iterable[str]) -> Counter[str]:
    """What else lies in the folders that are read, by kind."""
    known, found = set(used), Counter[str]()
    for folder in folders:
        for entry in tree.walk(folder) if (tree.root / folder).is_dir() else ():
            if tree.options.leaves_out(entry.name):
                found[IGNORED] += 1
            elif entry.name not in known:
                found[files.kind(entry)] += 1
    return found


# ----------------------------------------------------------------------------------- by a table


@dataclass(frozen=True)
class SoundTable:
    """A table that names sounds, and its columns by what they say; None where there is no such column."""

    file: str
    source: Table
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    path: int
    labels: tuple[int, ...]
    group: int | None
    split: int | None


def find_table(tree: Tree) -> Candidate | None:
    """A table at the root or a folder below, of whose rows most name sounds that are there.

    Raises:
        DataError: a column that was named is not there.
    """
    asked = tree.options.asks_for("sound_table")
    settings = tree.options.settings if asked else {}
    tables = [
        name
        for place in ("", *tree.folders())
        for name in tree.files(place)
        if name.lower().endswith(documents.TABLE_SUFFIXES)
    ]
    if not tables or not any(is_sound(e.name) for e in tree.all() if e.kind == "file"):
        return None
    wanted = [settings["table"]] if "table" in settings else tables
    found = [t for name in wanted if (t := _table(tree, name, settings)) is not None]
    if not found:
        return None
    best = max(found, key=lambda table: len(table.rows))
    uses = frozenset({best.file.split("/")[0], *(n.split("/")[0] for n in _sounds(tree))})
    words = f"sounds named by {shown(best.file)}"
    read = partial(_listed, tree, best, settings, words)
    return Candidate(
        words,
        len(best.rows),
        uses,
        read,
        f"{shown(best.file)} names sounds",
        tasks=TASKS,
    )


def _lookup(tree: Tree) -> Lookup:
    return tree.once("lookup of sounds", lambda tree: Lookup(_sounds(tree)))


def _table(tree: Tree, file: str, settings: Mapping[str, str]) -> SoundTable | None:
    """A table with its columns; None where none names sounds or says what they are."""
    try:
        table = documents.read_table(tree.root / file, shown(file))
    except DataError:
        if "table" in settings:
            raise
        return None
    if len(table.rows) < 2:
        return None
    header, rows = table.rows[0].cells, table.rows[1:]
    words = [cell.strip().lower().replace(" ", "_") for cell in header]
    given = {key: documents.column_number(header, settings[key], table.name) for key in ("path", "group", "split") if key in settings}  # fmt: skip
    path = given.get("path", _path_column(tree, file, header, rows))
    if path is None:
        return None
    if "label" in settings:
        named = settings["label"].split("+")
        labels = tuple(documents.column_number(header, each, table.name) for each in named)
    else:
        labels = tuple(words.index(word) for word in _LABELS if word in words)[:1]
    split = given.get("split", words.index("split") if "split" in words else None)
    group = given.get("group", next((words.index(w) for w in _GROUPS if w in words), None))
    rest = [k for k in range(len(header)) if k not in (path, group, split)]
    if not labels and len(rest) > 1 and _are_flags(rows, rest):
        labels = tuple(rest)
    if not labels:
        return None
    return SoundTable(file, table, header, rows, path, labels, group, split)


def _are_flags(rows: Sequence[Row], columns: Sequence[int]) -> bool:
    """Whether all cells of these columns say yes or no: a label each."""
    cells = (row.cells[k] if k < len(row.cells) else "" for row in rows for k in columns)
    return all(is_flag(cell) for cell in cells)


def _path_column(tree: Tree, file: str, header: tuple[str, ...], rows: Sequence[Row]) -> int | None:
    """The column whose cells name most sounds, if they are at least half."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    beside = file.rpartition("/")[0]
    counts = [
        sum(k < len(row.cells) and bool(_lookup(tree).find(row.cells[k], beside)) for row in sample)
        for k in range(len(header))
    ]
    best = int(np.argmax(counts))
    return best if 2 * counts[best] >= len(sample) else None


def _listed(tree: Tree, table: SoundTable, settings: Mapping[str, str], words: str) -> Listing:
    """The rows as items; several lines of one sound count once."""
    items: dict[str, Row] = {}
    faults: dict[str, list[str]] = {}
    beside = table.file.rpartition("/")[0]
    needed = (table.path, *table.labels)
    for row in table.rows:
        place = f"{shown(table.file)} line {row.line}"
        if len(row.cells) <= max(needed) or any(is_missing(row.cells[k]) for k in needed):
            faults.setdefault("rows without a file or a label", []).append(place)
            continue
        found = _lookup(tree).find(row.cells[table.path], beside)
        found = _of_fold(found, row, table)
        if len(found) != 1:
            what = "rows whose sound is not there" if not found else "rows that name several sounds"
            faults.setdefault(what, []).append(place)
        elif found[0] in items:
            faults.setdefault("rows that repeat another", []).append(place)
        else:
            items[found[0]] = row
    if not items:
        raise DataError(f"{shown(table.file)} names no sound that is there")
    rows = list(items.values())
    columns = [Column(table.header[k], [row.cells[k] for row in rows]) for k in table.labels]
    places = [f"{shown(table.file)} line {row.line}" for row in rows]
    found = label_targets(columns, places, settings.get("separator"), tree.options.task)
    names = tuple(items)
    whole = Part(tuple(map(shown, names)), found.targets, SoundFiles(tree.root, names))
    groups = (
        {} if table.group is None else {shown(n): r.cells[table.group] for n, r in items.items()}
    )
    parts, note = _split_by(table, rows, whole)
    return Listing(
        words,
        found.classes,
        parts,
        _unused(tree, names, {name.split("/")[0] for name in names if "/" in name}),
        "; ".join(filter(None, [found.note, note])),
        found.task,
        found.outputs,
        faults=tuple(Fault(k, "left out", len(v), tuple(v[:_FIRST])) for k, v in faults.items()),
        groups=groups,
        tables={table.file: table.source.sha256},
    )


def _of_fold(found: list[str], row: Row, table: SoundTable) -> list[str]:
    """Of files of one name in several folders that of the fold of the row, as in audio/fold7."""
    if len(found) < 2 or table.group is None:
        return found
    fold = row.cells[table.group]
    return [n for n in found if n.split("/")[-2:-1] in ([fold], [f"fold{fold}"])]


def _split_by(table: SoundTable, rows: Sequence[Row], whole: Part) -> tuple[dict[str, Part], str]:
    """The splits that a column says, and what is said of them and of folds."""
    note = ""
    if table.group is not None:
        count = len({row.cells[table.group] for row in rows})
        name = shown(table.header[table.group])
        note = f"column {name}: its {count} parts stay whole in every split, --folds {count} holds out each once"
    if table.split is None:
        return {WHOLE: whole}, note
    words = [row.cells[table.split].lower() for row in rows]
    if strange := next((word for word in words if word not in ASSIGNED), None):
        raise DataError(
            f"{shown(table.file)}: {shown(strange)!r} is no split; expected train, val, test or none"
        )
    assigned = np.array([ASSIGNED[word] for word in words])
    parts = {s: whole.take(np.flatnonzero(assigned == s)) for s in ("train", "val", "test") if (assigned == s).any()}  # fmt: skip
    return parts, f"column {shown(table.header[table.split])} makes the splits"


# ------------------------------------------------------------------------------------- by names


def find_names(tree: Tree) -> Candidate | None:
    """Sounds in one folder, the class a part of their names.

    Raises:
        ArgumentError: a pattern without {label}.
    """
    asked = tree.options.asks_for("sound_names")
    pattern = tree.options.settings.get("pattern", "") if asked else ""
    names = _sounds(tree)
    if not names or (not asked and len({name.rpartition("/")[0] for name in names}) > 1):
        return None
    guessed = pattern or _guess(names)
    uses = frozenset(name.split("/")[0] for name in names)
    if not guessed:
        doubt = (
            f"{shown(tree.name)} holds {len(names):,} sounds whose names, such as {shown(names[0])}, do not say plainly "
            "which part is the class: say it with layout=sound_names:pattern={label}_{speaker}_{take}"
        )
        return Candidate("sounds by their names", 0, uses, lambda: _by_names(tree, names, "{label}", ""), doubt=doubt)  # fmt: skip
    expression = _expression(guessed)
    fit = [name for name in names if expression.fullmatch(_stem(name, guessed))]
    if not fit:
        raise DataError(
            f"pattern={guessed}: none of {len(names):,} sounds of {shown(tree.name)} is named so, such as {shown(names[0])}"
        )
    note = "" if pattern else _said(fit, guessed)
    read = partial(_by_names, tree, names, guessed, note)
    return Candidate("sounds by their names", len(fit), uses, read, f"names are {guessed}")


def _stem(name: str, pattern: str) -> str:
    """What a pattern is matched with: the name without extension, with its folders where the pattern has some."""
    bare = name.rpartition(".")[0]
    return "/".join(bare.split("/")[-1 - pattern.count("/") :])


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern such as {label}_{speaker}_{take}, each part of which is at least one character long.

    Raises:
        ArgumentError: there is no {label}, a part is there twice, or braces do not fit.
    """
    pieces = re.split(r"\{(\w+)\}", pattern)
    names = pieces[1::2]
    if (
        "label" not in names
        or len(set(names)) < len(names)
        or any(set("{}") & set(p) for p in pieces[::2])
    ):
        raise ArgumentError(
            f"pattern={pattern}: expected parts in braces, once {{label}}, such as {{label}}_{{speaker}}_{{take}}"
        )
    return re.compile(
        "".join(f"(?P<p_{p}>.+?)" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
    )


def _guess(names: Sequence[str]) -> str:
    """The pattern whose label is the first field of the names that few values are shared by; "" if there is none."""
    stems = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
    for separator in _SEPARATORS:
        fields = [stem.split(separator) for stem in stems]
        count = Counter(map(len, fields)).most_common(1)[0][0]
        alike = [each for each in fields if len(each) == count and all(each)]
        if count < 2 or len(alike) < _FITS * len(fields):
            continue
        for k in range(count):
            values = {each[k] for each in alike}
            if 2 <= len(values) <= len(alike) / _EACH:
                return separator.join(
                    "{label}" if i == k else f"{{part{i + 1}}}" for i in range(count)
                )
    return ""


def _said(names: Sequence[str], pattern: str) -> str:
    """How the names are understood, and how to say it otherwise."""
    expression = _expression(pattern)
    classes = ordered({_label(expression, name, pattern) for name in names})
    listed = ", ".join(classes[:_LISTED]) + (" ..." if len(classes) > _LISTED else "")
    other = pattern.replace("{label}", "{x}").replace(
        "part2" if "{part2}" in pattern else "part1", "label"
    )
    return (
        f"names are read as {pattern}: {len(classes)} classes ({listed}); another part is the class by "
        f"--layout 'sound_names:pattern={other}'"
    )


def _label(expression: re.Pattern[str], name: str, pattern: str) -> str:
    match = expression.fullmatch(_stem(name, pattern))
    return match["p_label"] if match else ""


def _by_names(tree: Tree, names: Sequence[str], pattern: str, note: str) -> Listing:
    """Labels, groups and splits as the names say them; names that do not fit are counted."""
    expression = _expression(pattern)
    matches = {n: m for n in names if (m := expression.fullmatch(_stem(n, pattern)))}
    said = {name: match.groupdict() for name, match in matches.items()}
    classes = ordered({each["p_label"] for each in said.values()})
    code = {label: k for k, label in enumerate(classes)}
    held = tuple(said)
    whole = _part(tree, held, Labels(np.array([code[said[n]["p_label"]] for n in held])))
    ignored = Counter({"sounds of other names": len(names) - len(held)})
    group = next((f"p_{g}" for g in _GROUPS if f"{{{g}}}" in pattern), "")
    groups = {shown(n): each[group] for n, each in said.items()} if group else {}
    if group:
        note = "; ".join(
            filter(None, [note, f"what shares a {group[2:]} stays on one side of a split"])
        )
    folders = {name.split("/")[0] for name in held if "/" in name}
    others = Counter({k: v for k, v in (+ignored + _unused(tree, names, folders)).items() if v})
    return Listing("sounds by their names", tuple(map(shown, classes)), {WHOLE: whole}, others, note, groups=groups)  # fmt: skip
