"""Every kind of item and target in shards: what is packed is what was there, trains, and is scored alike; the rest is refused."""

import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import data
from striate.data import packing
from striate.data.sources import Values
from striate.data.targets import Array, Targets
from striate.errors import DataError
from striate.runs import Run
from tasks.conftest import CASES, SIDE, Case, _pictures, write_boxes
from tasks.test_several_boxes import drawn, table


def write_ids(root: Path, *, single: bool = False) -> Path:
    """images/ and masks/ with an id an object, which jump; or one value for all of them, which do not touch."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i, (picture, (x0, y0, x1, y1), _) in enumerate(_pictures(24)):
        ids = np.zeros((SIDE, SIDE), np.uint16)
        ids[y0:y1, x0:x1] = 700
        ids[y0, x0 : x0 + 2] = 300
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        Image.fromarray((ids > 0).astype(np.uint8) * 255 if single else ids).save(
            root / "masks" / f"{i:02d}.png"
        )
    return root


def write_outlines(root: Path) -> Path:
    """COCO's JSON with polygons, and a crowd in every fifth picture."""
    write_boxes(root)
    content = json.loads((root / "annotations.json").read_text())
    for row in content["annotations"]:
        x, y, w, h = row["bbox"]
        row["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        row["iscrowd"] = 0
    for image in content["images"][::5]:
        runs = {"counts": [0, 3 * SIDE, (SIDE - 3) * SIDE], "size": [SIDE, SIDE]}
        row = {"id": 500 + image["id"], "image_id": image["id"], "category_id": 1, "iscrowd": 1}
        content["annotations"].append(
            {**row, "bbox": [0, 0, 3, SIDE], "area": 96, "segmentation": runs}
        )
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def write_several(root: Path) -> Path:
    table(root, drawn())
    return root


def with_task(case: Case, task: str, write: Callable[[Path], Path]) -> Case:
    return replace(case, task=task, write=write, settings={**case.settings, "task": task})


PACKED: dict[str, Case] = {
    **CASES,
    "ids": with_task(CASES["instances"], "instances", write_ids),
    "regions": with_task(
        CASES["instances"], "instances", lambda root: write_ids(root, single=True)
    ),
    "outlined objects": with_task(CASES["instances"], "instances", write_outlines),
    "outlined classes": with_task(CASES["segment"], "segment", write_outlines),
    "several boxes": with_task(CASES["localise"], "localise", write_several),
}


def same(one: Targets, other: Targets) -> None:
    """Whether all targets of two splits are the same, to the last bit."""
    assert (one.kind, len(one)) == (other.kind, len(other))
    for i in range(len(one)):
        a, b = one.truth(i), other.truth(i)
        parts = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
        assert all(
            np.array_equal(x, y, equal_nan=x is not None and np.asarray(x).dtype.kind == "f")
            for x, y in parts
        )


@pytest.mark.parametrize("name", sorted(PACKED))
def test_every_kind_is_packed_whole_or_refused_in_a_line(name, tmp_path):
    case = PACKED[name]
    folder, out = case.write(tmp_path / "data"), tmp_path / "shards"
    opened = case.open(folder)
    if not case.packs:
        with pytest.raises(DataError, match="shards hold pictures or sounds, these are") as caught:
            data.pack(opened, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()
        return
    told = data.pack(opened, out, size=8000)
    assert (told.noun, len(told.shards) > 1) == (opened.noun, True)
    there = case.open(out)
    for of in ("task", "kind", "classes", "outputs", "modality", "noun", "facts"):
        assert getattr(there, of) == getattr(opened, of)
    for split, part in opened.splits.items():
        named = [name.removeprefix(f"{split}/") for name in there.splits[split].names]
        assert named == list(part.names)  # a split that was drawn is said by the names
        same(part.targets, there.splits[split].targets)
    # once more, from the shards
    data.pack(there, tmp_path / "again", size=8000)
    again = case.open(tmp_path / "again")
    for split, part in opened.splits.items():
        same(part.targets, again.splits[split].targets)


KINDS = ["ids", "outlined classes", "several boxes", "several labels a sound"]


@pytest.mark.parametrize("name", KINDS)
def test_shards_train_and_are_scored_as_the_folder(name, tmp_path):
    """What the two differ in is where the items lie: the weights, the scores and the answers are the same."""
    case = PACKED[name]
    folder, out = case.write(tmp_path / "data"), tmp_path / "shards"
    data.pack(case.open(folder), out, size=40_000)  # of many shards the order would be theirs
    settings: dict[str, Any] = {**case.settings, "epochs": 1}
    one = striate.train(folder, out=tmp_path, name="folder", **settings)
    other = striate.train(out, out=tmp_path, name="shards", **settings)
    scores = [run.evaluate().as_dict()["scores"] for run in (one, other)]
    assert scores[0] == scores[1]
    assert one.evaluate(out, leaks="keep").as_dict()["scores"] == scores[0]
    files = case.some(folder, 3)
    first, second = (
        [each.as_dict() for each in Run.load(run.path).predict(files, out=tmp_path / run.path.name)]
        for run in (one, other)
    )
    for a, b in zip(first, second, strict=True):
        kept = [key for key, value in a.items() if not (isinstance(value, str) and "/" in value)]
        assert {key: a[key] for key in kept} == {key: b[key] for key in kept}


def test_other_programs_find_ids_in_16_bits(tmp_path):
    case = PACKED["outlined objects"]
    opened = case.open(case.write(tmp_path / "data"), val=0)
    data.pack(opened, tmp_path / "out")
    ids = {
        name: part.targets.truth(i)
        for part in opened.splits.values()
        for i, name in enumerate(part.names)
    }
    found: list[np.ndarray] = []
    for path in (tmp_path / "out").glob("*/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".instances.png"):
                    file = tar.extractfile(member)
                    assert file is not None
                    found.append(np.asarray(Image.open(file)).astype(np.int64))
    assert len(found) == len(ids)
    wanted = sorted(
        np.where(each < 0, 65535, each).astype(np.int64).tobytes() for each in ids.values()
    )
    assert sorted(each.tobytes() for each in found) == wanted


def test_room_for_masks_is_what_they_take(tmp_path, monkeypatch):
    """Outlines have checksums in place of sizes: they must not be taken for bytes."""
    case = PACKED["outlined classes"]
    opened = case.open(case.write(tmp_path / "data"))
    monkeypatch.setattr(packing, "SPARE", 0)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 0, 10**6)
    )  # pyright: ignore[reportAttributeAccessIssue]
    data.pack(opened, tmp_path / "out")


def test_more_objects_than_16_bits_number_are_refused():
    ids = np.arange(70_000, dtype=np.int32).reshape(200, 350)
    with pytest.raises(
        DataError, match=r"a\.png has 69,999 objects, shards hold at most 65,534 of a picture"
    ):
        packing._in_16_bits(ids, "a.png")


def test_arrays_are_refused_by_what_they_are(tmp_path):
    opened = CASES["classify"].open(CASES["classify"].write(tmp_path / "data"))
    split = next(iter(opened.splits.values()))
    part = replace(split.part, targets=Array(np.zeros((len(split), 3))))
    arrays = replace(opened, splits={"train": replace(split, part=part)})
    with pytest.raises(DataError, match="not an array an item"):
        data.pack(arrays, tmp_path / "out")
    inputs = replace(part, source=Values(np.zeros((len(split), 5))))
    bare = replace(opened, splits={"train": replace(split, part=inputs)})
    with pytest.raises(DataError, match="shards hold pictures or sounds, these are arrays"):
        data.pack(bare, tmp_path / "out")


@pytest.mark.parametrize("damage", ["modality", "fact", "short"])
def test_a_damaged_index_of_sounds_is_one_line(tmp_path, damage):
    from hashlib import sha256

    from safetensors.numpy import load, save

    case, out = CASES["several labels a sound"], tmp_path / "out"
    data.pack(case.open(case.write(tmp_path / "data")), out)
    index = json.loads((out / "index.json").read_text())
    columns = load((out / "targets.safetensors").read_bytes())
    if damage == "modality":
        index["modality"] = "smell"
    elif damage == "fact":
        del index["modality"]
    else:
        columns["val/fact seconds"] = columns["val/fact seconds"][1:]
    content = save(columns)
    index["targets"] = {"size": len(content), "sha256": sha256(content).hexdigest()}
    (out / "targets.safetensors").write_bytes(content)
    (out / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="its index is damaged") as caught:
        data.open(out)
    assert "\n" not in str(caught.value)
