"""Checkpoints that are whole, or not believed."""

import json
import os
import shutil

import pytest
import torch

from striate.errors import CheckpointError
from striate.runs import checkpoint
from striate.runs.checkpoint import Checkpoint


def save(root, step, merit=None):
    tensors = {"net.w": torch.full((2, 3), float(step)), "opt.0.step": torch.tensor(step)}
    return checkpoint.save(root, Checkpoint(step, tensors, {"rows": [step]}, merit))


def steps(root):
    return sorted(int(p.name[5:]) for p in (root / "checkpoints").iterdir())


def test_round_trip_in_any_layout(tmp_path):
    w = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    saved = Checkpoint(7, {"w": w.to(memory_format=torch.channels_last), "tied": w}, {"a": 1}, 0.5)
    found = checkpoint.load(checkpoint.save(tmp_path, saved))
    assert (found.step, found.state, found.merit) == (7, {"a": 1}, 0.5)
    assert torch.equal(found.tensors["w"], w)
    assert torch.equal(found.tensors["tied"], w)


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    for step, merit in [(1, 0.9), (2, 0.1), (3, 0.2), (4, 0.3)]:
        save(tmp_path, step, merit)
    assert steps(tmp_path) == [1, 3, 4]
    assert best_step(tmp_path) == 1
    save(tmp_path, 5, 0.9)
    assert best_step(tmp_path) == 5


def best_step(root):
    best, warnings = checkpoint.best(root)
    assert not warnings
    return best and best.step


def test_a_damaged_best_gives_way_to_the_next(tmp_path):
    for step, merit in [(1, 0.5), (2, 0.9), (3, 0.7)]:
        save(tmp_path, step, merit)
    (tmp_path / "checkpoints" / "step-00000002" / "tensors.safetensors").write_bytes(b"harm")
    best, warnings = checkpoint.best(tmp_path)
    assert best is not None
    assert best.step == 3
    assert len(warnings) == 1


@pytest.mark.parametrize("change", [{"sha256": ["a"]}, {"step": None}, {"merit": "x"}])
def test_a_manifest_of_other_types_is_damage(tmp_path, change):
    path = save(tmp_path, 1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(path)


def test_without_merit_there_is_no_best(tmp_path):
    save(tmp_path, 1)
    assert checkpoint.best(tmp_path) == (None, [])


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "manifest"])
def test_a_damaged_one_is_passed_over_and_said(tmp_path, harm):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    tensors = newest / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    if harm == "truncate":
        tensors.write_bytes(content[:-3])
    elif harm == "flip":
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif harm == "remove":
        tensors.unlink()
    else:
        (newest / "manifest.json").write_text("{")
    found, warnings = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(warnings) == 1
    assert warnings[0].endswith("going back to the one before")
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000001")
    with pytest.raises(CheckpointError, match="no checkpoint is whole"):
        checkpoint.newest(tmp_path)


def test_a_newer_format_is_refused(tmp_path):
    path = save(tmp_path, 1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads 3; update striate"):
        checkpoint.load(path)


def test_a_half_written_one_is_ignored_and_swept(tmp_path):
    left = tmp_path / "checkpoints" / ".step-00000009.tmp"
    left.mkdir(parents=True)
    (left / "tensors.safetensors").write_bytes(b"half")
    assert checkpoint.newest(tmp_path) == (None, [])
    save(tmp_path, 1)
    assert not left.exists()


def test_a_failed_write_keeps_the_one_before(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_synced", full)
    with pytest.raises(CheckpointError, match=r"cannot be written|disk is full"):
        save(tmp_path, 2)
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert steps(tmp_path) == [1]


def test_an_older_format_says_what_can_be_done(tmp_path):
    path = save(tmp_path, 1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 1}))
    with pytest.raises(
        CheckpointError,
        match="format 1, this version reads 3; go on with the striate that wrote it, or train anew",
    ):
        checkpoint.newest(tmp_path)


def test_the_order_is_that_of_the_steps_not_of_the_clock(tmp_path):
    paths = [save(tmp_path, step) for step in (1, 2)]
    for path, at in zip(paths, (2e9, 1e9), strict=True):
        os.utime(path, (at, at))
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 2
