"""Tar shards: packed from anything, read by place, held to their index."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from striate import data
from striate.data import packing, shards
from striate.data.shards import Sharded
from striate.errors import ArgumentError, DataError, MissingExtraError


@pytest.fixture
def packed(cache, pictures, tmp_path) -> tuple[Path, Path]:
    """A folder of 24 pictures in two classes, and the shards of it."""
    root = pictures({"cat": 14, "dog": 10})
    data.pack(data.open(root, val=0), tmp_path / "out", size=6000)
    return root, tmp_path / "out"


def sharded(there: data.Data, split: str) -> Sharded:
    source = there.splits[split].source
    assert isinstance(source, Sharded)
    return source


def tars(out: Path) -> list[Path]:
    return sorted(out.glob("*/*.tar"))


def test_a_packing_is_the_same_data(packed):
    root, out = packed
    assert len(tars(out)) > 3
    assert not (out / "packing").exists()
    folder, from_shards = data.open(root), data.open(out)
    assert from_shards.layout == "shards"
    assert from_shards.classes == folder.classes
    assert from_shards.fingerprint == folder.fingerprint
    assert (from_shards.native_size, from_shards.color) == (folder.native_size, folder.color)
    for split in ("train", "val"):
        one, other = folder.arrays(split), from_shards.arrays(split)
        assert list(one.names) == list(other.names)
        assert np.array_equal(one.targets, other.targets)
        assert np.array_equal(one.inputs, other.inputs)
    assert from_shards.problems == ()


def test_any_program_finds_the_original_bytes_beside_their_class(packed):
    root, out = packed
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.png"))
    found: dict[str, dict[str, bytes]] = {}
    for path in tars(out):
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                assert info.isreg()
                stem, kind = info.name.split(".")
                file = archive.extractfile(info)
                assert file is not None
                found.setdefault(stem, {})[kind] = file.read()
        assert path.read_bytes()[257:263] == b"ustar\0"
        assert path.stat().st_size <= 6000
    assert sorted(found) == [f"{i:06}" for i in range(24)]
    for i, name in enumerate(names):
        assert found[f"{i:06}"]["png"] == (root / name).read_bytes()
        assert found[f"{i:06}"]["cls"] == (b"0" if name.startswith("cat") else b"1")


def test_the_index_names_size_and_hash_of_every_shard(packed):
    _, out = packed
    index = json.loads((out / "index.json").read_text())
    for shard in index["shards"]:
        content = (out / shard["name"]).read_bytes()
        assert shard["size"] == len(content)
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert index["splits"] == {"all": 24}
    assert index["classes"] == ["cat", "dog"]


def test_splits_that_were_made_for_it_are_kept_and_are_other_data(cache, pictures, tmp_path):
    root = pictures({"a": 10, "b": 10})
    data.pack(data.open(root, val=0.3, seed=5), tmp_path / "out")
    there = data.open(tmp_path / "out")
    assert {name: len(split) for name, split in there.splits.items()} == {"train": 14, "val": 6}
    assert [path.parent.name for path in tars(tmp_path / "out")] == ["train", "val"]
    # or a run of the folder would take this val split for its own
    assert there.fingerprint != data.open(root).fingerprint
    with pytest.raises(ArgumentError, match="have a val split of their own"):
        data.open(tmp_path / "out", val=0.2)


def test_splits_of_the_data_are_kept_as_they_are(cache, pictures, tmp_path):
    pictures({"a": 6, "b": 6}, below="train")
    root = pictures({"a": 3, "b": 3}, below="validation")
    data.pack(data.open(root, val=0), tmp_path / "out")
    assert data.open(tmp_path / "out").fingerprint == data.open(root).fingerprint


def test_arrays_become_png_without_loss(cache, tmp_path, idx_files):
    idx_files(tmp_path / "idx")
    source = data.open(tmp_path / "idx")
    data.pack(data.open(tmp_path / "idx", val=0), tmp_path / "out")
    there = data.open(tmp_path / "out")
    for split in source.splits:
        assert np.array_equal(there.arrays(split).inputs, source.arrays(split).inputs)
        assert np.array_equal(there.arrays(split).targets, source.arrays(split).targets)


def test_broken_pictures_are_left_out_and_too_many_stop(cache, pictures, tmp_path):
    root = pictures({"a": 6, "b": 6})
    (root / "a" / "000.png").write_bytes((root / "a" / "000.png").read_bytes()[:60])
    done = data.pack(data.open(root, val=0), tmp_path / "out")
    assert [file for file, _ in done.problems] == ["a/000.png"]
    assert "left out a/000.png" in done.as_text()
    assert len(data.open(tmp_path / "out", val=0)) == 11
    for path in (root / "b").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="leaves the class b empty in all"):
        data.pack(data.open(root, val=0), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_stopped_packing_goes_on_after_the_last_whole_shard(
    cache, pictures, tmp_path, monkeypatch
):
    root, out = pictures({"a": 12, "b": 12}), tmp_path / "out"
    written = packing._Work._written
    made: list[str] = []

    def stops(self, split, order, name, number):
        if len(made) == 3:
            made.clear()
            raise KeyboardInterrupt
        made.append(name)
        return written(self, split, order, name, number)

    monkeypatch.setattr(packing._Work, "_written", stops)
    with pytest.raises(KeyboardInterrupt):
        data.pack(data.open(root, val=0), out, size=5000)
    with pytest.raises(DataError, match=r"holds no index.json of shards.*again to finish it"):
        data.open(out)
    with pytest.raises(DataError, match="unfinished packing of other data or another shard size"):
        data.pack(data.open(root, val=0), out, size=5001)
    before = {path: path.stat().st_ino for path in tars(out)}
    assert len(before) == 3
    monkeypatch.setattr(packing._Work, "_written", written)
    data.pack(data.open(root, val=0), out, size=5000)
    assert all(path.stat().st_ino == inode for path, inode in before.items())
    data.pack(data.open(root, val=0), tmp_path / "whole", size=5000)
    for path in (*tars(out), out / "index.json", out / "index.bin"):
        other = tmp_path / "whole" / path.relative_to(out)
        assert path.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_killed_packing_leaves_whole_shards_only(cache, pictures, tmp_path):
    root, out = pictures({"a": 150, "b": 150}), tmp_path / "out"
    call = f"from striate import data; data.pack(data.open({str(root)!r}, val=0), __import__('pathlib').Path({str(out)!r}), size=3000)"
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", call])
        seen, end = len(tars(out)), time.monotonic() + 60
        while len(tars(out)) < seen + 5 and child.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        for path in tars(out):
            with tarfile.open(path, "r:") as archive:
                assert len(archive.getmembers()) >= 2
    data.pack(data.open(root, val=0), out, size=3000)
    assert data.open(out).fingerprint == data.open(root).fingerprint
    assert not list(out.rglob("*.part"))


def test_a_shard_that_changed_under_the_packing_is_noticed(cache, pictures, tmp_path, monkeypatch):
    write_index = packing._write_index
    root, out = pictures({"a": 12, "b": 12}), tmp_path / "out"

    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "_write_index", stops)
    with pytest.raises(KeyboardInterrupt):
        data.pack(data.open(root, val=0), out, size=5000)
    monkeypatch.setattr(packing, "_write_index", write_index)
    flip(tars(out)[1], 700)
    with pytest.raises(DataError, match=r"000001.tar is not as it was written"):
        data.pack(data.open(root, val=0), out, size=5000)


def test_a_folder_with_other_things_is_not_packed_into(cache, pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="holds other things: name a new or an empty folder"):
        data.pack(data.open(pictures({"a": 5, "b": 5}), val=0), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_what_is_packed_already_is_said(cache, pictures, tmp_path):
    one, other = pictures({"a": 5, "b": 5}), pictures({"a": 5, "b": 6}, root="other")
    out = tmp_path / "out"
    data.pack(data.open(one, val=0), out)
    for root, whose in ((one, "these"), (other, "other")):
        with pytest.raises(
            DataError, match=f"out holds shards of {whose} data already, all of them"
        ):
            data.pack(data.open(root, val=0), out)


def test_room_is_asked_for_first(cache, pictures, tmp_path, monkeypatch):
    class Usage:
        free = 10**6

    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DataError, match=r"need up to .* but only 1.0 MB of the disk are free"):
        data.pack(data.open(pictures({"a": 5, "b": 5}), val=0), tmp_path / "out")
    assert not tars(tmp_path / "out")


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_changed_shard_is_named_with_its_offset(packed):
    _, out = packed
    flip(tars(out)[1], 512 + 40)
    (problem,) = data.open(out).problems
    assert "all/000001.tar at offset 512: changed since it was packed" in problem.reason
    arrays = data.open(out).arrays("train")  # one of 24 is within the five that never stop
    assert len(arrays) + len(data.open(out).arrays("val")) == 23


def test_a_shard_that_is_cut_off_loses_what_is_behind(packed, monkeypatch):
    _, out = packed
    path = tars(out)[2]
    os.truncate(path, 1500)
    there = data.open(out, val=0)
    assert {p.reason for p in there.problems} == {
        reason
        for reason in (p.reason for p in there.problems)
        if "all/000002.tar at offset" in reason
    }
    assert 0 < len(there.problems) < 6
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    streamed = data.open(out, val=0).arrays("all")
    assert len(streamed) == 24 - len(there.problems)
    assert np.asarray(streamed.inputs).shape[0] == len(streamed)
    for other in tars(out)[:3]:
        other.unlink()
    with pytest.raises(DataError, match=r"pictures cannot be read .*the shard is gone"):
        data.open(out, val=0).arrays("all")


@pytest.mark.parametrize(
    "damage", ["index.json", "index.bin", "class", "path", "outside", "version"]
)
def test_a_damaged_or_hostile_index_is_one_line(packed, damage):
    _, out = packed
    index = json.loads((out / "index.json").read_text())
    table = (out / "index.bin").read_bytes()
    if damage == "class":
        index["classes"] = ["cat"]
    elif damage == "path":
        index["shards"][0]["name"] = "../../../etc/passwd.tar"
    elif damage == "outside":
        index["shards"][0]["size"] = 100
    elif damage == "version":
        index["version"] = 9
    (out / "index.json").write_text("{" if damage == "index.json" else json.dumps(index))
    (out / "index.bin").write_bytes(table[:-1] if damage == "index.bin" else table)
    with pytest.raises(DataError, match=r"its index is (damaged|of version 9)") as caught:
        data.open(out)
    assert "\n" not in str(caught.value)


def test_groups_and_several_labels_are_kept(cache, pictures, tmp_path):
    root = pictures({"p": 24})
    names = sorted(path.name for path in (root / "p").iterdir())
    words = ["a;b", "a", "b"]
    rows = [f"p/{name},{words[i % 3]},{i // 2}" for i, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
    folder = data.open(root)
    data.pack(folder, tmp_path / "out")
    there = data.open(tmp_path / "out")
    assert (there.task, there.kind, there.classes) == ("multilabel", "labels", ("a", "b"))
    for split in ("train", "val"):
        assert np.array_equal(there.arrays(split).targets, folder.arrays(split).targets)
        groups = [each.splits[split].part.groups for each in (there, folder)]
        assert groups[0] is not None
        assert groups[1] is not None
        assert groups[0].tolist() == groups[1].tolist()
    (name,) = (path for path in tars(tmp_path / "out") if "val" in str(path))
    with tarfile.open(name) as tar:
        found = [tar.extractfile(m) for m in tar if m.name.endswith(".json")]
        texts = [json.load(file) for file in found if file]
    assert len(texts) == len(there.splits["val"])
    assert all(set(text) <= {"a", "b"} for text in texts)


@pytest.mark.parametrize("damage", ["kind", "columns", "class", "short", "bytes"])
def test_damaged_columns_of_targets_are_one_line(cache, pictures, tmp_path, damage):
    root, out = pictures({"p": 24}), tmp_path / "out"
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 4, 4]} for i in range(24)]
    images = [
        {"id": i, "file_name": f"p/{path.name}", "height": 12, "width": 10}
        for i, path in enumerate(sorted((root / "p").iterdir()))
    ]
    kinds = [{"id": 1, "name": "cell"}]
    (root / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": boxes, "categories": kinds})
    )
    data.pack(data.open(root), out)
    assert data.open(out, task="detect").splits["train"].targets.counts(np.arange(3), 1) == [3]
    index = json.loads((out / "index.json").read_text())
    columns = load((out / "targets.safetensors").read_bytes())
    if damage == "kind":
        index["kind"] = "pixies"
    elif damage == "columns":
        columns["train/other"] = columns.pop("train/crowd")
    elif damage == "class":
        columns["val/labels"] = columns["val/labels"] + 1
    elif damage == "short":
        columns["val/ends"] = columns["val/ends"][:-1]
    content = b"!" if damage == "bytes" else save(columns)
    index["targets"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "targets.safetensors").write_bytes(content)
    (out / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="its index is damaged") as caught:
        data.open(out)
    assert "\n" not in str(caught.value)


def test_patterns_leave_pictures_and_classes_out(cache, pictures, tmp_path):
    root = pictures({"a": 6, "b": 6, "draft": 3})
    data.pack(data.open(root, val=0), tmp_path / "out")
    there = data.open(tmp_path / "out", ignore=["draft", "a/000.png"], val=0)
    assert there.classes == ("a", "b")
    assert there.counts("all") == [5, 6]


def test_shards_are_read_from_any_address(packed, cache):
    fsspec = pytest.importorskip("fsspec")
    root, out = packed
    system = fsspec.filesystem("memory")
    for path in out.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/bucket/{path.relative_to(out)}", path.read_bytes())
    there = data.open("memory://bucket")
    assert there.fingerprint == data.open(root).fingerprint
    assert np.array_equal(there.arrays("train").inputs, data.open(root).arrays("train").inputs)
    assert data.again(there.origin).fingerprint == there.fingerprint
    assert data.open(f"file://{out}").fingerprint == there.fingerprint
    system.rm("/bucket/all/000000.tar")
    assert {"the shard is gone"} == {
        reason.split(": ")[-1]
        for reason in sharded(data.open("memory://bucket", val=0), "all").lost().values()
    }
    with pytest.raises(DataError, match=r"no protocol 'nowhere' is known"):
        data.open("nowhere://bucket")


def test_a_protocol_without_its_package_says_which(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"s3:// needs .*pip install s3fs"):
        data.open("s3://bucket/folder")


@pytest.mark.parametrize(
    ("text", "size"), [("256M", 256 * 10**6), ("1.5G", 1500 * 10**6), ("4096", 4096)]
)
def test_sizes_of_shards(text, size):
    assert data.read_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1M", "12X", "1", "nan"])
def test_sizes_that_are_none(text):
    with pytest.raises(ArgumentError, match="expected bytes such as 256M"):
        data.read_size(text)


# ---- tars of others


def tar(path: Path, members: Sequence[tuple[str | tarfile.TarInfo, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))


def samples(encoded, first: int, count: int, label=lambda i: f"{i % 2}") -> list[tuple[str, bytes]]:
    return [
        member
        for i in range(first, first + count)
        for member in ((f"{i:06}.png", encoded(i)), (f"{i:06}.cls", label(i).encode()))
    ]


def test_tars_of_others_are_indexed_by_a_scan(cache, encoded, tmp_path):
    root = tmp_path / "wds"
    tar(root / "train-000000.tar", samples(encoded, 0, 8))
    tar(root / "train-000001.tar", samples(encoded, 8, 8))
    tar(root / "val-000000.tar", samples(encoded, 20, 4))
    there = data.open(root)
    assert (there.layout, there.classes) == ("tar shards", ("0", "1"))
    assert {name: len(split) for name, split in there.splits.items()} == {"train": 16, "val": 4}
    assert there.splits["train"].names[9] == "train-000001.tar/000009.png"
    assert sharded(there, "train").data(9) == encoded(9)
    assert there.arrays("train").inputs.shape == (16, 12, 10, 3)
    os.truncate(root / "train-000001.tar", 3000)
    with pytest.raises(DataError, match=r"train-000001.tar is a damaged tar"):
        data.open(root)


def test_classes_may_be_words_and_folders_splits(cache, encoded, tmp_path):
    for split in ("train", "test"):
        tar(
            tmp_path / "wds" / split / "0.tar",
            samples(encoded, 0, 6, lambda i: ["hare", "owl"][i % 2] + "\n"),
        )
    there = data.open(tmp_path / "wds")
    assert there.classes == ("hare", "owl")
    assert list(there.splits) == ["train", "test"]


def test_hostile_members_are_left_alone(cache, encoded, tmp_path):
    link, hard, fifo = (tarfile.TarInfo(f"{i:06}.png") for i in range(90, 93))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "000000.png"
    fifo.type = tarfile.FIFOTYPE
    bad: list[tuple[str | tarfile.TarInfo, bytes]] = [
        (link, b""),
        (hard, b""),
        (fifo, b""),
        ("../../outside.png", encoded(1)),
        ("../../outside.cls", b"1"),
        ("/etc/absolute.png", encoded(2)),
        ("000000.png", encoded(3)),
        ("000050.png", encoded(4)),
        ("000051.pyd", b"\x80\x04."),
    ]
    tar(tmp_path / "wds" / "0.tar", [*samples(encoded, 0, 6), *bad])
    there = data.open(tmp_path / "wds", val=0)
    assert list(there.splits["all"].names) == [f"0.tar/{i:06}.png" for i in range(6)]
    assert sharded(there, "all").data(0) == encoded(0)
    assert there.ignored == {
        "(unsafe in archive)": 6,
        "000000.png (again in archive)": 1,
        "(no class or no picture beside it)": 1,
        ".pyd": 1,
    }


def test_a_tar_of_class_folders_is_still_an_archive(cache, encoded, tmp_path):
    members = [
        (f"{label}/{i}.png", encoded(i + 10 * k)) for k, label in enumerate("ab") for i in range(5)
    ]
    tar(tmp_path / "wds" / "0.tar", members)
    assert data.open(tmp_path / "wds" / "0.tar").layout == "class folders in an archive"
    with pytest.raises(DataError):
        data.open(tmp_path / "wds")


def test_rows_are_as_the_file_says():
    assert shards.ROW.itemsize == 61


def wds(path: Path, encoded, count=8, *, name="{i:06}", label="{k}", ending=".cls", mixed=False):
    """A tar of pictures, each with a class in another file of its name."""
    pictures = [(f"{name.format(i=i)}.png", encoded(i)) for i in range(count)]
    classes = [
        (f"{name.format(i=i)}{ending}", label(i % 2) if callable(label) else label.format(k=i % 2).encode())
        for i in range(count)
    ]  # fmt: skip
    members = (
        [*pictures, *reversed(classes)]
        if mixed
        else [m for pair in zip(pictures, classes, strict=True) for m in pair]
    )
    tar(path, members)


def npy(k: int) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(k))
    return out.getvalue()


@pytest.mark.parametrize(
    "how",
    [
        {"name": "n01.v{i}.crop"},
        {"name": "folder.x/n01.v{i}"},
        {"mixed": True},
        {"name": "a.b{i}", "mixed": True},
        {"ending": ".cls.txt"},
        {"ending": ".label"},
        {"ending": ".target"},
        {"ending": ".id"},
        {"ending": ".index"},
        {"ending": ".txt"},
        {"ending": ".json", "label": '{{"label": {k}, "width": 3}}'},
        {"ending": ".json", "label": '{{"class_name": "{k}"}}'},
        {"ending": ".json", "label": "{k}"},
        {"ending": ".json", "label": '{{"cls": [{k}]}}'},
        {"ending": ".npy", "label": npy},
        {"label": "\ufeff{k}\r\n"},
    ],
    ids=lambda how: "-".join(str(v) if isinstance(v, str) else k for k, v in how.items()),
)
def test_keys_orders_and_classes_as_common_writers_have_them(cache, encoded, tmp_path, how):
    wds(tmp_path / "wds" / "0.tar", encoded, **how)
    there = data.open(tmp_path / "wds", val=0)
    assert there.layout == "tar shards"
    assert there.classes == ("0", "1")
    assert len(there.splits["all"]) == 8
    targets = there.arrays("all").targets
    assert sorted(np.asarray(targets).tolist()) == [0] * 4 + [1] * 4
    for i, name in enumerate(there.splits["all"].names):
        number = int(next(word for word in name.replace("crop", "").split("/")[-1].replace("png", "").split(".")[::-1] if word).strip("vb"))  # fmt: skip
        assert targets[i] == number % 2
        assert sharded(there, "all").data(i) == encoded(number)


def test_a_cls_counts_before_a_json_that_is_no_class(cache, encoded, tmp_path):
    members = [
        member
        for i in range(6)
        for member in (
            (f"{i}.png", encoded(i)), (f"{i}.json", b'{"label": 7}'), (f"{i}.cls", b"%d" % (i % 2))
        )
    ]  # fmt: skip
    tar(tmp_path / "wds" / "0.tar", members)
    there = data.open(tmp_path / "wds", val=0)
    assert there.classes == ("0", "1")
    assert there.ignored == {".json": 6}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"ending": ".txt", "label": lambda _k: os.urandom(6).hex().encode()}, r"are captions \(8 different ones of 8\)"),
        ({"ending": ".json", "label": '{{"caption": "x", "width": 3}}'}, r"holds no class, .*it has caption, width, none of label"),
        ({"ending": ".npy", "label": lambda _k: b"no"}, r"0.npy holds no class"),
        ({"label": lambda _k: b""}, r"000000.cls holds no class, .*it is empty"),
        ({"label": lambda _k: b"\x80\x04K\x01."}, r"000000.cls holds no class"),
        ({"label": lambda _k: b"x" * 300}, r"has 300 bytes, a class at most 256"),
        ({"ending": ".pyd", "label": lambda _k: b"\x80"}, r"beside pictures lies \.pyd; a class is looked for in"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_class_is_named_with_the_true_reason(cache, encoded, tmp_path, how, message):
    wds(tmp_path / "wds" / "0.tar", encoded, **how)
    with pytest.raises(DataError, match=message):
        data.open(tmp_path / "wds")


@pytest.mark.parametrize("cut", [3000, 100, 512 * 9])
def test_one_cut_tar_costs_what_it_lost_where_that_is_allowed(cache, encoded, tmp_path, cut):
    for k in range(3):
        wds(tmp_path / "wds" / f"{k}.tar", encoded, 8)
    os.truncate(tmp_path / "wds" / "1.tar", cut)
    with pytest.raises(DataError, match=r"1\.tar.* (damaged tar|cut off).*"):
        data.open(tmp_path / "wds", val=0)
    there = data.open(tmp_path / "wds", val=0, broken="skip")
    assert 16 <= len(there.splits["all"]) < 24
    (fault,) = there.faults
    assert "1.tar" in fault.places[0]
    assert len(there.arrays("all").inputs) >= 16
