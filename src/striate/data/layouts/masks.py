"""Pictures with masks: folders of each that belong together, in the usual spellings.

images/ + masks/, train/ + trainannot/, train/image/ + train/label/, JPEGImages/ + SegmentationClass/ with their
ImageSets; a picture and its mask share their name, up to a suffix, a prefix and the extension. Or both lie in one
folder, where masks end in _mask, _gt and the like. Settings: images=FOLDER, masks=FOLDER, suffix=ENDING (of the name of
a mask), ignore=VALUE (pixels that count nowhere).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from striate.data import files, instances
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Fault, Listing, Part
from striate.data.instances import IdFiles
from striate.data.layouts import mask_values
from striate.data.layouts.annotations import INSTANCES
from striate.data.layouts.file_lists import split_lists, splits_by_lists
from striate.data.layouts.tree import IMAGE, MASK, Tree, role
from striate.data.masks import MaskFiles
from striate.data.pictures import Limits
from striate.data.sources import Files
from striate.data.targets import Instances, Masks
from striate.errors import DataError
from striate.text import some

SETTINGS = ("images", "masks", "suffix", "ignore")
_DEEPEST = 7  # folders
_UNMATCHED = "masks without a picture"
_NAMED = 5  # files of a fault that are named
_LOOKED = 64  # masks whose values are read to tell ids from one value
_SUFFIX = re.compile(
    r"[ _.-](mask|masks|label|labels|gt|groundtruth|ground_truth|seg|segmentation|annotation|annot|target|L|P)$",
    re.IGNORECASE,
)

Names = tuple[str, ...]


@dataclass(frozen=True)
class Folder:
    """A folder with pictures in it: its split and kind as its path says, the rest of that path, its pictures."""

    path: str
    split: str
    kind: str
    rest: Names
    pictures: Names


@dataclass
class Pairs:
    """Pictures and their masks.

    Attributes:
        images: the pictures of each split.
        masks: the mask of each of them.
        without_mask: pictures beside others that have a mask.
        without_picture: masks that belong to no picture.
        unlabelled: pictures in folders without any mask, counted by folder.
        lists: the files that say which split a pair is in.
    """

    images: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    masks: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    without_mask: list[str] = field(default_factory=list[str])
    without_picture: list[str] = field(default_factory=list[str])
    unlabelled: Counter[str] = field(default_factory=Counter[str])
    lists: list[str] = field(default_factory=list[str])

    def __len__(self) -> int:
        return sum(map(len, self.images.values()))

    def add(self, split: str, image: str, mask: str) -> None:
        """One pair."""
        self.images.setdefault(split, []).append(image)
        self.masks.setdefault(split, []).append(mask)


def find(tree: Tree) -> Candidate | None:
    """Pictures and masks, if at least one folder of masks has names that belong to pictures."""
    asked = tree.options.asks_for("masks")
    settings = tree.options.settings if asked else {}
    try:
        pairs = pairs_of(list(folders(tree, settings)), settings.get("suffix"))
        pairs = _by_split_lists(tree, pairs) if len(pairs) else pairs
    except DataError as error:
        return _ambiguous(error)
    if not len(pairs):
        return None
    used = [name for held in (*pairs.images.values(), *pairs.masks.values()) for name in held]
    uses = frozenset(
        name.split("/")[0]
        for name in [*used, *pairs.without_mask, *pairs.without_picture, *pairs.unlabelled]
    )
    doubt = ""
    if len(pairs) < max(len(pairs.without_picture), 1):
        doubt = (
            f"{shown(tree.name)} holds folders of pictures and of masks, but only {len(pairs)} of "
            f"{len(pairs) + len(pairs.without_picture)} masks are named like a picture ({_first(pairs.without_picture)} is not)"
        )
    read = partial(listing, tree, pairs, settings.get("ignore"))
    why = "folders of pictures and of masks hold files of the same names"
    tasks = ("segment", INSTANCES)
    return Candidate("pictures with masks", len(pairs), uses, read, why, doubt, tasks=tasks)


def _ambiguous(error: DataError) -> Candidate:
    """Pictures and masks that do not go together without doubt: said unless another layout is asked for."""
    return Candidate.unreadable("pictures with masks", str(error), rivals=True, tasks=("segment",))


def folders(
    tree: Tree, settings: dict[str, str], held: Callable[[str], list[str]] | None = None
) -> Iterator[Folder]:
    """Every folder that holds pictures, or what `held` names of it, as far down as data usually lie."""
    kinds = {
        settings[key].strip("/"): kind
        for key, kind in (("images", IMAGE), ("masks", MASK))
        if key in settings
    }
    pending = [""]
    while pending:
        path = pending.pop(0)
        if path.count("/") < _DEEPEST:
            pending += tree.folders(path)
        pictures = tuple((held or tree.pictures)(path))
        if pictures:
            split, kind, rest = _read_path(path, kinds)
            yield Folder(path, split, kind, rest, pictures)


def _read_path(path: str, kinds: dict[str, str]) -> tuple[str, str, Names]:
    """Split, kind and the rest of a path."""
    split = kind = ""
    rest: list[str] = []
    for part in path.split("/") if path else ():
        found = role(part)
        if found is None and part not in kinds:
            rest.append(part)
            continue
        split = (found.split if found else "") or split
        kind = kinds.get(part) or (found.kind if found and not kinds else "") or kind
    return split, kinds.get(path, kind), tuple(rest)


def pairs_of(folders: list[Folder], suffix: str | None) -> Pairs:
    """Every mask with the picture that it belongs to."""
    pairs = Pairs()
    taken: set[str] = set()
    with_masks: set[str] = set()
    for masks in (folder for folder in folders if folder.kind == MASK):
        beside = _folders_of_pictures(masks, folders)
        if not beside:
            continue
        images = [name for folder in beside for name in folder.pictures]
        found = matched(images, masks.pictures, suffix)
        with_masks.update(folder.path for folder in beside if found)
        of = {name: folder for folder in beside for name in folder.pictures}
        for mask in masks.pictures:
            image = found.get(mask)
            if image is None or image in taken:
                pairs.without_picture.append(mask)
            else:
                taken.add(image)
                pairs.add(of[image].split or masks.split or WHOLE, image, mask)
    if not len(pairs):
        return _pairs_in_one_folder(folders, suffix)
    for folder in folders:
        left = [name for name in folder.pictures if name not in taken]
        if folder.path in with_masks:
            pairs.without_mask += left
        elif folder.kind == IMAGE and left:
            pairs.unlabelled[folder.path] += len(left)
    return pairs


def _folders_of_pictures(masks: Folder, folders: list[Folder]) -> list[Folder]:
    """The folders of pictures that a folder of masks belongs to: of its split if there are, else of any."""
    alike = [f for f in folders if f.rest == masks.rest and f.kind != MASK]
    exact = [f for f in alike if f.split == masks.split]
    for found in (
        [f for f in exact if f.kind == IMAGE],
        [f for f in exact if not f.kind],
        [f for f in alike if f.kind == IMAGE and not (f.split and masks.split)],
    ):
        if found:
            return found
    return []


def _pairs_in_one_folder(folders: list[Folder], suffix: str | None) -> Pairs:
    """Pictures and masks in the same folders, where masks have a suffix."""
    pairs = Pairs()
    ends = re.compile(re.escape(suffix) + "$") if suffix else _SUFFIX
    for folder in folders:
        stems = {_stem(name): name for name in folder.pictures}
        masks = {stem: name for stem, name in stems.items() if ends.search(stem)}
        found = {mask: stems.get(ends.sub("", stem)) for stem, mask in masks.items()}
        if sum(image is not None for image in found.values()) * 2 <= len(masks):
            continue
        bare = set(folder.pictures) - set(found)
        for mask, image in found.items():
            if image is None:
                pairs.without_picture.append(mask)
                continue
            bare.discard(image)
            pairs.add(folder.split or WHOLE, image, mask)
        pairs.without_mask += sorted(bare)
    return pairs


def matched(
    images: Iterable[str], masks: Iterable[str], suffix: str | None = None
) -> dict[str, str]:
    """Mask -> picture, by their names without extension and without what all of them begin or end with.

    Raises:
        DataError: two pictures have the same name up to the extension.
    """
    by_stem = _by_stem(images)
    ours = {mask: _stem(mask) for mask in masks}
    if suffix is not None:
        return {
            mask: by_stem[key]
            for mask, stem in ours.items()
            if stem.endswith(suffix) and (key := stem.removesuffix(suffix)) in by_stem
        }
    for change in (_as_it_is, _without_role, _without_shared):
        pictures, labels = change(by_stem), change({stem: mask for mask, stem in ours.items()})
        found = {labels[key]: pictures[key] for key in labels if key in pictures}
        if 2 * len(found) > min(len(ours), len(by_stem)):
            return found
    return _by_beginning(by_stem, ours)


def _by_stem(images: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in images:
        other = found.setdefault(_stem(name), name)
        if other != name:
            raise DataError(
                f"{shown(other)} and {shown(name)} have the same name: it is not known which one a mask of that "
                "name belongs to; leave one out with ignore="
            )
    return found


def _stem(name: str) -> str:
    base = name.rpartition("/")[2]
    if base.lower().endswith(".nii.gz"):
        return base[: -len(".nii.gz")]
    return base.rpartition(".")[0] or base


def _as_it_is(stems: dict[str, str]) -> dict[str, str]:
    return stems


_WORD = (
    r"mask|masks|label|labels|gt|groundtruth|ground_truth|seg|segmentation|annotation|annot|target|"
    r"image|images|img|input|leftimg8bit|sat|rgb"
)
_ROLE = re.compile(rf"^(?:{_WORD})[ _.-]+|[ _.-]+(?:{_WORD})$", re.IGNORECASE)


def _without_role(stems: dict[str, str]) -> dict[str, str]:
    """Without a word such as mask or image at either end; () where that makes two alike."""
    found = {_ROLE.sub("", stem): name for stem, name in stems.items()}
    return found if len(found) == len(stems) else {}


def _without_shared(stems: dict[str, str]) -> dict[str, str]:
    """Without what all begin and end with, cut at letters' ends; () for a single one."""
    if len(stems) < 2:
        return {}
    first, last = min(stems), max(stems)
    front = re.match(r"(?:.*[ _.-]|[^\W\d_]+)?", _common(first, last))
    turned = [stem[::-1] for stem in stems]
    back = re.match(r"(?:.*[ _.-]|[^\W\d_]+)?", _common(min(turned), max(turned)))
    start, end = len(front[0]) if front else 0, len(back[0]) if back else 0
    found = {stem[start : len(stem) - end]: name for stem, name in stems.items()}
    return found if len(found) == len(stems) and "" not in found else {}


def _common(a: str, b: str) -> str:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return a[:i]
    return min(a, b, key=len)


def _by_beginning(by_stem: dict[str, str], masks: dict[str, str]) -> dict[str, str]:
    """Masks whose name begins with that of a picture, and goes on in the way that most do."""
    endings: dict[str, dict[str, str]] = {}
    for mask, stem in masks.items():
        key = next((stem[:k] for k in range(len(stem), 0, -1) if stem[:k] in by_stem), None)
        if key is not None:
            endings.setdefault(stem[len(key) :], {})[mask] = by_stem[key]
    best = max(endings.values(), key=len, default={})
    several = [end for end, found in endings.items() if 2 * len(found) > len(best)]
    if len(several) > 1:
        raise DataError(
            f"a picture has several masks, whose names end in {', '.join(sorted(map(shown, several)))}: choose with "
            f"layout=masks:suffix={shown(min(several))}"
        )
    return best if 2 * len(best) > min(len(masks), len(by_stem)) else {}


def _by_split_lists(tree: Tree, pairs: Pairs) -> Pairs:
    """Pairs assigned to splits by list files, where the folders say nothing of splits and there are such files."""
    if set(pairs.images) != {WHOLE}:
        return pairs
    splits = splits_by_lists(tree, pairs.images[WHOLE])
    if splits is None:
        return pairs
    lists = list(split_lists(tree).values())
    found = Pairs(
        without_mask=pairs.without_mask,
        without_picture=pairs.without_picture,
        unlabelled=pairs.unlabelled,
        lists=lists,
    )
    for image, mask, split in zip(pairs.images[WHOLE], pairs.masks[WHOLE], splits, strict=True):
        if split:
            found.add(split, image, mask)
        else:
            found.unlabelled["(in no list)"] += 1
    return found


def listing(
    tree: Tree,
    pairs: Pairs,
    void: str | None,
    *,
    layout: str = "pictures with masks",
    unmatched: str = _UNMATCHED,
) -> Listing:
    """The pairs with what their masks mean; unmatched: what `pairs.without_picture` are called.

    Raises:
        DataError: the values of the masks are no classes.
    """
    root, limits = tree.root, tree.options.limits
    masks = [name for held in pairs.masks.values() for name in held]
    if tree.options.task == INSTANCES:
        return _instances(tree, pairs, layout, unmatched)
    folders = sorted({name.rpartition("/")[0] for name in masks})
    names = mask_values.names_beside(tree, mask_values.folders_above(folders))
    meaning = mask_values.meaning(mask_values.count_values(root, masks, limits), names, void)
    parts = {
        split: Part(
            tuple(map(shown, pairs.images[split])),
            Masks(MaskFiles(root, tuple(pairs.masks[split]), limits, meaning.coding)),
            Files(root, tuple(pairs.images[split]), limits),
        )
        for split in ("train", "val", "test", WHOLE)
        if split in pairs.images
    }
    ignored = _unused(tree, folders, pairs)
    faults = _unmatched(pairs, unmatched)
    return Listing(
        layout,
        tuple(map(shown, meaning.classes)),
        parts,
        ignored,
        "; ".join(meaning.notes),
        "segment",
        faults=faults,
        tables=_recorded(tree, [*pairs.lists, *([names.file] if names else [])]),
    )


def _unused(tree: Tree, folders: list[str], pairs: Pairs) -> Counter[str]:
    """What lies beside the pairs, by kind."""
    ignored = Counter[str]()
    for folder, count in pairs.unlabelled.items():
        ignored[f"{shown(folder)} (no masks)" if folder[:1] != "(" else folder] += count
    return ignored + _beside_pairs(tree, folders, pairs)


def _unmatched(pairs: Pairs, unmatched: str) -> tuple[Fault, ...]:
    held = (("pictures without a mask", pairs.without_mask), (unmatched, pairs.without_picture))
    return tuple(
        Fault(name, "left out", len(names), tuple(map(shown, names[:_NAMED])))
        for name, names in held
        if names
    )


def _instances(tree: Tree, pairs: Pairs, layout: str, unmatched: str) -> Listing:
    """The pairs with masks of ids: an id an object, or one value, of which each connected region is an object."""
    root, limits = tree.root, tree.options.limits
    masks = [name for held in pairs.masks.values() for name in held]
    single, note = _single(root, masks, limits)
    parts = {
        split: Part(
            tuple(map(shown, pairs.images[split])),
            Instances(IdFiles(root, tuple(pairs.masks[split]), limits, single)),
            Files(root, tuple(pairs.images[split]), limits),
        )
        for split in ("train", "val", "test", WHOLE)
        if split in pairs.images
    }
    folders = sorted({name.rpartition("/")[0] for name in masks})
    ignored, faults = _unused(tree, folders, pairs), _unmatched(pairs, unmatched)
    tables = _recorded(tree, pairs.lists)
    return Listing(layout, (), parts, ignored, note, INSTANCES, faults=faults, tables=tables)


def _single(root: Path, masks: list[str], limits: Limits) -> tuple[bool, str]:
    """Whether masks have one value beside 0, and a line on how they are understood.

    Raises:
        DataError: all of those that are looked at are empty, or none can be read.
    """
    values: set[int] = set()
    reasons: list[str] = []
    jump = ""
    for name in masks[:: -(-len(masks) // _LOOKED)]:
        try:
            own = np.unique(instances.values_of(files.read(root / name), limits))
        except DataError as error:
            reasons.append(f"{shown(name)}: {error}")
            continue
        own = own[own != 0]
        values.update(own.tolist())
        if not jump and len(own) and own[-1] != len(own):
            jump = f"ids that jump, such as to {own[-1]} of {len(own)} in {shown(name)}, are numbered anew"
    if not values:
        first = f"; {reasons[0]}" if reasons else ""
        raise DataError(f"no object in any mask: all values are 0{first}")
    if len(values) == 1:
        value = next(iter(values))
        return True, f"masks hold {value} alone beside 0: each connected region of it is an object"
    return False, jump


def _recorded(tree: Tree, names: list[str]) -> dict[str, str]:
    """SHA-256 of the files that decide about splits and classes."""
    return {
        name: hashlib.sha256(files.read(tree.root / name)).hexdigest()
        for name in dict.fromkeys(names)
    }


def _beside_pairs(tree: Tree, folders: list[str], pairs: Pairs) -> Counter[str]:
    """Other files in the folders of pairs, by kind."""
    images = {name.rpartition("/")[0] for held in pairs.images.values() for name in held}
    found: Counter[str] = Counter()
    for folder in {*folders, *images} - {""}:
        known = set(tree.pictures(folder))
        for entry in tree.entries(folder):
            name = f"{folder}/{entry.name}"
            if entry.kind != "folder" and name not in known:
                found[files.kind(entry)] += 1
    return found


def _first(names: list[str]) -> str:
    return some([shown(name) for name in names[:_NAMED]], _NAMED, of=len(names))
