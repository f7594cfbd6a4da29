"""Sound files: in a folder for each class, named by a table, or with the class in their names. Three layouts.

`sound_folders`: ROOT/class/*.wav, or ROOT/{train,val,test}/class/*.wav. `sound_table`: a table beside the sounds, with the
file, the class and, if there are, the fold or the split in columns, such as meta/esc50.csv and
metadata/UrbanSound8K.csv. `sound_names`: 7_jackson_32.wav, by a pattern such as {label}_{speaker}_{take}.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from striate.data import files
from striate.data.files import shown
from striate.data.index import SPLITS, WHOLE, Candidate, Listing, Part
from striate.data.layouts import file_table
from striate.data.layouts.class_folders import ordered
from striate.data.layouts.file_lists import split_lists, splits_by_lists
from striate.data.layouts.tree import Tree
from striate.data.sounds import SoundFiles, is_sound
from striate.data.targets import Labels
from striate.errors import ArgumentError, DataError

NAME_SETTINGS = ("pattern",)
_SEPARATORS = "_-. "
_FITS = 0.95  # of the names that must have the same number of fields
_EACH = 5  # sounds of a class at least, on the average, for a field to be taken as the class
_LISTED = 6


def find_folders(tree: Tree) -> Candidate | None:
    """Two folders of sounds or more, or split folders that hold some."""
    splits = {name: SPLITS[name.lower()] for name in tree.folders() if name.lower() in SPLITS}
    found: dict[str, dict[str, list[str]]] = {}
    aside: dict[str, int] = {}
    for base, split in (splits or {"": WHOLE}).items():
        for folder in tree.folders(base):
            if names := _sounds(tree, folder):
                label = folder.rpartition("/")[2]
                if label.startswith("_") and label.endswith("_"):
                    aside[folder] = len(names)
                else:
                    found.setdefault(split, {}).setdefault(label, []).extend(names)
    if not found or (not splits and len(found[WHOLE]) < 2):
        return None
    count = sum(len(names) for held in found.values() for names in held.values())
    uses = frozenset(splits) or frozenset(found[WHOLE])
    words = "split folders of sounds" if splits else "class folders of sounds"
    read = partial(_folders, tree, found, words, aside)
    return Candidate(words, count, uses, read, "folders hold sounds")


def _sounds(tree: Tree, inside: str = "") -> list[str]:
    """The sounds below a folder."""
    found = (e.name for e in tree.walk(inside) if e.kind == "file" and is_sound(e.name))
    return [name for name in found if not tree.options.leaves_out(name)]


def _folders(
    tree: Tree,
    found: Mapping[str, Mapping[str, list[str]]],
    words: str,
    aside: Mapping[str, int],
) -> Listing:
    """Labels by folder, splits by folder or by lists such as testing_list.txt.

    Args:
        tree: the folder.
        found: the sounds of each class, by split.
        words: how they lie there.
        aside: folders whose names say that they are no class, and how many sounds they hold.

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
    notes = [
        f"{shown(name)} ({count:,} sounds) is no class, by its name"
        for name, count in aside.items()
    ]
    groups, lists = dict[str, str](), dict[str, str]()
    if WHOLE in parts:
        parts, lists = _by_lists(tree, parts[WHOLE])
        if lists:
            notes.append(f"{', '.join(map(shown, lists))} say what is held out")
    if WHOLE in parts and (groups := _speakers(parts[WHOLE].names)):
        notes.append(
            "what one speaker said, by the names up to _nohash_, stays on one side of a split"
        )
    used = {name for held in found.values() for names in held.values() for name in names}
    ignored = file_table.unused(tree, used, {name.split("/")[0] for name in used})
    ignored += Counter({f"sounds in {shown(name)}": count for name, count in aside.items()})
    return Listing(
        words,
        tuple(map(shown, classes)),
        parts,
        ignored,
        "; ".join(notes),
        groups=groups,
        tables=lists,
    )


def _by_lists(tree: Tree, whole: Part) -> tuple[dict[str, Part], dict[str, str]]:
    """The splits that lists beside the classes say, such as testing_list.txt; the SHA-256 of each list by its name."""
    names = list(whole.source.names) if isinstance(whole.source, SoundFiles) else []
    found = splits_by_lists(tree, names)
    if found is None or "train" not in found:
        return {WHOLE: whole}, {}
    words = np.array(found)
    parts = {
        split: whole.take(np.flatnonzero(words == split))
        for split in ("train", "val", "test")
        if (words == split).any()
    }
    lists = split_lists(tree).values()
    return parts, {n: hashlib.sha256(files.read(tree.root / n)).hexdigest() for n in lists}


def _speakers(names: Sequence[str]) -> dict[str, str]:
    """Who speaks in each file of Speech Commands, by its name; nothing of other names."""
    found = {
        name: name.rpartition("/")[2].split("_nohash_")[0] for name in names if "_nohash_" in name
    }
    return found if len(found) == len(names) else {}


def _part(tree: Tree, names: Sequence[str], targets: Labels) -> Part:
    return Part(tuple(map(shown, names)), targets, SoundFiles(tree.root, tuple(names)))


# ----------------------------------------------------------------------------------- by a table


def find_table(tree: Tree) -> Candidate | None:
    """A table at the root or a folder below, of whose rows most name sounds that are there.

    Raises:
        DataError: a column that was named is not there.
    """
    return file_table.find(tree, _NAMED)


def _files(tree: Tree, names: Sequence[str]) -> file_table.Files:
    return file_table.Files(SoundFiles(tree.root, tuple(names)))


_NAMED = file_table.Kind("sound", "sound_table", _sounds, _files)


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
    group = next((f"p_{g}" for g in file_table.GROUPS if f"{{{g}}}" in pattern), "")
    groups = {shown(n): each[group] for n, each in said.items()} if group else {}
    if group:
        note = "; ".join(
            filter(None, [note, f"what shares a {group[2:]} stays on one side of a split"])
        )
    folders = {name.split("/")[0] for name in held if "/" in name}
    others = Counter(
        {k: v for k, v in (+ignored + file_table.unused(tree, names, folders)).items() if v}
    )
    return Listing("sounds by their names", tuple(map(shown, classes)), {WHOLE: whole}, others, note, groups=groups)  # fmt: skip
