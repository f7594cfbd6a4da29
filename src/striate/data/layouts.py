"""Which layout lies at a path: the fullest form wins, and what was left aside is counted."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from striate.data import archives, cifar, files, folders, idx, npz, pictures, shards, webdataset
from striate.data.byteranges import Local
from striate.data.files import shown
from striate.data.listing import IGNORED, Candidate, Listing, Options
from striate.errors import DataError

EXPECTED = "a folder of class folders, the idx files of MNIST, an .npz file, a zip or tar of one of these, or shards"
_DEEPEST = 8  # single folders that are entered


def read(path: Path, options: Options) -> Listing:
    """Read the layout at an existing path.

    Raises:
        DataError: nothing there is a layout we know; the message says what is there.
    """
    if path.is_dir():
        return _folder(path, options)
    if not path.is_file():
        raise DataError(
            f"{shown(path)} is neither a folder nor a regular file; expected {EXPECTED}"
        )
    if path.suffix.lower() == ".npz":
        return npz.open_file(path, options)
    if archives.is_archive(path):
        folder, left = archives.unpack(path, options.store)
        listing = _folder(folder, options, name=path)
        ignored = Counter(listing.ignored) + Counter(left)
        return replace(listing, layout=f"{listing.layout} in an archive", ignored=ignored)
    if pictures.is_picture(path):
        raise DataError(f"{shown(path)} is a single picture; expected {EXPECTED}")
    if idx.NAME.fullmatch(path.name):
        raise DataError(
            f"{shown(path)} is one of the four idx files; give the folder that holds them"
        )
    if archives.is_cut_zip(path):
        raise DataError(f"{shown(path)} is a damaged zip: its end is missing; fetch it again")
    raise DataError(f"{shown(path)} is no data that is known here; expected {EXPECTED}")


def _folder(root: Path, options: Options, name: Path | None = None) -> Listing:
    name = name or root
    if (root / shards.TABLE).is_file() or (root / shards.AT_WORK).is_dir():
        return shards.read(Local(root), options)
    root = _entered(root, options)
    unsound: list[DataError] = []
    finds = (idx.find, cifar.find, webdataset.find, folders.find)
    found = [find(root, options) for find in finds]
    candidates = [c for c in (*found, *npz.find(root, options, unsound)) if c is not None]
    if not candidates:
        raise unsound[0] if unsound else DataError(_nothing(name, root, options))
    best = max(candidates, key=lambda c: c.count)
    listing = best.read(root, options)
    return replace(
        listing, ignored=Counter(listing.ignored) + _aside(root, best, candidates, options)
    )


def _entered(root: Path, options: Options) -> Path:
    """The folder itself, or the one below it where it holds nothing but that and that is no class."""
    for _ in range(_DEEPEST):
        seen = [e for e in files.entries(root) if e.kind in ("file", "folder")]
        if len(seen) != 1 or seen[0].kind != "folder" or seen[0].name.lower() in folders.SPLITS:
            break
        below = files.entries(root / seen[0].name)
        if not any(e.kind == "folder" or _is_data(e, options) for e in below):
            break
        root /= seen[0].name
    return root


def _is_data(entry: files.Entry, options: Options) -> bool:
    known = entry.name.lower().endswith((".npz", ".bin", ".tar")) or idx.NAME.fullmatch(entry.name)
    return entry.kind == "file" and bool(known) and not options.leaves_out(entry.name)


def _aside(
    root: Path, best: Candidate, candidates: list[Candidate], options: Options
) -> Counter[str]:
    """What lies at the top and is not used: other layouts by name, everything else by kind."""
    others = frozenset[str]().union(*(c.uses for c in candidates)) - best.uses
    aside: Counter[str] = Counter()
    for entry in files.entries(root):
        if entry.name in best.uses:
            continue
        if options.leaves_out(entry.name):
            aside[IGNORED] += 1
        elif entry.kind == "folder":
            aside[f"{shown(entry.name)}/"] += sum(1 for _ in files.walk(root, entry.name))
        elif entry.name in others:
            aside[shown(entry.name)] += 1
        else:
            aside[files.kind(entry)] += 1
    return aside


def _nothing(name: Path, root: Path, options: Options) -> str:
    """Why a folder gives nothing, in words that show what it holds."""
    entries = [e for e in files.walk(root) if not options.leaves_out(e.name)]
    suffixes = pictures.SUFFIXES | pictures.OTHER_SUFFIXES
    loose = [e for e in entries if e.kind == "file" and Path(e.name).suffix.lower() in suffixes]
    if loose:
        return (
            f"{shown(name)} holds {len(loose)} picture{'s' * (len(loose) != 1)} but no class folders: "
            "put the pictures of each class into a folder of its own"
        )
    if not entries:
        return f"{shown(name)} is empty; expected {EXPECTED}"
    kinds = Counter(files.kind(e) for e in entries).most_common()
    listed = ", ".join(f"{kind} {count}" for kind, count in kinds[:8])
    links = " (links are not followed)" if files.LINK in dict(kinds) else ""
    many = len(entries)
    return (
        f"{shown(name)} holds no pictures among its {many} file{'s' * (many != 1)} "
        f"({listed}){links}; expected {EXPECTED}"
    )
