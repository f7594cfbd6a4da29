"""The cache: written once, trusted only when whole, bounded, safe under two processes."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from striate import data
from striate.data import cache as cache_module
from striate.data import sources
from striate.data.cache import Store, store
from striate.errors import DataError


class Usage(NamedTuple):
    """What the disk says."""

    total: int
    used: int
    free: int


def usage(_path: Path) -> Usage:
    """64 MiB are free."""
    return Usage(10**9, 0, 2**26)


def entry(folder: Path) -> Path:
    (found,) = (folder / "arrays").iterdir()
    return found


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the pictures that were decoded since."""
    seen: list[int] = []
    decode = sources.Encoded.decode

    def counted(self, i, form):
        seen.append(i)
        return decode(self, i, form)

    monkeypatch.setattr(sources.Encoded, "decode", counted)
    return seen


def test_pictures_are_decoded_once(cache, pictures, decodes):
    root = pictures({"a": 5, "b": 5})
    first = data.open(root).arrays("train", size=(6, 6))
    assert len(decodes) == 8
    decodes.clear()
    again = data.open(root).arrays("train", size=(6, 6))
    assert decodes == []
    assert isinstance(again.inputs, np.memmap)
    assert (again.inputs == first.inputs).all()
    again.inputs[0] = 0  # a private map: neither the file nor another reader sees this
    assert np.array_equal(data.open(root).arrays("train", size=(6, 6)).inputs, first.inputs)


def test_size_colour_and_content_make_the_key(cache, pictures, decodes, encoded):
    root = pictures({"a": 5, "b": 5})
    opened = data.open(root)
    for size, color in (((6, 6), "rgb"), ((6, 5), "rgb"), ((6, 6), "grey")):
        decodes.clear()
        opened.arrays("train", size=size, color=color)
        assert len(decodes) == 8
    decodes.clear()
    shutil.move(root, root.with_name("elsewhere"))
    data.open(root.with_name("elsewhere")).arrays("train", size=(6, 6))
    assert decodes == []
    (root.with_name("elsewhere") / "a" / "000.png").write_bytes(encoded(500))
    (root.with_name("elsewhere") / "a" / "001.png").write_bytes(encoded(501))
    data.open(root.with_name("elsewhere")).arrays("train", size=(6, 6))
    assert len(decodes) == 8


def damage_by(way: str, found: Path) -> None:
    pixels, manifest = found / "items.raw", found / "manifest.json"
    if way == "flipped":
        pixels.write_bytes(b"\0" + pixels.read_bytes()[1:])
    elif way == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif way in ("items.raw", "manifest.json"):
        (found / way).unlink()
    else:
        manifest.write_text(way)


@pytest.mark.parametrize(
    "damage", ["flipped", "cut", "items.raw", "manifest.json", "{", "[]", '{"version": 0}']
)
def test_a_damaged_entry_is_made_anew(cache, pictures, decodes, damage):
    root = pictures({"a": 5, "b": 5})
    first = np.array(data.open(root).arrays("train").inputs)
    damage_by(damage, entry(cache))
    decodes.clear()
    assert np.array_equal(data.open(root).arrays("train").inputs, first)
    assert len(decodes) == 8
    assert (entry(cache) / "manifest.json").exists()


def test_a_short_disk_is_said_before_anything_is_decoded(cache, pictures, decodes, monkeypatch):
    monkeypatch.setattr(cache_module.shutil, "disk_usage", usage)
    with pytest.raises(DataError) as caught:
        data.open(pictures({"a": 5, "b": 5})).arrays("train", size=(1000, 1000))
    assert str(caught.value) == (
        f"the cache in {cache} needs 24.0 MB but only 67.1 MB of the disk are free: make room, choose a "
        "smaller size, or name another folder with cache= or $STRIATE_CACHE"
    )
    assert decodes == []


def test_a_disk_that_fills_up_leaves_nothing_behind(cache, pictures, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.os, "fsync", full)
    with pytest.raises(DataError) as caught:
        data.open(pictures({"a": 5, "b": 5})).arrays("train")
    assert str(caught.value) == (
        f"the cache in {cache} cannot be written (No space left on device): make room, or name another "
        "folder with cache= or $STRIATE_CACHE"
    )
    assert list((cache / "arrays").iterdir()) == []


def test_a_cache_that_cannot_be_made(pictures, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        DataError,
        match=rf"^the cache in {tmp_path}/file/c cannot be written \(Not a directory\): name",
    ):
        data.open(pictures({"a": 5, "b": 5}), cache=tmp_path / "file" / "c").arrays("train")


def test_more_than_the_limit_is_streamed(cache, pictures, monkeypatch):
    root = pictures({"a": 5, "b": 5})
    held = data.open(root).arrays("train", size=(100, 100))
    monkeypatch.setenv("STRIATE_CACHE_GB", "0.0001")
    streamed = data.open(root).arrays("train", size=(100, 100))
    assert isinstance(streamed.inputs, data.Streamed)
    assert (np.asarray(streamed.inputs) == held.inputs).all()
    assert np.array_equal(streamed.targets, held.targets)
    with pytest.raises(
        DataError,
        match=r"^the decoded pictures need 24.0 MB but the cache is limited to 0.1 MB: "
        r"choose a smaller size, or raise \$STRIATE_CACHE_GB$",
    ):
        store().make_room(24 * 10**6)
    monkeypatch.setenv("STRIATE_CACHE_GB", "many")
    with pytest.raises(
        DataError, match=r"^\$STRIATE_CACHE_GB is 'many', expected a number such as 20$"
    ):
        store()


def test_the_oldest_entries_are_swept(tmp_path):
    small = Store(tmp_path, limit=3000)

    def keep(key: str) -> None:
        small.keep(
            key, (1, 10, 100, 1), np.dtype(np.uint8), [(np.zeros((1, 10, 100, 1), np.uint8), {})]
        )

    for age, key in ((300, "old"), (200, "middle")):
        keep(key)
        then = time.time() - age
        os.utime(tmp_path / "arrays" / key / "manifest.json", (then, then))
    assert small.find("old") is not None  # used just now, so "middle" is the oldest
    keep("new")
    assert (small.find("old") is not None, small.find("middle"), small.find("new") is not None) == (
        True,
        None,
        True,
    )


def test_what_is_half_made_or_unpacked_is_swept_after_a_day_only(tmp_path):
    tight = Store(tmp_path, limit=2000)
    for kind, name in (("arrays", "making-x"), ("archives", "x")):
        (tmp_path / kind / name).mkdir(parents=True)
        (tmp_path / kind / name / "data").write_bytes(bytes(1500))
    tight.make_room(100)
    assert (tmp_path / "arrays" / "making-x").exists()
    for path in (tmp_path / "arrays" / "making-x", tmp_path / "archives" / "x"):
        os.utime(path, (0, 0))
    tight.make_room(1000)
    assert list(tmp_path.glob("*/*")) == []


def both(root: str, folder: str, barrier: Any, results: Any) -> None:
    opened = data.open(root, cache=folder)
    barrier.wait()
    results.put(np.asarray(opened.arrays("train", size=(7, 7)).inputs).tobytes())


@pytest.mark.slow
def test_two_processes_at_once(cache, pictures):
    root = pictures({"a": 40, "b": 40})
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=both, args=(str(root), str(cache), barrier, results))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    got = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert (
        got[0]
        == got[1]
        == np.asarray(data.open(root).arrays("train", size=(7, 7)).inputs).tobytes()
    )
    assert entry(cache).name.isalnum()


def test_where_the_cache_is(monkeypatch, tmp_path):
    for name in ("STRIATE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store().folder == tmp_path / ".cache" / "striate"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store().folder == tmp_path / "xdg" / "striate"
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "own"))
    assert store().folder == tmp_path / "own"
    assert store(tmp_path / "named").folder == tmp_path / "named"


def test_every_byte_of_a_manifest_counts(tmp_path):
    from striate.data.cache import read_manifest, write_manifest

    write_manifest(tmp_path, {"shape": [3, 8, 8], "crc32": 17, "broken": [[1, "cut"]]})
    path = tmp_path / "manifest.json"
    content, wanted = path.read_bytes(), read_manifest(tmp_path)
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found = read_manifest(tmp_path)
        except (OSError, ValueError):
            continue
        assert found == wanted


@pytest.mark.parametrize("place", ["arrays", "entry", "manifest"])
def test_what_stands_in_the_place_of_an_entry_gives_way(tmp_path, place):
    import os

    cache = Store(tmp_path / "cache")
    items = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)

    def kept():
        return cache.keep("a" * 20, items.shape, items.dtype, iter([(items, {})])).images

    if place == "manifest":
        kept()
        manifest = tmp_path / "cache" / "arrays" / ("a" * 20) / "manifest.json"
        manifest.unlink()
        os.mkfifo(manifest)
        assert cache.find("a" * 20) is None
    else:
        path = tmp_path / "cache" / "arrays"
        path = path if place == "arrays" else path / ("a" * 20)
        path.parent.mkdir(parents=True)
        path.write_text("a file")
        assert cache.find("a" * 20) is None
    assert np.array_equal(kept(), items)
