"""Near copies, contradictions, classes of very different sizes, and what of a picture is left out."""

import gzip
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from striate import cli, data
from striate.data import duplicates, summary
from striate.errors import DataError

SHARED = os.environ.get("STRIATE_SHARED")


def scene(seed: int, size: int = 96) -> Image.Image:
    """A picture with large and small shapes, as photos have."""
    rng = np.random.default_rng(seed)
    noise = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize(
                (size, size), Image.Resampling.BICUBIC
            ),
            float,
        )
        for n in (4, 9, 24)
    ]
    return Image.fromarray(
        np.clip(0.5 * noise[0] + 0.3 * noise[1] + 0.2 * noise[2], 0, 255).astype(np.uint8)
    )


def jpeg(im: Image.Image, quality: int) -> Image.Image:
    out = BytesIO()
    im.save(out, "JPEG", quality=quality)
    return Image.open(out)


CHANGES: dict[str, Any] = {
    "jpeg": lambda im: jpeg(im, 40),
    "half": lambda im: im.resize((im.width // 2, im.height // 2)),
    "brighter": lambda im: im.point([min(255, int(v * 1.1 + 4)) for v in range(256)] * 3),
    "grey": lambda im: im.convert("L"),
    "cut": lambda im: im.crop((1, 1, im.width - 1, im.height - 1)),
    "noise": lambda im: Image.fromarray(
        np.clip(
            np.asarray(im) + np.random.default_rng(0).normal(0, 6, np.asarray(im).shape), 0, 255
        ).astype(np.uint8)
    ),
}


@pytest.fixture
def scenes(tmp_path: Path, cache: Path) -> Path:
    for k in range(40):
        path = tmp_path / "set" / "ab"[k % 2] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(k).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_are_found(scenes, change):
    CHANGES[change](scene(4)).save(scenes / "a" / "copy.png")
    opened = data.open(scenes, val=0)
    assert opened.near_duplicates == (("a/04.png", "a/copy.png"),)
    assert opened.duplicates == ()
    assert (
        "near duplicates, alike at 32 x 32 pixels: 1\n  a/04.png ~ a/copy.png" in opened.as_text()
    )
    assert opened.as_dict()["near_duplicates"] == [["a/04.png", "a/copy.png"]]


def test_different_pictures_are_no_near_copies(scenes):
    opened = data.open(scenes)
    assert opened.near_duplicates == ()
    assert "near" not in opened.as_text()


def test_exact_copies_are_not_counted_again(scenes):
    (scenes / "a" / "same.png").write_bytes((scenes / "a" / "04.png").read_bytes())
    opened = data.open(scenes, val=0)
    assert (opened.near_duplicates, opened.duplicates) == ((), (("a/04.png", "a/same.png"),))


def test_near_copies_across_splits_are_a_leak(scenes, tmp_path):
    (tmp_path / "new").mkdir()
    scenes.rename(tmp_path / "new" / "train")
    for label in "ab":
        (tmp_path / "new" / "test" / label).mkdir(parents=True)
        scene(100 + ord(label)).save(tmp_path / "new" / "test" / label / "x.png")
    CHANGES["jpeg"](scene(4)).save(tmp_path / "new" / "test" / "a" / "y.png")
    opened = data.open(tmp_path / "new")
    assert opened.near_leaks == 1
    assert (
        "near duplicates, alike at 32 x 32 pixels: 1; 1 across splits, a leak where both show the same\n"
        in opened.as_text()
    )


def apart(root: Path, split: str = "stratified") -> tuple[data.Data, int]:
    """Opened, and how many near copies a drawn split parts from what they are copies of."""
    opened = data.open(root, val=0.5, split=split)
    return opened, opened.near_leaks


@pytest.mark.parametrize("deep", [False, True])
def test_near_copies_stay_on_one_side_where_that_is_asked(scenes, deep):
    for k in range(16):
        CHANGES["jpeg"](scene(k)).save(scenes / "ab"[k % 2] / f"{k:02}_saved_again.png")
    if deep:  # 12 bits in 16, of which 8 bits would leave 16 levels
        for path in scenes.rglob("*.png"):
            values = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
            Image.fromarray(values).save(path)
    plain, leaks = apart(scenes)
    assert leaks > 2
    command = f"striate train {scenes} split=similar"
    assert (
        f"{leaks} across splits, a leak where both show the same; to keep them on one side: {command}\n"
        in (plain.as_text())
    )
    together, none = apart(scenes, "similar")
    assert none == 0
    assert len(together.near_duplicates or ()) == 16
    assert together.note.startswith("16 near duplicates stay on the side of what they are like")
    assert "one side" not in together.as_text()
    assert {len(split) for split in together.splits.values()} == {28}
    assert data.again(together.origin).splits["val"].names == together.splits["val"].names


def test_near_copies_and_folders_stay_together_at_once(scenes):
    for k in range(40):
        here = scenes / "ab"[k % 2] / f"{k:02}.png"
        below = here.parent / f"day{k // 4}"
        below.mkdir(exist_ok=True)
        here.rename(below / here.name)
    CHANGES["jpeg"](scene(4)).save(scenes / "a" / "day9" / "copy.png")
    opened = data.open(scenes, val=0.3, split="similar+folder")
    assert opened.near_leaks == 0
    days = [{Path(name).parent.name for name in split.names} for split in opened.splits.values()]
    assert not days[0] & days[1]
    assert any({"day1", "day9"} <= of for of in days)


def test_what_similar_cannot_do_is_said(scenes, tmp_path, monkeypatch):
    table = tmp_path / "who.csv"
    rows = [
        f"{p.parent.name}/{p.name},{'val' if p.stem > '30' else 'train'}"
        for p in scenes.rglob("*.png")
    ]
    table.write_text("\n".join(["file,part", *rows]))
    with pytest.raises(
        DataError, match="the table says which split each item is in, so none can be moved"
    ):
        data.open(scenes, split=f"similar+{table}:part")
    with monkeypatch.context() as patched:
        patched.setattr(duplicates, "MOST", 10)
        with pytest.raises(
            DataError, match="compares up to 10 pictures, these are 40 pictures: use"
        ):
            data.open(scenes, split="similar")
    for split in ("train", "val"):
        (tmp_path / "own" / split).mkdir(parents=True)
        for label in "ab":
            (tmp_path / "own" / split / label).mkdir()
            scene(len(split)).save(tmp_path / "own" / split / label / "x.png")
    assert data.open(tmp_path / "own", split="similar").note == (
        "split=similar has no effect: the data have splits of their own"
    )


def drawn(shape: str, centre: tuple[int, int], radius: int) -> Image.Image:
    """One shape on a plain ground."""
    im = Image.new("L", (64, 64), 255)
    (x, y), pen = centre, ImageDraw.Draw(im)
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=0)
    elif shape == "square":
        pen.rectangle(box, fill=0)
    else:
        pen.line(box, fill=0, width=3)
    return im


@pytest.mark.parametrize("shape", ["circle", "square", "line"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_plain_shapes_that_were_drawn_apart_are_no_near_copies(shape, seed):
    rng = np.random.default_rng(seed)
    every = [((x, y), r) for x in range(21, 44) for y in range(21, 44) for r in range(8, 17)]
    chosen = [every[i] for i in rng.choice(len(every), 200, replace=False)]
    large = [np.asarray(drawn(shape, *each)) for each in chosen]
    small = np.stack([np.asarray(Image.fromarray(x).resize((32, 32))) for x in large])
    assert duplicates.similar(small) == []
    saved = np.asarray(jpeg(Image.fromarray(large[7]), 60).resize((32, 32)))
    assert duplicates.similar(np.concatenate([small, saved[None]])) == [(7, 200)]


@pytest.mark.parametrize("change", ["exact", "jpeg"])
def test_one_picture_under_two_labels(scenes, change):
    path = scenes / "b" / "other.png"
    if change == "exact":
        path.write_bytes((scenes / "a" / "04.png").read_bytes())
    else:
        CHANGES[change](scene(4)).save(path)
    opened = data.open(scenes, val=0)
    assert opened.contradictions == (("a/04.png", "b/other.png"),)
    assert (
        "contradictions: 1 pictures that are the same, or nearly, have different labels"
        in opened.as_text()
    )


def test_blank_and_broken_pictures_are_not_compared(scenes):
    for k in range(3):
        Image.new("L", (9 + k, 9), 200).save(scenes / "a" / f"blank{k}.png")
        (scenes / "b" / f"broken{k}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([k]))
    opened = data.open(scenes, val=0, broken="skip")
    assert opened.near_duplicates == ()
    assert len(opened.problems) == 3


@pytest.mark.skipif(
    not SHARED,
    reason="no real data here: set STRIATE_SHARED to the folder that holds data/ and figures/",
)
@pytest.mark.slow
def test_handwritten_digits_are_no_near_copies():
    packed = Path(str(SHARED)) / "data" / "mnist" / "train-images-idx3-ubyte.gz"
    labels = packed.with_name("train-labels-idx1-ubyte.gz")
    images = np.frombuffer(gzip.decompress(packed.read_bytes()), np.uint8, offset=16).reshape(
        -1, 28, 28
    )
    ones = images[np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8) == 1]
    small = np.stack(
        [
            np.asarray(Image.fromarray(each).resize((32, 32), Image.Resampling.BILINEAR))
            for each in ones
        ]
    )
    assert duplicates.similar(small) == []


def test_classes_without_an_item_in_a_split_are_said(pictures):
    for split, counts in (("train", {"a": 4, "b": 4, "c": 3}), ("val", {"a": 2, "b": 2})):
        root = pictures(counts, below=split)
    assert data.open(root).as_dict()["warnings"] == [
        "val has no item of c: it has no scores there",
    ]
    counts = {"train": [4, 0], "val": [2, 2], "test": None}
    assert summary.class_warnings(("a", "b"), counts) == [
        "train has no item of b: it cannot be learned"
    ]
    rare = summary.class_warnings(("a", "b", "c"), {"train": [90, 0, 5]})
    assert rare == [  # one that is not there is not rare: no weight brings it back
        "train has 90 of a and 5 of c: the rare class counts little unless it is weighted, by class_weights=balanced",
        "train has no item of b: it cannot be learned",
    ]
    assert len(summary.class_warnings(("a", "b"), {"train": [90, 0]})) == 1


def test_sets_that_are_too_large_are_not_compared_and_it_is_said(scenes, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST", 10)
    opened = data.open(scenes)
    assert opened.as_dict()["near_duplicates"] is None
    assert "near duplicates: not looked for among so many" in opened.as_text()


def test_classes_of_very_different_sizes_are_said(cache, pictures):
    opened = data.open(pictures({"common": 66, "rare": 3}))
    assert opened.as_dict()["warnings"] == [
        "train has 53 of common and 2 of rare: the rare class counts little unless it is weighted, by class_weights=balanced",
        "val has a single item of rare: scores of it mean little",
    ]
    assert data.open(pictures({"a": 20, "b": 30}, root="even")).as_dict()["warnings"] == []


def save(path: Path, im: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    im.save(path)


@pytest.mark.parametrize(
    ("mode", "suffix", "key"),
    [
        ("RGBA", ".png", "alpha"),
        ("LA", ".png", "alpha"),
        ("RGBA", ".tif", "alpha"),
        ("RGBA", ".webp", "alpha"),
        ("RGBX", ".tif", "more_bands"),
    ],
)
def test_what_is_left_out_of_pictures_is_counted(cache, pictures, mode, suffix, key):
    root = pictures({"a": 3, "b": 3})
    im = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 4), np.uint8), "RGBA")
    if mode == "RGBX":
        im = Image.merge("RGBX", im.split())
    save(root / "a" / f"x{suffix}", im if mode != "LA" else im.convert("LA"))
    opened = data.open(root, val=0)
    assert opened.as_dict()[key] == 1
    assert ("laid on white" in opened.as_text()) == (key == "alpha")
    assert ("the fourth is left out" in opened.as_text()) == (key == "more_bands")
    assert data.open(pictures({"a": 3, "b": 3}, root="plain")).as_dict()[key] == 0


@pytest.mark.parametrize("extra", [None, 0])
def test_a_fourth_band_that_is_not_called_transparency_is_none(cache, pictures, extra):
    root = pictures({"a": 3, "b": 3})
    im = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 4), np.uint8), "RGBA")
    path = root / "a" / "x.tif"
    Image.merge("RGBX", im.split()).save(path)
    if extra is None:  # as some programs write it: take the tag out of the file's table
        raw = path.read_bytes()
        at = raw.index(b"\x52\x01\x03\x00\x01\x00\x00\x00")
        path.write_bytes(raw[:at] + b"\x51\x01" + raw[at + 2 :])
    assert np.array_equal(data.picture(path), np.asarray(im)[..., :3])
    assert data.open(root, val=0).as_dict()["more_bands"] == 1


FOREIGN = {
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "a Git LFS pointer, not the file itself",
    ),
    "heic": (
        b"\0\0\0\x18ftypheic" + bytes(40),
        "a picture of the format HEIC, which is not read: convert it to PNG or JPEG",
    ),
    "jp2": (
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "a picture of the format JPEG 2000, which is not read",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", [".jpg", ".heic"])
def test_files_of_other_kinds_are_named(cache, pictures, kind, suffix):
    root = pictures({"a": 3, "b": 3})
    (root / "a" / f"x{suffix}").write_bytes(FOREIGN[kind][0])
    problems = data.open(root, val=0).problems
    assert [p.file for p in problems] == [f"a/x{suffix}"]
    assert problems[0].reason.startswith(FOREIGN[kind][1])


@pytest.mark.parametrize("name", ["x.npz", "labels.csv"])
def test_a_pointer_in_place_of_data(cache, tmp_path, name):
    (tmp_path / name).write_bytes(FOREIGN["pointer"][0])
    with pytest.raises(
        DataError,
        match=rf"{name} is a Git LFS pointer, not the file itself: fetch it with git lfs pull$",
    ):
        data.open(tmp_path / name)


def test_nothing_that_can_be_read_is_an_error(cache, pictures, capsys):
    root = pictures({"a": 3, "b": 3})
    for path in root.rglob("*.png"):
        path.write_bytes(FOREIGN["pointer"][0] + path.name.encode())
    assert cli.main(["data", str(root)]) == 3
    assert capsys.readouterr().err.startswith(
        f"striate: none of 6 items of {root} can be read: a/000.png (a Git LFS pointer, not the file itself: fetch it with "
        "git lfs pull); a/001.png"
    )
