"""The collection of files that upset loaders: what its manifest calls sound decodes, the rest gives a reason."""

import csv

import pytest
from PIL import Image

from striate import data
from striate.data import FORMATS, picture
from striate.errors import DataError

# Its manifest says ok because a second attempt at loading no longer complains; its pixels are broken.
REFUSED = {"broken_data_stream.png": "unrecognized data stream contents when reading image file"}
REASONS = {
    "empty.png": "an empty file",
    "zero_width.gif": "a broken GIF header (not identified by this driver)",
    "decompression_bomb.gif": "states more pixels than the limit of 50,000,000",
    "truncated_jpeg.jpg": "image file is truncated (8 bytes not processed)",
    "truncated_image.png": "image file is truncated",
    **REFUSED,
}


def test_every_file_of_the_manifest(shared):
    folder = shared / "data" / "awkward_images"
    read = 0
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row["file"]
        allowed = row["format"] in (*FORMATS, "MPO") and name not in REFUSED
        if row["decode_result"] == "ok" and allowed:
            upright = (int(row["height"]), int(row["width"]))
            if row["exif_orientation"] in ("5", "6", "7", "8"):
                upright = upright[::-1]
            assert picture(folder / name).shape == (*upright, 3), name
            assert picture(folder / name, size=(20, 30), color="grey").shape == (20, 30, 1), name
            read += 1
        else:
            with pytest.raises(DataError) as caught:
                picture(folder / name)
            reason = str(caught.value).removeprefix(f"{folder / name}: ")
            assert reason == REASONS.get(name, reason), name
            assert reason
    assert (read, len(rows)) == (61, 71)


def test_the_rotated_ones_are_the_upright_one(shared):
    folder = shared / "data" / "awkward_images"
    upright = picture(folder / "hopper.jpg").astype(int)
    for turned in (2, 3, 6, 8):
        difference = picture(folder / f"hopper_orientation_{turned}.jpg").astype(int) - upright
        assert abs(difference).mean() < 6, turned


def test_cmyk_looks_like_its_rgb_twin(shared):
    folder = shared / "data" / "awkward_images"
    cmyk, rgb = (picture(folder / f"pil_sample_{mode}.jpg").astype(int) for mode in ("cmyk", "rgb"))
    assert abs(cmyk - rgb).mean() < 12


def test_lab_and_palettes_look_like_their_rgb_twin(shared):
    folder = shared / "data" / "awkward_images"
    rgb = picture(folder / "hopper.ppm").astype(int)
    for name, near in (("hopper.Lab.tif", 3), ("hopper.gif", 12), ("hopper_rle8.bmp", 12)):
        assert abs(picture(folder / name).astype(int) - rgb).mean() < near, name


def test_they_can_be_opened_as_a_class(shared, tmp_path, cache, pictures):
    """Broken ones beside sound ones are named; broken=skip goes on without them."""
    root = pictures({"good": 20})
    (root / "awkward").symlink_to(shared / "data" / "awkward_images")  # not followed
    assert data.open(pictures({"better": 20})).classes == ("better", "good")
    (root / "awkward").unlink()
    (root / "awkward").mkdir()
    for path in (shared / "data" / "awkward_images").iterdir():
        (root / "awkward" / path.name).write_bytes(path.read_bytes())
    opened = data.open(root, broken="skip")
    assert opened.ignored == {".csv": 1}
    assert {p.file for p in opened.problems} == {
        f"awkward/{name}"
        for name in (*REASONS, "text_named.jpg", "broken.png", "16bit.cropped.jp2", "hopper.ico")
    }
    assert len(opened) - len(opened.problems) == opened.as_dict()["items"] == 101
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
