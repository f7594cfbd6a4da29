"""Pictures with a mask file an object: NAME/images/*.png beside NAME/masks/*.png, or images/NAME.png beside masks/NAME/*.png."""

from collections import Counter
from dataclasses import dataclass, field

from striate.data.files import shown
from striate.data.index import SPLITS, WHOLE, Candidate, Fault, Listing, Part
from striate.data.instances import IdFolders
from striate.data.layouts.annotations import INSTANCES
from striate.data.layouts.tree import IMAGE, MASK, Tree, role
from striate.data.sources import Files
from striate.data.targets import Instances

_NAMED = 5  # files of a fault that are named
_DEEPEST = 4  # folders


@dataclass
class _Found:
    images: list[str] = field(default_factory=list[str])
    masks: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    without: list[str] = field(default_factory=list[str])


def find(tree: Tree) -> Candidate | None:
    """Folders of masks that belong to one picture each, if there are several with more than one mask."""
    found = _Found()
    for folder in _folders(tree):
        _in_folder(tree, folder, found)
    several = sum(len(group) > 1 for group in found.masks)
    if not several:
        return None
    uses = frozenset(name.split("/")[0] for name in [*found.images, *found.without])
    return Candidate(
        "pictures with a mask an object",
        len(found.images),
        uses | {name.split("/")[0] for group in found.masks for name in group},
        lambda: _listing(tree, found),
        "each picture has a folder of masks",
        tasks=(INSTANCES,),
    )


def _folders(tree: Tree) -> list[str]:
    """Folders that hold one of pictures and one of masks."""
    pending, found = [""], list[str]()
    while pending:
        path = pending.pop(0)
        inside = tree.folders(path)
        kinds = {each.kind for name in inside if (each := role(name.rpartition("/")[2]))}
        if {IMAGE, MASK} <= kinds:
            found.append(path)
        elif path.count("/") < _DEEPEST:
            pending += inside
    return found


def _in_folder(tree: Tree, folder: str, found: _Found) -> None:
    kinds: dict[str, str] = {}
    for name in tree.folders(folder):
        if (each := role(name.rpartition("/")[2])) and each.kind:
            kinds.setdefault(each.kind, name)
    images, masks = tree.pictures(kinds[IMAGE]), kinds[MASK]
    if len(images) == 1 and len(group := tree.pictures(masks)) > 1:
        found.images.append(images[0])
        found.masks.append(tuple(group))
        return
    groups = {name.rpartition("/")[2]: name for name in tree.folders(masks)}
    for image in images:
        stem = image.rpartition("/")[2].rpartition(".")[0]
        group = tuple(tree.pictures(groups[stem])) if stem in groups else ()
        if group:
            found.images.append(image)
            found.masks.append(group)
        elif groups:
            found.without.append(image)


def _listing(tree: Tree, found: _Found) -> Listing:
    splits: dict[str, list[int]] = {}
    for i, name in enumerate(found.images):
        known = (SPLITS.get(part.lower(), "") for part in name.split("/")[:-1])
        splits.setdefault(next(filter(None, known), ""), []).append(i)
    if "train" not in splits:
        splits = {WHOLE: list(range(len(found.images)))}
    ignored = Counter[str]()
    if outside := splits.pop("", []):
        ignored["pictures in no split"] += len(outside)
    limits = tree.options.limits
    parts: dict[str, Part] = {}
    for split in ("train", "val", "test", WHOLE):
        if split not in splits:
            continue
        names = tuple(found.images[i] for i in splits[split])
        masks = IdFolders(tree.root, tuple(found.masks[i] for i in splits[split]), limits)
        parts[split] = Part(
            tuple(map(shown, names)), Instances(masks), Files(tree.root, names, limits)
        )
    faults: tuple[Fault, ...] = ()
    if found.without:
        first = tuple(map(shown, found.without[:_NAMED]))
        faults = (Fault("pictures without a mask", "left out", len(found.without), first),)
    return Listing(
        "pictures with a mask an object", (), parts, ignored, task=INSTANCES, faults=faults
    )
