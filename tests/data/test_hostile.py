"""Files that somebody else made, at their worst: found by decoding, bounded in memory, never changed, never waited for."""

import json
import os
import socket
import subprocess
import sys
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, PcxImagePlugin, PsdImagePlugin

from striate import cli, data
from striate.cli.output import read_numbers
from striate.data import picture, sources
from striate.data import pictures as pictures_room
from striate.data.array_pictures import array_picture
from striate.data.sources import Form
from striate.errors import DataError, NumericError, UsageError


def state(root):
    """Content and time of every file."""
    return {
        p: (sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        for p in root.rglob("*")
        if p.is_file()
    }


def test_what_is_broken_is_listed_with_its_reason_and_nothing_is_touched(
    cache, pictures, encoded, capsys
):
    root = pictures({"a": 8, "b": 8})
    jpeg, png = (encoded(90, size=(80, 80), kind=kind) for kind in ("JPEG", "PNG"))
    for name, content in {
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "empty.png": b"",
        "page.jpg": b"<!doctype html><html>404</html>",
    }.items():
        (root / "a" / name).write_bytes(content)
    Image.open(root / "a" / "cut.jpg").verify()  # which would have let it pass
    before = state(root)
    assert cli.main(["data", str(root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    reasons = {problem["file"]: problem["reason"] for problem in document["problems"]}
    assert sorted(reasons) == ["a/cut.jpg", "a/cut.png", "a/empty.png", "a/page.jpg"]
    assert "truncated" in reasons["a/cut.jpg"]
    assert reasons["a/empty.png"] == "an empty file"
    assert reasons["a/page.jpg"].startswith("no picture of the formats that are read")
    opened = data.open(root)
    names = [name for split in opened.splits for name in opened.arrays(split).names]
    assert len(names) == 16
    assert not set(names) & set(reasons)
    assert state(root) == before


GROWS = """
import re, sys
from pathlib import Path
from striate.data import picture
from striate.errors import DataError
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
bomb, plain = map(Path, sys.argv[1:])
picture(plain)
before = peak()
try:
    picture(bomb)
except DataError as error:
    print(peak() - before, error, sep="|")
"""


@pytest.mark.slow
def test_a_small_file_of_179_million_pixels_takes_no_memory(tmp_path, encoded):
    (tmp_path / "plain.png").write_bytes(encoded(0))
    Image.new("L", (13376, 13376)).save(tmp_path / "bomb.png", compress_level=9)
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    command = [sys.executable, "-c", GROWS, tmp_path / "bomb.png", tmp_path / "plain.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, message = done.stdout.split("|")
    assert int(grown) < 50 * 1024  # KiB
    assert "13376 x 13376 = 178,917,376 pixels; the limit is 50,000,000" in message


def test_other_openers_are_never_asked(tmp_path, monkeypatch):
    """Whatever else in the process has made Pillow know a format, its opener is not called."""
    asked = []
    for name, module in (("EPS", EpsImagePlugin), ("PSD", PsdImagePlugin), ("PCX", PcxImagePlugin)):
        assert module

        def accept(prefix, name=name):
            asked.append(name)
            return True

        monkeypatch.setitem(Image.OPEN, name, (lambda *_: pytest.fail("opened"), accept))
    for start in (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"8BPS\0\1", b"%PDF-1.7\n", b"\x0a\x05\x01\x08"):
        for name in ("x.jpg", "x.eps"):
            (tmp_path / name).write_bytes(start + bytes(200))
            with pytest.raises(DataError, match="no picture of the formats that are read"):
                picture(tmp_path / name)
    assert not asked


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1), (65_500, 3), (3, 65_500)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_extreme_sides_are_taken_up_to_the_limit_of_pixels(shape, kind):
    out = BytesIO()
    Image.new("RGB", shape[::-1], (200, 100, 50)).save(out, kind)
    for size in ((1, 1), (7, 32), (32, 32)):
        got = picture(out.getvalue(), size=size)
        assert got.shape == (*size, 3)
        assert np.abs(got.astype(int) - (200, 100, 50)).max() <= 3
    if shape != (1, 1):
        with pytest.raises(
            DataError, match=r"pixels; the limit is 19,999: raise it with max_pixels=$"
        ):
            picture(out.getvalue(), max_pixels=19_999)


def test_one_pixel_and_a_line_are_pictures_like_others(cache, pictures, encoded):
    root = pictures({"a": 4, "b": 4})
    (root / "a" / "dot.png").write_bytes(encoded(70, size=(1, 1)))
    (root / "b" / "line.png").write_bytes(encoded(71, size=(1, 20_000)))
    opened = data.open(root)
    assert sum(len(opened.arrays(split, size=(8, 8))) for split in opened.splits) == 10
    assert opened.problems == ()


def test_pipes_sockets_and_devices_are_no_files(cache, tmp_path, pictures):
    root = pictures({"a": 3, "b": 3})
    os.mkfifo(root / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.open(root / "b", os.O_DIRECTORY)
        s.bind(f"/proc/self/fd/{here}/socket.png")  # a path of its own may be too long
        os.close(here)
        opened = data.open(root)
        assert opened.ignored == {"(special)": 2}
        assert len(opened) == 6
        with pytest.raises(DataError, match=r"socket\.png: cannot be opened"):
            picture(root / "b" / "socket.png")
    for path in ("/dev/zero", root / "a" / "pipe.png"):
        with pytest.raises(DataError, match="no regular file"):
            picture(pictures_room.Path(path))
        with pytest.raises(DataError):
            data.open(path)


def test_several_frames_are_reported(cache, pictures):
    root = pictures({"a": 4, "b": 4})
    frames = [Image.new("RGB", (10, 12), color) for color in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        frames[0].save(root / "a" / f"x.{kind.lower()}", save_all=True, append_images=frames[1:])
    frames[0].save(root / "b" / "still.gif")
    opened = data.open(root)
    assert opened.as_dict()["several_frames"] == 4
    assert "frames: of 4 with several the first is read" in opened.as_text()
    assert data.open(pictures({"c": 3, "d": 3}, root="still")).as_dict()["several_frames"] == 0


def test_a_picture_without_memory_is_named_and_is_no_broken_one(cache, pictures, monkeypatch):
    root = pictures({"a": 5, "b": 5})
    decode = sources.pictures._load

    def short(content, size, limits):
        if content == (root / "a" / "002.png").read_bytes():
            raise MemoryError
        return decode(content, size, limits)

    monkeypatch.setattr(sources.pictures, "_load", short)
    opened = data.open(root)
    with pytest.raises(NumericError, match=r"^out of memory while .*a/002\.png was read") as caught:
        _ = opened.problems
    assert caught.value.exit_status == 4
    monkeypatch.undo()
    monkeypatch.setenv("STRIATE_CACHE", str(cache))
    assert data.open(root).problems == ()


LIMITED = """
import resource, sys
from striate import cli, data
from striate.workbench import progress
data.picture(open(sys.argv[1] + "/b/000.png", "rb").read())
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]) * 2**20,) * 2)
sys.exit(cli.main(["data", sys.argv[1], "--json"]))
"""


@pytest.mark.slow
def test_in_a_small_address_space_no_sound_picture_is_called_broken(cache, pictures):
    root = pictures({"a": 3, "b": 3})
    Image.new("RGB", (7000, 7000)).save(root / "a" / "large.png")  # 150 MB when it is decoded
    for room, status in ((180, 4), (2000, 0)):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(root), str(room)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr + done.stdout
        if status:
            assert done.stderr.startswith("striate: out of memory while ")
            assert "a/large.png was read: " in done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert json.loads(done.stdout)["problems"] == []


MODES = {"series": "series", "volumes": "volume"}
NO_ARRAYS = {
    "nothing": b"",
    "a page": b"<!doctype html>",
    "cut in its header": b"\x93NUMPY\x01\x00v\x00{'descr'",
    "no header": b"\x93NUMPY\x01\x00\x04\x00((((",
    "a pickle": b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("content", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_files_that_are_no_arrays_are_named_wherever_arrays_are_read(cache, tmp_path, content):
    """Series, volumes and pictures in class folders begin with the broken one, which is looked at first."""
    rng = np.random.default_rng(0)
    for name, shape in (("series", (2, 40)), ("volumes", (6, 6, 6))):
        for i in range(16):
            path = tmp_path / name / "ab"[i % 2] / f"{i:02}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rng.normal(size=shape).astype(np.float32))
        (tmp_path / name / "a" / "00.npy").write_bytes(content)
        opened = data.open(tmp_path / name)
        assert opened.modality == MODES[name]
        assert opened.as_dict()["items"] == 15
        assert "a/00.npy: no " in opened.as_text()
    broken = tmp_path / "series" / "a" / "00.npy"
    with pytest.raises(UsageError, match="expected rows of as many numbers"):
        read_numbers(str(broken), "--input")
    with pytest.raises(DataError, match="no array of NumPy"):
        array_picture(broken, Form(None, "grey"), None)
