"""What the names of folders say: which split they hold, and whether pictures or their masks."""

import re
from typing import NamedTuple

IMAGE, MASK = "image", "mask"

# fmt: off
_SPLITS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test", "ts": "test",
}
_IMAGES = frozenset([
    "image", "images", "img", "imgs", "jpegimages", "pngimages", "input", "inputs", "x", "photo", "photos",
    "picture", "pictures", "original", "originals", "frame", "frames", "raw", "rgb", "leftimg8bit",
])
_MASKS = frozenset([
    "mask", "masks", "label", "labels", "annot", "annots", "annotation", "annotations", "groundtruth", "groundtruths",
    "gt", "gts", "segmentationclass", "segmentationclassaug", "segmentationclasspng", "segmentation", "segmentations",
    "seg", "segs", "target", "targets", "y", "gtfine", "trimap", "trimaps", "manual", "segmentationmask",
    "segmentationmasks", "labelsclass", "annotpng", "maskpng",
])
# fmt: on
_SHORT = frozenset(["tr", "ts", "trn", "tst", "dev"])  # splits only beside the word of a role


class Role(NamedTuple):
    """Which split a folder holds, "" where its name does not say, and `IMAGE`, `MASK` or "" likewise."""

    split: str
    kind: str


def role(name: str) -> Role | None:
    """What the name of a folder says; None where it says nothing of the kind.

    >>> role("trainannot"), role("imagesTr"), role("Val"), role("cats")
    (Role(split='train', kind='mask'), Role(split='train', kind='image'), Role(split='val', kind=''), None)
    """
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    kind = _kind(word)
    if kind:
        return Role("", kind)
    if word in _SPLITS and word not in _SHORT:
        return Role(_SPLITS[word], "")
    apart = len(word) < len(name)  # "x_train" is one, "testy" none
    for split, meant in sorted(_SPLITS.items(), key=lambda pair: -len(pair[0])):
        before = "" if split in _SHORT else word.removeprefix(split)
        for rest in (before, word.removesuffix(split)):
            if rest != word and (kind := _kind(rest)) and (apart or len(rest) > 1):
                return Role(meant, kind)
    return None


def _kind(word: str) -> str:
    if word in _IMAGES:
        return IMAGE
    return MASK if word in _MASKS else ""


def is_split(name: str) -> bool:
    """Whether a name says which split a thing belongs to, and nothing else."""
    found = role(name)
    return found is not None and bool(found.split) and not found.kind
