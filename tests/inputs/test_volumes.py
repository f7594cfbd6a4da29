"""What a run keeps of volumes: moments of the set, the grid, the same values in training and prediction."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import striate
from data.volumes import box, write_classes, write_nifti, write_series
from striate import data, inputs
from striate.errors import CheckpointError, DataError, RecipeError, ShapeError, UsageError
from striate.inputs.volumes import Volumes, slices, slices_of_mask

KEPT = Volumes(
    (4, 5, 6), (10.0, -3.0), (2.0, 4.0), (2.0, 1.0, 1.0), (-100.0, 400.0), "int16", patch=(4, 4, 6)
)
SHORT: dict[str, Any] = {"plan": "default", "epochs": 1, "batch": 8, "health": 0, "width": 0.125}


def kept(run) -> Volumes:
    """What a run keeps of its volumes."""
    found = run.config.preprocessing
    assert isinstance(found, Volumes)
    return found


def test_it_is_read_back_as_it_was():
    assert inputs.from_dict({**KEPT.as_dict()}) == KEPT
    bare = Volumes((4, 5, 6), (0.0,), (1.0,))
    assert inputs.from_dict(bare.as_dict()) == bare


@pytest.mark.parametrize(
    "change",
    [
        {"size": [4, 5]},
        {"std": [0.0, 1.0]},
        {"spacing": [1.0, 1.0]},
        {"spacing": [1.0, 1.0, -1.0]},
        {"levels": [4.0, 4.0]},
        {"dtype": "nonsense"},
        {"maps": 1},
        {"patch": [5, 5, 6]},
        {"mean": [1.0]},
    ],
)
def test_a_damaged_field_is_named(change):
    with pytest.raises(CheckpointError, match="preprocessing is damaged"):
        inputs.from_dict({**KEPT.as_dict(), **change})


def test_values_of_the_set_are_normalised_by_channel():
    stored = torch.stack([torch.full((4, 5, 6), 14), torch.full((4, 5, 6), 1)], -1)[None].short()
    found = KEPT.normalise(stored)
    assert found.shape == (1, 2, 4, 5, 6)
    assert (found[0, 0] == 2).all()
    assert (found[0, 1] == 1).all()
    assert found.is_contiguous()
    assert (stored[..., 0] == 14).all()


def test_moments_are_those_of_all_training_values(tmp_path):
    x = np.random.default_rng(0).normal(300, 70, (20, 11, 12, 13)).astype(np.int16)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
    run = striate.train(tmp_path / "a.npz", out=tmp_path, **SHORT)
    pre = kept(run)
    opened = run.open_data()
    values = np.asarray(opened.arrays("train").inputs, np.float64)
    assert (pre.mean[0], pre.std[0]) == pytest.approx((values.mean(), values.std()))
    assert (pre.size, pre.dtype, pre.shape) == ((11, 12, 13), "int16", (1, 11, 12, 13))


@pytest.mark.parametrize("suffix", [".nii.gz", "series"])
def test_a_file_is_predicted_as_it_was_learned(tmp_path, suffix):
    """Volumes of two spacings: what training stores of a file is what predict reads of it."""

    def save(path, voxels):
        spacing = (2.0, 1.0, 1.0) if int(path.name[1:]) % 3 else (1.0, 1.0, 1.0)
        if suffix == "series":
            write_series(path, voxels, spacing)
        else:
            write_nifti(path.with_name(path.name + suffix), voxels, spacing, "LPS")

    root = write_classes(tmp_path / "set", save, count=16)
    run = striate.train(root, out=tmp_path, **SHORT)
    pre = kept(run)
    assert pre.spacing is not None
    held = run.open_data().arrays("val", form=pre.form)
    for name, stored in zip(held.names, held.inputs, strict=True):
        read = pre.read(root / name, max_pixels=0)
        np.testing.assert_allclose(read.stored, stored, rtol=1e-5)
    found = run.predict([root])
    assert len(found) == 16
    assert all(each.error is None for each in found)
    unknown = tmp_path / "unknown.npy"
    np.save(unknown, box(1, 0))
    (answer,) = run.predict([unknown])
    assert "does not say how far apart its voxels are" in (answer.error or "")


def test_values_of_another_scale_are_said(tmp_path):
    x = np.stack([box(i, i % 2, (11, 12, 13)) for i in range(16)])
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(16) % 2)
    run = striate.train(tmp_path / "a.npz", out=tmp_path, **SHORT)
    np.save(tmp_path / "same.npy", x[0])
    np.save(tmp_path / "scaled.npy", (x[0] / 1000.0).astype(np.float32))
    same, scaled = run.predict([tmp_path / "same.npy", tmp_path / "scaled.npy"])
    assert "note" not in (same.answer or {})
    assert "is that the same scale?" in (scaled.answer or {})["note"]


def test_voxels_of_another_size_are_said(tmp_path):
    def save(path, voxels):
        write_nifti(path.with_name(path.name + ".nii"), voxels, (2.0, 1.0, 1.0))

    run = striate.train(write_classes(tmp_path / "set", save, 16), out=tmp_path, **SHORT)
    assert kept(run).voxel == (2.0, 1.0, 1.0)
    assert inputs.from_dict(kept(run).as_dict()) == kept(run)
    same = write_nifti(tmp_path / "same.nii", box(1, 0), (2.0, 1.0, 1.0))
    other = write_nifti(tmp_path / "other.nii", box(1, 0), (1.0, 1.0, 1.0))
    np.save(tmp_path / "bare.npy", box(1, 0))
    known, finer, bare = run.predict([same, other, tmp_path / "bare.npy"])
    assert "note" not in (known.answer or {})
    said = "voxels are 1 x 1 x 1 mm, the net learned from 2 x 1 x 1 mm"
    assert (finer.answer or {})["note"] == said
    assert "voxels are not stated" in (bare.answer or {})["note"]
    assert "voxels are 2 x 1 x 1 mm" in (run.path / "report.html").read_text()


def test_other_data_come_to_the_grid_of_the_run(tmp_path):
    def save(path, voxels):
        np.save(path.with_suffix(".npy"), voxels)

    run = striate.train(
        write_classes(tmp_path / "a", save, 16), out=tmp_path, grid="12x13x14", **SHORT
    )
    assert kept(run).size == (12, 13, 14)
    other = write_classes(tmp_path / "b", lambda p, v: save(p, np.pad(v, 3)), 12)
    assert run.evaluate(other).as_dict()["items"] == 12


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"size": 32}, RecipeError, "size=.* is a setting of pictures, these data are volumes"),
        ({"color": "grey"}, RecipeError, "color=grey is a setting of pictures"),
        ({"augment": "color"}, RecipeError, "color is no view of volumes; they have"),
        (
            {"net": "resnet18"},
            UsageError,
            "net=resnet18 learns to classify from a picture each.*voxnet",
        ),
        ({"net": "unet3d_same"}, UsageError, "nets that do: voxnet"),
        ({"grid": 8}, ShapeError, "at least 11x11x11; got 8x8x8; enlarge them with grid=11"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, error, words):
    np.savez(
        tmp_path / "a.npz",
        x=np.zeros((20, 11, 12, 13)) + np.arange(20)[:, None, None, None],
        y=np.arange(20) % 2,
    )
    with pytest.raises(error, match=words):
        striate.train(tmp_path / "a.npz", out=tmp_path, **{**SHORT, **settings})


def test_a_net_of_ones_own_and_numbers_to_learn(tmp_path):
    x = np.random.default_rng(0).normal(size=(24, 6, 7, 8)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=x.mean((1, 2, 3)))
    own = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(480, 1)
    )
    run = striate.train(tmp_path / "a.npz", own, out=tmp_path, epochs=1, plan="default", health=0)
    assert run.config.task == "regress"
    by_default = striate.train(tmp_path / "a.npz", out=tmp_path, grid=11, **SHORT)
    assert by_default.config.net.name == "voxnet"


def test_a_tile_shows_three_slices():
    voxels = np.zeros((4, 6, 8, 1), np.int16)
    voxels[2, 5, 1] = 100  # of the middle slice across depth, at the front: on top
    shown = slices(voxels)
    assert shown.shape == (6, 8 + 2 + 8 + 2 + 6, 1)
    assert shown[0, 1, 0] == 255
    assert shown[0, 2, 0] == 0
    mask = slices_of_mask((voxels[..., 0] > 0).astype(np.uint8))
    assert mask.shape == shown.shape[:2]
    assert (mask[0, 1], mask[0, 9]) == (1, 255)


def test_volumes_with_masks_from_files_to_files(tmp_path):
    """LPS files in, masks in the space of each file out; scores are of the volumes' own voxels."""
    nibabel = pytest.importorskip("nibabel")
    root = tmp_path / "set"
    for i in range(12):
        voxels = box(i, i % 2)[:, :, : 12 - (i % 5 == 0)]
        write_nifti(root / "imagesTr" / f"c_{i:02d}_0000.nii.gz", voxels, (2, 1, 1), "LPS")
        write_nifti(
            root / "labelsTr" / f"c_{i:02d}.nii.gz",
            (voxels == 900).astype(np.uint8),
            (2, 1, 1),
            "LPS",
        )
    (root / "dataset.json").write_text('{"labels": {"background": 0, "box": 1}}')
    opened = data.open(root)
    assert (opened.task, opened.kind, opened.classes) == ("segment", "mask", ("background", "box"))
    run = striate.train(
        root, out=tmp_path, plan="default", epochs=1, health=0, width=0.0625, batch=4
    )
    assert (run.config.net.name, kept(run).maps) == ("unet3d_same", True)
    assert {"miou", "dice", "boundary_f1"} <= run.evaluate().as_dict()["scores"].keys()
    path = root / "imagesTr" / "c_00_0000.nii.gz"
    (found,) = run.predict([path], out=tmp_path / "out")
    written = nibabel.load((found.answer or {})["mask"])
    source = nibabel.load(path)
    assert written.shape == source.shape
    assert np.array_equal(written.affine, source.affine)
    page = (run.path / "report.html").read_text()
    assert "differs in" in page


def test_windows_cover_a_volume_and_overlap():
    pre = Volumes((20, 9, 8), (0.0,), (1.0,), patch=(8, 8, 8))
    count = np.zeros((20, 9, 8))
    for window in pre.parts((1, 20, 9, 8, 1)):
        assert [part.stop - part.start for part in window] == [8, 8, 8]
        count[window] += 1
    assert count.min() == 1
    assert {part[0].start for part in pre.parts((1, 20, 9, 8, 1))} == {0, 4, 8, 12}
    assert pre.parts((1, 8, 8, 8, 1)) == []
    assert Volumes((20, 9, 8), (0.0,), (1.0,)).parts((1, 20, 9, 8, 1)) == []


def masked(path, count=12):
    x = np.stack([box(i, i % 2) for i in range(count)])
    np.savez(path, x=x, y=(x == 900).astype(np.uint8), classes=["noise", "box"])
    return path


def test_masks_are_learned_from_windows_and_answered_whole(tmp_path):
    """A net of single voxels answers the same in windows as at once."""
    path, own = masked(tmp_path / "a.npz"), torch.nn.Conv3d(1, 2, 1)
    settings: dict[str, Any] = {
        "plan": "default",
        "epochs": 2,
        "batch": 4,
        "health": 0,
        "lr": 0.5,
        "optimizer": "adamw",
    }
    run = striate.train(path, own, out=tmp_path, patch="4x6x6", **settings)
    pre = kept(run)
    assert (pre.size, pre.patch, pre.shape) == ((8, 10, 12), (4, 6, 6), (1, 4, 6, 6))
    assert run.evaluate().as_dict()["scores"]["miou"]["value"] > 0.9
    stored = run.open_data().arrays("val").inputs[:2]
    with torch.inference_mode():
        at_once = run.net.eval()(pre.normalise(torch.from_numpy(stored)))
        torch.testing.assert_close(run.used.outputs(stored), at_once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("patch", "words"), [("9x6x6", "patch=9x6x6 is larger than the volumes, which are 8x10x12")]
)
def test_windows_that_do_not_fit_are_refused(tmp_path, patch, words):
    with pytest.raises(RecipeError, match=words):
        striate.train(masked(tmp_path / "a.npz"), out=tmp_path, patch=patch, **SHORT)
    np.savez(
        tmp_path / "b.npz",
        x=np.random.default_rng(0).normal(size=(20, 12, 12, 12)),
        y=np.arange(20) % 2,
    )
    with pytest.raises(RecipeError, match="windows are learned from masks alone"):
        striate.train(tmp_path / "b.npz", out=tmp_path, patch=11, **SHORT)


def test_a_written_mask_lies_as_the_file_does(tmp_path):
    from striate.data.volumes import read, write_mask

    nibabel = pytest.importorskip("nibabel")
    for axes in ("SAR", "LPS", "ASL"):
        path = write_nifti(tmp_path / f"{axes}.nii", box(1, 0), (2.0, 1.0, 0.5), axes)
        numbers = (read(path).voxels[..., 0] == 900).astype(np.uint8)
        written = nibabel.load(tmp_path / write_mask(path, axes, numbers, tmp_path))
        assert np.array_equal(
            np.asarray(written.dataobj), np.asarray(nibabel.load(path).dataobj) == 900
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y[:, :-1], "expected"),
        (lambda y: y - 5, "values from -5"),
        (lambda y: np.arange(y.size).reshape(y.shape), "expected numbers of classes from 0"),
    ],
    ids=["size", "negative", "many"],
)
def test_masks_that_are_none_are_refused(tmp_path, change, words):
    y = np.zeros((6, 5, 6, 7), np.int64)
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 5, 6, 7)), y=change(y))
    with pytest.raises(DataError, match=words):
        data.open(tmp_path / "a.npz")


def test_how_axes_and_voxels_were_stored_is_kept_and_missed(tmp_path):
    def save(path, voxels):
        axes = "LPS" if int(path.name[1:]) % 4 else "SAR"
        spacing = (2.0, 1.0, 1.0) if int(path.name[1:]) % 3 else (1.0, 1.0, 1.0)
        write_nifti(path.with_name(path.name + ".nii"), voxels, spacing, axes)

    run = striate.train(write_classes(tmp_path / "set", save, 16), out=tmp_path, **SHORT)
    config = json.loads((run.path / "config.json").read_text())["preprocessing"]
    assert config["turned"] == ["LPS", "SAR"]  # the most frequent first
    assert config["stored_spacing"] == [1.0, 1.0, 1.0, 2.0, 1.0, 1.0]
    assert inputs.from_dict(kept(run).as_dict()) == kept(run)
    before = {key: config[key] for key in config if key not in ("turned", "stored_spacing")}
    assert inputs.from_dict(before) == replace(kept(run), turned=None, stored_spacing=None)
    turned = write_nifti(tmp_path / "turned.nii", box(1, 0), (1.0, 1.0, 1.0), "SAR")
    (answer,) = run.predict([turned])
    assert "turned alike" not in (answer.answer or {}).get("note", "")


def test_axes_that_are_stated_on_one_side_alone_are_said(tmp_path):
    def bare(path, voxels):
        np.save(path.with_suffix(".npy"), voxels)

    run = striate.train(write_classes(tmp_path / "set", bare, 16), out=tmp_path, **SHORT)
    assert (kept(run).turned, kept(run).stored_spacing) == ((), None)
    stated = write_nifti(tmp_path / "stated.nii", box(1, 0), (1.0, 1.0, 1.0), "LPS")
    (answer,) = run.predict([stated])
    assert "its axes lie LPS, those of the training are not stated" in (answer.answer or {})["note"]
    known = replace(kept(run), turned=("LPS",))
    np.save(tmp_path / "one.npy", box(1, 0))
    note = known.read(tmp_path / "one.npy", max_pixels=0).note
    assert note == "its axes are not stated, those of the training lay LPS: is it turned alike?"
