"""Runs on the same items are compared wherever those lay: in a folder, in shards, under other names."""

import shutil
from typing import Any

import pytest

import striate
from striate import data
from striate.errors import DataError
from striate.workbench.compare import compare

QUICK: dict[str, Any] = {"epochs": 1, "plan": "default", "size": 16, "batch": 16}


@pytest.fixture(scope="module")
def folder_run(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("folder")
    return striate.train(shapes, "linear", out=out, val=0.25, **QUICK)


def test_a_run_on_a_folder_and_one_on_its_shards(folder_run, shapes, tmp_path):
    data.pack(data.open(shapes, val=0.25), tmp_path / "shards")
    packed = striate.train(tmp_path / "shards", "linear", out=tmp_path / "runs", **QUICK)
    assert packed.config.data["fingerprint"] != folder_run.config.data["fingerprint"]
    found = compare([folder_run, packed])
    assert found.items == folder_run.summary["items"]
    assert next(
        d for d in found.differences if d.score == "correct" or d.score
    ).difference.value == pytest.approx(0, abs=0.2)


def test_items_under_other_names_are_matched_one_by_one(folder_run, shapes, tmp_path):
    renamed = shutil.copytree(shapes, tmp_path / "renamed")
    for number, path in enumerate(sorted(renamed.glob("*/*.png"), reverse=True)):
        path.rename(path.with_name(f"{number:03}x.png"))
    known = {
        digest: name
        for split in data.open(shapes, val=0.25).splits.values()
        for name, digest in zip(split.names, split.looks.digests, strict=True)
    }
    held = set(folder_run.open_data().splits["val"].names)
    rows = ["file,part"]
    for split in data.open(renamed, val=0).splits.values():
        for name, digest in zip(split.names, split.looks.digests, strict=True):
            rows.append(f"{name},{'val' if known[digest] in held else 'train'}")
    (tmp_path / "part.csv").write_text("\n".join(rows))
    rule = f"{tmp_path}/part.csv:part"
    other = striate.train(renamed, "linear", out=tmp_path / "runs", split=rule, lr=1e-9, **QUICK)
    found = compare([folder_run, other])
    same = compare([other, other])
    for one, two in zip(found.differences, same.differences, strict=True):
        assert one.mean_b == pytest.approx(two.mean_b)
    assert found.items == len(held)


def test_other_items_are_still_refused(folder_run, shapes, tmp_path):
    other = striate.train(shapes, "linear", out=tmp_path, val=0.25, seed=1, **QUICK)
    with pytest.raises(
        DataError, match=r"were trained on different data, or split otherwise|held out other items"
    ):
        compare([folder_run, other])
