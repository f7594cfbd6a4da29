"""Zip and tar: what is unpacked, and what is refused."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data import archives
from striate.data.cache import Store
from striate.errors import DataError


def packed(root: Path, target: Path) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in sorted(root.rglob("*")):
                archive.write(path, path.relative_to(root.parent))
    else:
        mode: Any = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}[target.suffix]
        with tarfile.open(target, mode) as archive:
            archive.add(root, root.name)
    return target


def unpacked(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_an_archive_is_the_folder_it_holds(cache, pictures, tmp_path, name):
    root = pictures({"a": 4, "b": 4})
    folder, archive = data.open(root), data.open(packed(root, tmp_path / name))
    assert archive.layout == "class folders in an archive"
    assert archive.fingerprint == folder.fingerprint
    assert list(archive.splits["val"].names) == list(folder.splits["val"].names)
    assert np.array_equal(archive.arrays("train").inputs, folder.arrays("train").inputs)


def test_archives_of_array_files(cache, tmp_path, idx_files):
    idx_files(tmp_path / "digits")
    opened = data.open(packed(tmp_path / "digits", tmp_path / "d.zip"))
    assert opened.layout == "idx files in an archive"
    assert len(opened) == 30


def test_it_is_unpacked_once_and_mended_when_damaged(pictures, tmp_path, store):
    archive = packed(pictures({"a": 2}), tmp_path / "a.zip")
    folder, _ = archives.unpack(archive, store)
    victim = next(folder.rglob("*.png"))
    before, whole = victim.stat().st_ino, victim.read_bytes()
    assert archives.unpack(archive, store)[0] == folder
    assert victim.stat().st_ino == before
    victim.write_bytes(whole[:-1])
    archives.unpack(archive, store)
    assert victim.read_bytes() == whole


def test_a_tar_with_every_trick(tmp_path, store):
    outside = tmp_path / "outside"
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data"))

        add("good/a.png")
        add("./good//b.png")
        add("../outside")
        add("good/../../outside")
        add(str(outside))
        add("C:/outside")
        add("good/link", tarfile.SYMTYPE, "../../outside")
        add("good/hard", tarfile.LNKTYPE, "good/a.png")
        add("good/fifo", tarfile.FIFOTYPE)
        add("good/device", tarfile.CHRTYPE)
        add("good/a.png")
        add("x" * 300)
        add("/".join("d" * 40))
    folder, left = archives.unpack(tmp_path / "evil.tar", store)
    assert unpacked(folder) == {"good/a.png": b"data", "good/b.png": b"data"}
    assert left == {"(unsafe in archive)": 10, "good/a.png (again in archive)": 1}
    assert not outside.exists()
    assert all(stat.S_ISREG(p.lstat().st_mode) for p in folder.rglob("*") if not p.is_dir())


def test_a_zip_with_every_trick(tmp_path, store):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("good/a.png", b"data")
        archive.writestr("../outside", b"data")
        archive.writestr("/outside", b"data")
        archive.writestr("good\\..\\..\\outside", b"data")
        link = zipfile.ZipInfo("good/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../../outside")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good/a.png", b"other")
    folder, left = archives.unpack(tmp_path / "evil.zip", store)
    assert unpacked(folder) == {"good/a.png": b"data"}
    assert left == {"(unsafe in archive)": 4, "good/a.png (again in archive)": 1}


def test_of_many_doubled_names_some_are_told(tmp_path, store):
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        for name in [f"{i}.png" for i in range(30)] * 2 + ["0.png"]:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"data"))
    _, left = archives.unpack(tmp_path / "twice.tar", store)
    assert left["0.png (again in archive)"] == 2
    assert left["(again in archive)"] == 10
    assert len(left) == 21


def test_bombs_are_refused(tmp_path, store):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/zeros.png", bytes(10**6))
    caps = archives.Caps(ratio_from=1000)
    with pytest.raises(
        DataError,
        match=r"bomb.zip \(0.0 MB\) unpacks to more than 5,000,000 files or 0.1 MB: refused$",
    ):
        archives.unpack(bomb, store, caps=caps)
    with pytest.raises(DataError, match=r"more than 5,000,000 files or 0.5 MB: refused$"):
        archives.unpack(bomb, store, caps=archives.Caps(size=500_000))
    with pytest.raises(DataError, match=r"more than 0 files"):
        archives.unpack(bomb, store, caps=archives.Caps(files=0))
    assert list((store.folder / "archives").iterdir()) == []


def test_a_zip_that_lies_about_sizes(tmp_path, store):
    """The directory says 10 bytes, the data hold a million."""
    bomb = tmp_path / "liar.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/zeros.png", bytes(10**6))
    small, true = (n.to_bytes(4, "little") for n in (10, 10**6))
    bomb.write_bytes(bomb.read_bytes().replace(true, small))
    with pytest.raises(DataError, match=r"liar.zip is a damaged archive"):
        archives.unpack(bomb, store)


def test_entries_that_overlap(tmp_path, store):
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"x" * 50)
        archive.writestr("b.png", b"x" * 50)
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = (10).to_bytes(
        4, "little"
    )  # its offset now lies inside the first
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"overlap.zip has entries that overlap: refused$"):
        archives.unpack(path, store)


def test_damaged_and_encrypted_archives(tmp_path, store, pictures):
    whole = packed(pictures({"a": 30}), tmp_path / "a.tar.gz")
    whole.write_bytes(whole.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"a.tar.gz is a damaged archive \("):
        archives.unpack(whole, store)
    locked = tmp_path / "locked.zip"
    with zipfile.ZipFile(locked, "w") as archive:
        archive.writestr("a.png", b"data")
    raw = bytearray(locked.read_bytes())
    raw[6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(raw)
    with pytest.raises(
        DataError, match=r"locked.zip cannot be unpacked \(File .*a.png.* is encrypted"
    ):
        archives.unpack(locked, store)


def test_a_file_that_is_also_a_folder(tmp_path, store):
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("a", b"data")
        archive.writestr("a/b.png", b"data")
    with pytest.raises(DataError, match=r"both.zip holds a/b.png both as a file and as a folder$"):
        archives.unpack(tmp_path / "both.zip", store)


def test_an_npz_is_no_archive_of_pictures(cache, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("cat/a.png", b"data")
    with pytest.raises(DataError, match=r"a.npz is no sound .npz file"):
        data.open(tmp_path / "a.npz")


def test_nothing_usable_in_an_archive_names_the_archive(cache, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/readme.txt", b"data")
    with pytest.raises(
        DataError, match=rf"^{tmp_path}/a.zip holds no pictures among its 1 file \(.txt 1\)"
    ):
        data.open(tmp_path / "a.zip")
    assert [path.name for path in cache.iterdir()] == ["archives"]


def test_a_zip_that_is_cut_off_is_called_damaged(cache, tmp_path, pictures):
    whole = packed(pictures({"a": 5, "b": 5}), tmp_path / "a.zip")
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(
        DataError, match=r"a.zip is a damaged zip: its end is missing; fetch it again$"
    ):
        data.open(whole)
