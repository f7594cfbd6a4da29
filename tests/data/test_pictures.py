"""Decoding: every mode, every size, every broken file."""

import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate.data
from striate.data import FORMATS, modes, picture, pillow
from striate.data.pictures import Limits, _draft, decode, head
from striate.data.pillow import without_warnings
from striate.errors import ArgumentError, DataError


def saved(im: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    im.save(out, kind, **options)
    return out.getvalue()


def one(mode: str, value: Any, kind: str = "PNG", **options: Any) -> list[int]:
    """The RGB of a picture of one colour in this mode."""
    return picture(saved(Image.new(mode, (3, 2), value), kind, **options))[0, 0].tolist()


@pytest.mark.parametrize(
    ("mode", "value", "kind", "golden"),
    [
        ("1", 1, "PNG", [255, 255, 255]),
        ("1", 0, "PNG", [0, 0, 0]),
        ("L", 100, "PNG", [100, 100, 100]),
        ("LA", (100, 0), "PNG", [255, 255, 255]),
        ("LA", (100, 255), "PNG", [100, 100, 100]),
        ("LA", (0, 51), "PNG", [204, 204, 204]),
        ("RGB", (1, 2, 3), "PNG", [1, 2, 3]),
        ("RGBA", (10, 20, 30, 255), "PNG", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "PNG", [255, 255, 255]),
        ("RGBA", (255, 0, 0, 51), "PNG", [255, 204, 204]),
        ("CMYK", (0, 255, 255, 0), "TIFF", [255, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "TIFF", [0, 0, 0]),
        ("YCbCr", (76, 85, 255), "TIFF", [254, 0, 0]),
        ("I;16", 65535, "PNG", [255, 255, 255]),
        ("I;16", 32768, "PNG", [128, 128, 128]),
        ("I;16", 257, "TIFF", [1, 1, 1]),
        ("I", 200, "TIFF", [200, 200, 200]),
        ("I", 65535, "TIFF", [255, 255, 255]),
        ("F", 0.5, "TIFF", [128, 128, 128]),
        ("F", 200.4, "TIFF", [200, 200, 200]),
        ("F", 65535.0, "TIFF", [255, 255, 255]),
    ],
)
def test_each_mode_has_its_golden_pixel(mode, value, kind, golden):
    assert one(mode, value, kind) == golden


def test_lab_is_converted_through_its_white_point():
    assert one("LAB", (255, 128, 128), "TIFF") == pytest.approx([255, 255, 255], abs=1)
    assert one("LAB", (138, 209, 198), "TIFF") == pytest.approx([255, 0, 0], abs=25)


def test_palette_with_and_without_a_transparent_colour():
    im = Image.new("P", (2, 1))
    im.putpalette([255, 0, 0, 0, 0, 255])
    im.putpixel((1, 0), 1)
    assert picture(saved(im))[0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert picture(saved(im, transparency=1))[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_a_transparent_value_of_16_bits_becomes_white():
    im = Image.fromarray(np.array([[0, 65535, 500]], np.uint16))
    data = saved(im)
    clear = b"tRNS" + struct.pack(">H", 500)
    chunk = struct.pack(">I", 2) + clear + struct.pack(">I", zlib.crc32(clear))
    at = data.index(b"IDAT") - 4
    assert picture(data[:at] + chunk + data[at:], color="grey")[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I", "TIFF"), ("F", "TIFF")]
)
def test_a_ramp_stays_a_ramp(mode, kind):
    values = np.linspace(0, 65535, 256).round()
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    im = Image.fromarray(values.astype(dtype)[None])
    assert im.mode == mode
    assert picture(saved(im, kind), color="grey")[0, :, 0].tolist() == list(range(256))


def test_a_ramp_of_16_bit_rgb_stays_a_ramp():
    """Pillow writes no such PNG, so this one is put together by hand."""
    row = b"\0" + b"".join(struct.pack(">HHH", *[round(i * 257)] * 3) for i in range(256))

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 256, 1, 16, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    assert picture(png)[0, :, 1].tolist() == list(range(256))


def test_floats_outside_every_usual_range_are_stretched():
    im = Image.fromarray(np.array([[-3.0, 0.0, 3.0]], np.float32))
    assert picture(saved(im, "TIFF"), color="grey")[0, :, 0].tolist() == [0, 128, 255]


def test_floats_that_are_no_numbers_are_refused():
    im = Image.fromarray(np.array([[np.nan, 1.0]], np.float32))
    with pytest.raises(DataError, match=r"^the picture: holds values that are no finite numbers$"):
        picture(saved(im, "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(kind, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255  # the upper left quarter is white
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(np.ascontiguousarray(undo)), kind, exif=exif)
    got = picture(data)
    assert got.shape == (32, 48, 3)
    assert np.abs(got.astype(int) - upright).max() < 40
    with without_warnings():
        assert (head(data, Limits()).height, head(data, Limits()).width) == (32, 48)


def test_a_corrupt_exif_block_is_ignored(encoded):
    im = Image.open(BytesIO(encoded(1, size=(20, 20))))
    data = saved(im, "JPEG", exif=b"Exif\0\0II*\0garbage that is no directory")
    assert picture(data).shape == (20, 20, 3)


def test_an_orientation_that_is_none_is_ignored_and_counted(cache, encoded, tmp_path):
    im = Image.open(BytesIO(encoded(1, size=(20, 30))))
    exif = Image.Exif()
    exif[0x0112] = 99
    for label in ("a", "b"):
        (tmp_path / "root" / label).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "root" / label / f"{i}.png").write_bytes(encoded(i))
    (tmp_path / "root" / "a" / "odd.jpg").write_bytes(saved(im, "JPEG", exif=exif))
    opened = striate.data.open(tmp_path / "root")
    assert opened.as_dict()["bad_exif"] == 1
    assert "EXIF: 1 blocks cannot be read and are ignored" in opened.as_text()
    assert picture(tmp_path / "root" / "a" / "odd.jpg").shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("native", "size"),
    [
        ((40, 60), (10, 10)),
        ((60, 40), (10, 20)),
        ((5, 7), (64, 64)),
        ((1, 1), (8, 8)),
        ((1, 2000), (16, 16)),
        ((2000, 1), (3, 9)),
    ],
)
def test_any_picture_fits_any_size(encoded, native, size):
    assert picture(encoded(0, size=native), size=size).shape == (*size, 3)
    assert picture(encoded(0, size=native, mode="L"), size=size, color="grey").shape == (*size, 1)


def test_the_middle_is_cut_out_of_the_longer_side():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    assert (picture(saved(Image.fromarray(pixels)), size=(10, 10)) == 255).all()


def test_scaling_down_is_antialiased():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = picture(saved(Image.fromarray(board.astype(np.uint8))), size=(8, 8), color="grey")
    assert abs(small.astype(int) - 128).max() <= 2


def test_a_large_jpeg_decoded_at_half_its_size_looks_the_same():
    y, x = np.mgrid[0:1200, 0:1600]
    smooth = np.stack([x * 255 / 1600, y * 255 / 1200, 128 + 100 * np.sin(x / 90)], -1).astype(
        np.uint8
    )
    jpeg, png = saved(Image.fromarray(smooth), "JPEG", quality=95), saved(Image.fromarray(smooth))
    difference = picture(jpeg, size=(96, 128)).astype(int) - picture(png, size=(96, 128))
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("native", [(1200, 1600), (1600, 1200), (300, 900)])
@pytest.mark.parametrize("size", [(96, 128), (32, 32), (400, 20)])
def test_a_jpeg_is_never_decoded_below_twice_the_wanted_size(native, size):
    data = saved(Image.new("L", native[::-1]), "JPEG")
    im = Image.open(BytesIO(data))
    _draft(im, size)
    scale = max(size[0] / native[0], size[1] / native[1])
    assert im.size == native[::-1] or im.height >= 2 * scale * native[0] - 1
    if size == (32, 32) and native != (300, 900):
        assert im.height < native[0] / 7


def test_a_tiff_of_12_bits_is_scaled_by_its_own_range():
    im = Image.fromarray(np.full((1, 4), 4095, np.uint16))
    assert modes.plain(im, "grey").getpixel((0, 0)) == 16
    im.tag_v2 = {modes.BITS_PER_SAMPLE: (12,)}  # pyright: ignore[reportAttributeAccessIssue] - as a TIFF has
    assert modes.plain(im, "grey").getpixel((0, 0)) == 255


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"quality": 30, "progressive": True}, {"subsampling": 0}])
def test_the_quick_way_through_a_jpeg_gives_the_same_pixels(encoded, mode, options):
    data = saved(Image.open(BytesIO(encoded(4, size=(33, 29), mode=mode))), "JPEG", **options)
    got = pillow.small_jpeg(data)
    assert got is not None
    assert got.tobytes() == Image.open(BytesIO(data)).tobytes()


def test_the_quick_way_leaves_exif_cmyk_and_nonsense_alone(encoded):
    im = Image.open(BytesIO(encoded(4)))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pillow.jpeg_frame(saved(im, "JPEG", exif=exif)) is None
    assert pillow.jpeg_frame(saved(im.convert("CMYK"), "JPEG")) is None
    assert pillow.jpeg_frame(b"\xff\xd8\xff") is None
    assert pillow.jpeg_frame(b"\xff\xd8\xff\xe0\0\0" * 3) is None


def test_a_bomb_is_refused_by_its_header():
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    ihdr = b"IHDR" + head
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    idat = b"IDAT" + zlib.compress(b"\0" * 1000)
    png += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(
        DataError,
        match=r"^the picture: 50000 x 50000 = 2,500,000,000 pixels; the limit is 50,000,000: raise it with max_pixels=$",
    ):
        picture(png)


def test_the_limit_of_pixels_holds_on_every_way(encoded):
    for kind in ("PNG", "JPEG"):
        data = encoded(0, size=(20, 10), kind=kind)
        assert picture(data, max_pixels=200).shape == (20, 10, 3)
        with pytest.raises(
            DataError,
            match=r"^the picture: 10 x 20 = 200 pixels; the limit is 199: raise it with max_pixels=$",
        ):
            picture(data, max_pixels=199)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_picture_is_refused(encoded, kind, tmp_path):
    path = tmp_path / "cut"
    path.write_bytes(encoded(0, size=(80, 80), kind=kind)[:-1500])
    with pytest.raises(DataError, match=f"^{path}: "):
        picture(path, size=(8, 8))


def test_what_is_no_picture_says_so(tmp_path):
    listed = (
        r"no picture of the formats that are read \(JPEG, PNG, WEBP, BMP, TIFF, PPM, GIF, AVIF\)"
    )
    for name, data, reason in (
        ("empty.png", b"", "an empty file"),
        ("page.jpg", b"<html>not found</html>", listed),
        ("doc.png", b"%PDF-1.4 " * 9, listed),
        ("sheet.jpg", b"8BPS\0\1" + b"\0" * 50, listed),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"^{tmp_path / name}: {reason}$"):
            picture(tmp_path / name)


def test_the_content_decides_and_not_the_name(encoded, tmp_path):
    (tmp_path / "really.jpg").write_bytes(encoded(0, kind="PNG"))
    assert picture(tmp_path / "really.jpg").shape == (12, 10, 3)


def test_only_the_formats_of_the_list_are_tried(encoded):
    assert FORMATS == ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "AVIF")
    with pytest.raises(
        DataError, match=r"^the picture: no picture of the formats that are read \(JPEG\)$"
    ):
        picture(encoded(0), formats=("JPEG",))
    with pytest.raises(DataError, match=r"\(PNG\)$"):
        picture(encoded(0, kind="JPEG"), formats=("PNG",))
    with pytest.raises(ArgumentError, match=r"^formats: no format 'PNGG'; did you mean PNG\?"):
        picture(encoded(0), formats=("PNGG",))


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert picture(data)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


def test_no_pipe_is_ever_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=f"^{tmp_path}/pipe.png: no regular file$"):
        picture(tmp_path / "pipe.png")


def test_a_missing_file_and_an_odd_name(tmp_path):
    with pytest.raises(
        DataError, match=r"two\\nlines.png: cannot be opened: No such file or directory$"
    ):
        picture(tmp_path / "two\nlines.png")
    with pytest.raises(DataError, match=r"/\\xff.png: cannot be opened"):
        picture(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")))


def test_wrong_arguments_are_named(encoded):
    with pytest.raises(
        ArgumentError,
        match=r"^size: got \(0, 5\), expected \(height, width\) of at least 1 pixel each$",
    ):
        picture(encoded(0), size=(0, 5))
    with pytest.raises(
        ArgumentError,
        match=r"^color: got 'gray'; did you mean grey\? There are: grey, hsv, rgb, xyz, ycbcr$",
    ):
        picture(encoded(0), color="gray")


def test_warnings_are_quiet_inside_and_as_before_outside():
    before = list(warnings.filters)

    def odd(_: int) -> None:
        with without_warnings():
            warnings.warn_explicit("odd file", UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(odd, range(200)))
    assert list(warnings.filters) == before


def plainly(one_data: bytes) -> Any:
    return decode(one_data, size=None, color="rgb", limits=Limits())


def test_decoding_in_threads_gives_the_same(encoded):
    data = [encoded(i, kind="JPEG") for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(plainly, data))
    for one_data, pixels in zip(data, got, strict=True):
        assert (pixels == picture(one_data)).all()
