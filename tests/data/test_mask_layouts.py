"""Pictures with masks, in the spellings that people use: what is paired, split, named, left out and refused."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.data.layouts.tree import role
from striate.data.pictures import upright
from striate.errors import DataError

H, W = 10, 14


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, hash(path.name) % 1000]).integers(
        0, 256, (H, W, 3), np.uint8
    )
    Image.fromarray(pixels).save(path)


def numbers(
    path: Path, values: Iterable[int] = (0, 255), dtype: Any = np.uint8, **save: Any
) -> None:
    """A mask whose rows hold these values in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.resize(np.array(list(values), dtype), H)
    Image.fromarray(np.repeat(rows[:, None], W, 1)).save(path, **save)


def colors(path: Path, values: Iterable[tuple[int, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.resize(np.array(list(values), np.uint8), (H, 3))
    Image.fromarray(np.repeat(rows[:, None], W, 1)).save(path)


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.open(path, **options)
    return str(caught.value)


def sizes(opened: data.Data) -> dict[str, int]:
    return {name: len(split) for name, split in opened.splits.items()}


# where pictures lie, where masks lie, by split ("" where the data know none)
SPELLINGS = {
    "camvid": {s: (f"{s}/{{}}.png", f"{s}annot/{{}}.png") for s in ("train", "val", "test")},
    "inside": {s: (f"{s}/image/{{}}.png", f"{s}/label/{{}}.png") for s in ("train", "val")},
    "outside": {s: (f"images/{s}/{{}}.jpg", f"masks/{s}/{{}}.png") for s in ("train", "val")},
    "nnunet": {"train": ("imagesTr/{}.png", "labelsTr/{}.png")},
    "compound": {s: (f"{s}_images/{{}}.jpg", f"{s}_masks/{{}}.png") for s in ("train", "test")},
    "cities": {
        s: (f"leftImg8bit/{s}/ulm/{{}}_leftImg8bit.png", f"gtFine/{s}/ulm/{{}}_gtFine_labelIds.png")
        for s in ("train", "val")
    },
    "plain": {"": ("images/{}.jpg", "masks/{}.png")},
    "img gt": {"": ("img/{}.jpg", "gt/{}.png")},
    "x y": {"": ("x/{}.png", "y/{}.png")},
    "inputs": {"": ("Inputs/{}.png", "Targets/{}.png")},
    "truth": {"": ("images/{}.jpg", "groundTruth/{}.png")},
    "voc": {"": ("VOC2012/JPEGImages/{}.jpg", "VOC2012/SegmentationClass/{}.png")},
    "suffix": {"": ("images/{}.jpg", "masks/{}_mask.png")},
    "dash": {"": ("images/{}.jpg", "masks/{}-mask.png")},
    "fastai": {"": ("images/{}.png", "labels/{}_P.png")},
    "label": {"": ("images/{}.png", "labels/{}_L.png")},
    "prefix": {"": ("images/image_{}.png", "masks/mask_{}.png")},
    "both ends": {"": ("images/{}_training.png", "annotations/{}_manual1.png")},
    "loose": {"": ("{}.jpg", "masks/{}.png")},
    "one folder": {"": ("all/{}.png", "all/{}_mask.png")},
    "classes": {"": ("benign/b ({}).png", "benign/b ({})_mask.png")},
    "trimaps": {"": ("images/{}.jpg", "annotations/trimaps/{}.png")},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("named", ["{:03}", "0001TP_{:06}", "a-{}"])
def test_each_spelling_is_understood(root, spelling, named):
    for places in SPELLINGS[spelling].values():
        for i in range(5):
            picture(root / places[0].format(named.format(i + 7)))
            numbers(root / places[1].format(named.format(i + 7)), (0, 255) if i else (255, 0))
    opened = data.open(root)
    assert (opened.layout, opened.task, opened.kind) == ("pictures with masks", "segment", "mask")
    assert opened.classes == ("0", "255")
    splits = [s for s in SPELLINGS[spelling] if s]
    expected = dict.fromkeys(splits, 5) if len(splits) > 1 else {"train": 4, "val": 1}
    assert sizes(opened) == expected
    assert not opened.ignored
    for name, split in opened.splits.items():
        for i, picture_name in enumerate(split.names):
            first = [k for k in (8, 9, 10, 11) if named.format(k) in picture_name]
            assert split.targets.truth(i)[0, 0] == (0 if first else 1), (name, picture_name)
    assert opened.arrays("train").targets.shape[1:] == (H, W, 1)


@pytest.mark.parametrize(
    "name", ["cats", "try", "tests", "y2020", "no_mask", "with_mask", "grass", "train2017x"]
)
def test_other_names_say_nothing(name):
    assert role(name) is None


def test_pictures_without_masks_are_counted(root):
    for i in range(4):
        picture(root / f"train/image/{i}.png")
        numbers(root / f"train/label/{i}.png")
        picture(root / f"test/image/{i}.png")
    picture(root / "train/image/bare.png")
    numbers(root / "train/label/lone.png")
    (root / "train/label/notes.txt").write_text("x")
    opened = data.open(root)
    assert sizes(opened) == {"train": 3, "val": 1}
    assert opened.ignored == {
        ".txt": 1,
        "test/image (no masks)": 4,
    }
    assert [(f.kind, f.done, f.count, f.places) for f in opened.faults] == [
        ("pictures without a mask", "left out", 1, ("train/image/bare.png",)),
        ("masks without a picture", "left out", 1, ("train/label/lone.png",)),
    ]
    assert "masks without a picture: 1, left out (train/label/lone.png)" in opened.as_text()


def test_masks_that_are_named_otherwise_are_refused(root):
    for i in range(6):
        picture(root / f"images/{i}.png")
        numbers(root / f"masks/{'abcdef'[i]}.png")
    assert "folders that are named for splits, pictures or masks (images, masks)" in refused(root)


@pytest.mark.parametrize("lists", ["ImageSets/Segmentation/{}.txt", "{}.txt", "splits/{}_list.txt"])
def test_lists_of_names_make_the_splits(root, lists):
    for i in range(8):
        picture(root / f"JPEGImages/{i:03}.jpg")
        numbers(root / f"SegmentationClass/{i:03}.png")
    for split, ids in (("train", (0, 1, 2, 3)), ("val", (4, 5))):
        path = root / lists.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{i:03}\n" for i in ids))
    opened = data.open(root)
    assert sizes(opened) == {"train": 4, "val": 2}
    assert [Path(name).stem for name in opened.splits["val"].names] == ["004", "005"]
    assert opened.ignored["(in no list)"] == 2


def test_a_list_of_val_alone_leaves_the_rest_to_train(root):
    for i in range(6):
        picture(root / f"images/{i:03}.png")
        numbers(root / f"labels/{i:03}_P.png")
    (root / "valid.txt").write_text("001.png\n004.png\n")
    assert sizes(data.open(root)) == {"train": 4, "val": 2}


def made(
    root: Path, write: Callable[[Path, int], None], count: int = 4, suffix: str = ".png"
) -> Path:
    for i in range(count):
        picture(root / f"images/{i}.png")
        write(root / f"masks/{i}{suffix}", i)
    return root


def values_of(opened: data.Data) -> list[int]:
    found: set[int] = set()
    for split in opened.splits.values():
        for i in range(len(split)):
            found.update(np.unique(split.targets.truth(i)).tolist())
    return sorted(found)


@pytest.mark.parametrize(
    ("values", "classes", "inside"),
    [
        ((0, 255), ("0", "255"), [0, 1]),
        ((0, 1), ("0", "1"), [0, 1]),
        ((1, 2, 3), ("1", "2", "3"), [0, 1, 2]),
        ((0, 1, 255), ("0", "1"), [0, 1, 255]),
        ((0, 3, 11, 255), ("0", "3", "11"), [0, 1, 2, 255]),
        ((0, 128, 255), ("0", "128", "255"), [0, 1, 2]),
        ((0, 85, 170, 255), ("0", "85", "170", "255"), [0, 1, 2, 3]),
    ],
)
def test_values_are_classes(root, values, classes, inside):
    opened = data.open(made(root, lambda path, _: numbers(path, values)))
    assert opened.classes == classes
    assert values_of(opened) == inside
    assert ("255 counts nowhere" in opened.note) == (255 in inside)


def test_what_counts_nowhere_can_be_said(root):
    made(root, lambda path, _: numbers(path, (0, 1, 255)))
    assert data.open(root, layout="masks:ignore=none").classes == ("0", "1", "255")
    other = data.open(root, layout="masks:ignore=0")
    assert (other.classes, values_of(other)) == (("1", "255"), [0, 1, 255])
    with pytest.raises(
        DataError, match=r"^layout=masks:ignore=white: expected a number, #rrggbb or none$"
    ):
        data.open(root, layout="masks:ignore=white")


def palette(path: Path, i: int, values: tuple[int, ...] = (0, 15, 255), turn: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    im = Image.fromarray(
        np.repeat(np.resize(np.array(values, np.uint8), H)[:, None], W, 1), "L"
    ).convert("P")
    table = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    im.putpalette(np.roll(table, turn, 0).tobytes())
    im.putdata(np.repeat(np.resize(np.array(values), H), W).tolist())
    im.save(path)


def test_a_palette_gives_numbers_and_255_is_a_border(root):
    opened = data.open(made(root, palette))
    assert opened.classes == ("0", "15")
    assert values_of(opened) == [0, 1, 255]


def test_palettes_that_differ_give_colours(root):
    opened = data.open(
        made(root, lambda path, i: palette(path, i, ((1 + i) % 256, (2 + i) % 256), turn=i))
    )
    assert len(opened.classes) == 2
    assert all(name.startswith("#") for name in opened.classes)
    assert "indices of the palettes mean other colours" in opened.note


RGB = [(0, 0, 0), (128, 64, 0), (0, 128, 255)]


def test_colours_are_classes(root):
    opened = data.open(made(root, lambda path, _: colors(path, RGB)))
    assert opened.classes == ("#000000", "#0080ff", "#804000")
    assert values_of(opened) == [0, 1, 2]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nroad,128,64,0\nvoid,0,0,0\nsky,0,128,255\nunused,9,9,9\n"),
        ("label_colors.txt", "128 64 0\troad\n0 0 0\tvoid\n0 128 255\tsky\n9 9 9\tunused\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nroad:128,64,0::\nvoid:0,0,0::\nsky:0,128,255::\nunused:9,9,9::\n",
        ),
        ("classes.txt", "#804000 road\n#000000 void\n#0080ff sky\n#090909 unused\n"),
    ],
)
def test_names_by_colour(root, file, text):
    (root / file).write_text(text)
    opened = data.open(made(root, lambda path, _: colors(path, RGB)))
    assert opened.classes == ("road", "sky", "unused")
    assert values_of(opened) == [0, 1, 255]
    assert opened.note == "void counts nowhere (layout=masks:ignore=none makes it a class)"
    whole = data.open(root, layout="masks:ignore=none")
    assert (whole.classes, values_of(whole)) == (("road", "void", "sky", "unused"), [0, 1, 2])
    other = data.open(root, layout="masks:ignore=#0080ff")
    assert (other.classes, values_of(other)) == (("road", "void", "unused"), [0, 1, 255])


@pytest.mark.parametrize(
    ("values", "text", "classes", "inside"),
    [
        ((0, 1, 2), "sky\nroad\ncar\n", ("sky", "road", "car"), [0, 1, 2]),
        ((0, 2), "sky\nroad\ncar\n", ("sky", "road", "car"), [0, 2]),
        ((1, 2, 3), "sky\nroad\ncar\n", ("sky", "road", "car"), [0, 1, 2]),
        ((0, 1, 2, 3), "sky\nroad\ncar\n", ("background", "sky", "road", "car"), [0, 1, 2, 3]),
        ((0, 255), "wall\ncell\n", ("wall", "cell"), [0, 1]),
        ((0, 255), "cell\n", ("background", "cell"), [0, 1]),
        ((0, 1), "cell\n", ("background", "cell"), [0, 1]),
        ((0, 1, 255), "wall\ncell\n", ("wall", "cell"), [0, 1, 255]),
        ((7, 11), "7 road\n11: sky\n", ("road", "sky"), [0, 1]),
        ((7, 11), "Pixel Value, Class\n7, road\n11, sky\n", ("road", "sky"), [0, 1]),
        ((0, 255), "name,r,g,b\ncell,255,255,255\nwall,0,0,0\n", ("cell", "wall"), [0, 1]),
    ],
)
def test_names_by_number(root, values, text, classes, inside):
    (root / "classes.txt").write_text(text)
    opened = data.open(made(root, lambda path, _: numbers(path, values)))
    assert opened.classes == classes
    assert values_of(opened) == inside


def test_white_is_what_the_file_says_it_is(root):
    (root / "class_dict.csv").write_text("name,r,g,b\ncell,255,255,255\nwall,0,0,0\n")
    opened = data.open(made(root, lambda path, _: numbers(path, (255, 0))))
    assert opened.classes[opened.splits["train"].targets.truth(0)[0, 0]] == "cell"


def test_values_without_a_name_are_refused(root):
    (root / "codes.txt").write_text("sky\nroad\n")
    made(root, lambda path, _: numbers(path, (0, 1, 7)), count=8)
    assert refused(root) == (
        "codes.txt has no class for the value 7, which 8 of 8 masks hold (masks/0.png): add it, or leave its pixels out "
        "with layout=masks:ignore=7"
    )
    assert data.open(root, layout="masks:ignore=7").classes == ("sky", "road")


def test_a_few_masks_with_unknown_values_are_broken_items(root):
    (root / "codes.txt").write_text("sky\nroad\n")
    made(root, lambda path, i: numbers(path, (0, 1, 9) if i == 3 else (0, 1)), count=8)
    opened = data.open(root, val=0)
    assert [(p.file, p.reason) for p in opened.problems] == [
        ("images/3.png", "its mask: values that stand for no class: 9 (42 pixels)")
    ]


def test_masks_of_another_size_are_broken_items(root):
    made(root, lambda path, _: numbers(path), count=8)
    Image.new("L", (W, H + 1)).save(root / "masks/3.png")
    opened = data.open(root, val=0)
    assert [(p.file, p.reason) for p in opened.problems] == [
        ("images/3.png", f"its mask is {W} x {H + 1} pixels, the picture {W} x {H}")
    ]


@pytest.mark.parametrize("task", ["segment", "instances"])
@pytest.mark.parametrize(
    ("orientation", "side", "turned", "told"),
    [
        (6, (8, 10), True, 0),
        (6, (9, 9), True, 4),
        (3, (8, 10), True, 4),
        (1, (9, 9), True, 0),
        (6, (9, 9), False, 0),
    ],
    ids=["the size tells", "a square", "upside down", "upright", "the mask says so too"],
)
def test_masks_of_pictures_that_exif_turns(root, task, orientation, side, turned, told):
    """A mask is of the picture as it is seen; where it might be of the stored one that is said."""
    exif = Image.Exif()
    exif[0x112] = orientation
    for i in range(4):
        picture(root / "images" / f"{i}.png", i)
        (root / "masks").mkdir(exist_ok=True)
        Image.open(root / "images" / f"{i}.png").resize(side).save(
            root / "images" / f"{i}.png", exif=exif
        )
        ids = np.zeros(side[::-1], np.uint8)
        ids[1:3, 1:3], ids[4:6, 4:6] = 1, 2
        seen = Image.fromarray(ids)
        if turned:
            upright(seen, orientation).save(root / "masks" / f"{i}.png")
        else:
            seen.save(root / "masks" / f"{i}.png", exif=exif)
    opened = data.open(root, task=task)
    assert (len(opened), opened.problems) == (4, ())
    assert opened.as_dict()["unturned_masks"] == told
    assert (f"EXIF: it turns the pictures of {told} masks" in opened.as_text()) == bool(told)


def test_a_mask_of_a_picture_on_its_side_says_which_turn_it_lacks(root):
    exif = Image.Exif()
    exif[0x112] = 6
    for i in range(4):
        picture(root / "images" / f"{i}.png", i)
        numbers(root / "masks" / f"{i}.png", (0, 1))
    wide = Image.open(root / "images" / "0.png").resize((8, 10))
    wide.save(root / "images" / "0.png", exif=exif)
    Image.new("L", (8, 10)).save(root / "masks" / "0.png")
    (problem,) = data.open(root).problems
    assert (
        problem.reason
        == "its mask is 8 x 10 pixels, the picture 10 x 8 as EXIF turns it: turn the mask as well"
    )


def test_several_frames_of_masks_are_said(root):
    for i in range(4):
        picture(root / "images" / f"{i}.png", i)
        numbers(root / "masks" / f"{i}.png", (0, 1))
    first = Image.open(root / "masks" / "0.png")
    first.save(root / "masks" / "0.tif", save_all=True, append_images=[first.copy()])
    (root / "masks" / "0.png").unlink()
    opened = data.open(root)
    assert (opened.as_dict()["mask_frames"], opened.as_dict()["several_frames"]) == (1, 0)
    assert "frames: of 1 masks with several the first is read" in opened.as_text()


def test_a_file_of_names_that_is_read_is_not_called_ignored(root):
    for i in range(4):
        picture(root / "images" / f"{i}.png", i)
        numbers(root / "masks" / f"{i}.png", (0, 1))
    for name in ("classes.txt", "remarks.txt"):
        (root / name).write_text("sky\nsea\n")
    assert data.open(root).ignored == {".txt": 1}


def test_a_class_that_no_mask_of_the_training_holds_is_named(root):
    for split, values in (("train", (0, 1)), ("val", (0, 1, 2)), ("test", (1, 3))):
        for i in range(4):
            picture(root / split / "images" / f"{i}.png", i)
            numbers(root / split / "masks" / f"{i}.png", values)
    (root / "classes.txt").write_text("sea\nsky\nsail\nsun\nnothing\n")
    opened = data.open(root)
    assert opened.unlearned == ("sail", "sun")
    assert (
        "note: train has no pixel of sail, sun: it cannot be learned, and every answer to its held-out pixels is wrong"
        in opened.as_text()
    )
    (root / "train" / "masks" / "3.png").unlink()
    numbers(root / "train" / "masks" / "3.png", (0, 2, 3))
    assert data.open(root).unlearned == ()


def blobs(i: int, classes: int = 2, low: int = 0, high: int = 255) -> np.ndarray:
    """Round patches of class numbers, 64 x 64."""
    y, x = np.mgrid[:64, :64]
    out = np.full((64, 64), low, np.uint8)
    for k in range(1, classes):
        cy, cx = 10 + 14 * k, 12 + 5 * i + 9 * k
        out[(y - cy) ** 2 + (x - cx) ** 2 < 150] = low + (high - low) * k // (classes - 1)
    return out


def saved(path: Path, pixels: np.ndarray, **save: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **save)


def big(root: Path, count: int = 4) -> None:
    for i in range(count):
        saved(
            root / f"images/{i}.png",
            np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8),
        )


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_two_classes_in_jpegs_are_halved_and_said(root, quality):
    big(root)
    for i in range(4):
        saved(root / f"masks/{i}.jpg", blobs(i), quality=quality)
    opened = data.open(root, val=0)
    assert opened.classes == ("0", "255")
    assert (
        opened.note
        == "the borders of the masks are smeared: values under 128 are 0, the others 255"
    )
    truth = np.stack([opened.splits["all"].targets.truth(i) for i in range(4)])
    right = np.stack([blobs(i) > 0 for i in range(4)])
    assert (truth == right).mean() > 0.98


def test_two_classes_that_were_resized_are_halved_and_said(root):
    big(root)
    for i in range(4):
        small = (
            Image.fromarray(blobs(i)).resize((23, 23), Image.Resampling.BILINEAR).resize((64, 64))
        )
        saved(root / f"masks/{i}.png", np.asarray(small))
    assert "smeared" in data.open(root).note


@pytest.mark.parametrize(("classes", "high"), [(3, 255), (3, 20), (2, 30), (4, 120)])
def test_class_numbers_in_jpegs_are_refused(root, classes, high):
    big(root)
    for i in range(4):
        saved(root / f"masks/{i}.jpg", blobs(i, classes, high=high), quality=75)
    assert refused(root).startswith(
        "masks/0.jpg is a JPEG, which smears class numbers: the masks hold "
    )


def test_colours_in_jpegs_are_refused(root):
    big(root)
    table = np.array(RGB, np.uint8)
    for i in range(4):
        saved(root / f"masks/{i}.jpg", table[blobs(i, 3, high=2)], quality=75)
    assert "is a JPEG, which smears them; save masks as PNG" in refused(root)


def test_pictures_are_no_masks(root):
    big(root)
    for i in range(4):
        saved(
            root / f"masks/{i}.png", np.random.default_rng(i).integers(0, 256, (64, 64), np.uint8)
        )
    assert refused(root) == (
        "the masks hold 256 values, too many to be classes: they were smoothed when they were resized, or are no masks; "
        "save masks as PNG, without smoothing"
    )


def test_masks_of_one_value(root):
    made(root, lambda path, _: numbers(path, (0,)))
    assert (
        refused(root) == "all masks hold one value only (0): at least two are needed to tell apart"
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_each_mode_of_a_mask(root, mode):
    def write(path: Path, i: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.repeat(np.resize(np.array([0, 255], np.uint8), H)[:, None], W, 1)
        if mode == "I;16":
            Image.fromarray(rows.astype(np.uint16) * 257).save(path)
        else:
            Image.fromarray(rows).convert(mode).save(path)

    opened = data.open(made(root, write))
    assert len(opened.classes) == 2
    assert opened.splits["train"].targets.truth(0)[:2, 0].tolist() == [0, 1]


def test_two_pictures_for_one_mask_are_refused(root):
    made(root, lambda path, _: numbers(path))
    picture(root / "images/1.jpg")
    assert refused(root).startswith(
        "images/1.jpg and images/1.png have the same name: it is not known which one"
    )


def test_several_masks_a_picture_are_chosen_by_suffix(root):
    for i in range(4):
        picture(root / f"images/a{i}.png")
        numbers(root / f"masks/a{i}_cell.png")
        numbers(root / f"masks/a{i}_core.png", (0, 1))
    assert refused(root) == (
        "a picture has several masks, whose names end in _cell, _core: choose with layout=masks:suffix=_cell"
    )
    assert data.open(root, layout="masks:suffix=_core").classes == ("0", "1")


def test_folders_can_be_named(root):
    for i in range(4):
        picture(root / f"photos a/{i}.png")
        numbers(root / f"truth/{i}.png")
    opened = data.open(root, layout="masks:images=photos a,masks=truth")
    assert (opened.layout, sizes(opened)) == ("pictures with masks", {"train": 3, "val": 1})


def test_classes_that_are_called_mask_stay_classes(cache, pictures):
    opened = data.open(pictures({"with_mask": 4, "without_mask": 4}))
    assert (opened.task, opened.classes) == ("classify", ("with_mask", "without_mask"))
    assert data.open(pictures({"mask": 4, "no_mask": 4}, root="two")).classes == ("mask", "no_mask")


@pytest.mark.parametrize(
    "line", ["/SegNet/CamVid/{0} /SegNet/CamVid/{1}", "{0} {1}", "{0},{1}", "./{0}\t./{1}"]
)
@pytest.mark.parametrize("place", ["", "lists/"])
def test_lists_of_pairs(root, line, place):
    for split, count in (("train", 4), ("val", 2)):
        lines: list[str] = []
        for i in range(count):
            picture(root / f"{split}/{i}.png")
            numbers(root / f"{split}annot/{i}.png", (0, 1, 2))
            lines.append(line.format(f"{split}/{i}.png", f"{split}annot/{i}.png"))
        (root / place).mkdir(exist_ok=True)
        (root / f"{place}{split}.txt").write_text("\n".join(lines))
    opened = data.open(root)
    assert (opened.layout, sizes(opened)) == ("lists of pictures and masks", {"train": 4, "val": 2})
    assert opened.splits["val"].names[1] == "val/1.png"
    assert opened.others == (("masks", 6),)


def test_lines_without_their_files_are_named(root):
    for i in range(8):
        picture(root / f"a/{i}.png")
        numbers(root / f"b/{i}.png")
    (root / "train.txt").write_text("".join(f"a/{i}.png b/{i}.png\n" for i in range(9)))
    opened = data.open(root)
    assert [(f.kind, f.count, f.places) for f in opened.faults] == [
        ("lines of lists without their files", 1, ("train.txt line 9: a/8.png",))
    ]
    picture(root / "c/b/3.png")
    picture(root / "d/b/3.png")
    (root / "train.txt").write_text("".join(f"a/{i}.png x/b/{i}.png\n" for i in range(8)))
    assert refused(root) == "train.txt line 4: x/b/3.png may be b/3.png or c/b/3.png"


@pytest.mark.parametrize("file", ["train.txt", "classes.txt"])
def test_lists_and_names_are_recorded_by_content(root, file):
    for i in range(6):
        picture(root / f"images/{i}.png")
        numbers(root / f"labels/{i}.png")
    (root / "train.txt").write_text("0\n1\n2\n3\n")
    (root / "val.txt").write_text("4\n5\n")
    (root / "classes.txt").write_text("wall\ncell\n")
    opened = data.open(root)
    assert set(opened.origin["tables"]) == {"train.txt", "val.txt", "classes.txt"}
    assert data.again(opened.origin).classes == ("wall", "cell")
    (root / file).write_text((root / file).read_text() + "\n")
    with pytest.raises(DataError, match=f"^{file} changed since the run was trained"):
        data.again(opened.origin)
