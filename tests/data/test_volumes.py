"""Volumes: every format gives the same voxels, spacing and axes; what is wrong is named; one grid for a set."""

import gzip
import re

import numpy as np
import pytest
from PIL import Image

from data.volumes import box, write_classes, write_nifti, write_series
from striate import data
from striate.data.volumes import Grid, Head, head, planned, read
from striate.data.volumes.grid import fitted
from striate.data.volumes.volume import Volume
from striate.errors import DataError, MissingExtraError


def save_npy(path, voxels):
    np.save(path.with_suffix(".npy"), voxels)


def save_tiff(path, voxels):
    pages = [Image.fromarray(plane.astype(np.uint8)) for plane in voxels]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def save_frames(folder, voxels):
    folder.mkdir(parents=True)
    for k, plane in enumerate(voxels):
        Image.fromarray(plane.astype(np.uint8)).save(folder / f"frame_{k + 1}.png")


@pytest.mark.parametrize("axes", ["SAR", "RAS", "LPS", "ASL", "IPL"])
def test_axes_are_turned_to_lie_one_way(tmp_path, axes):
    voxels = box(3, 0)
    path = write_nifti(tmp_path / "a.nii.gz", voxels, (2.0, 0.5, 0.25), axes)
    found = read(path)
    assert np.array_equal(found.voxels[..., 0], voxels)
    assert found.spacing == pytest.approx((2.0, 0.5, 0.25))
    assert found.turned == axes
    assert head(path) == found.head


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_dicom_series_is_ordered_by_its_places(tmp_path, suffix):
    voxels = box(3, 1)
    folder = write_series(tmp_path / "s", voxels, (2.0, 0.5, 0.25), suffix=suffix)
    found = read(folder)
    assert np.array_equal(found.voxels[..., 0], voxels)
    assert found.voxels.dtype == np.int16
    assert found.spacing == pytest.approx((2.0, 0.5, 0.25))
    assert head(folder) == found.head


def test_scales_of_a_header_are_applied(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii")
    found = read(tmp_path / "a.nii").voxels
    assert (found.dtype, found.min(), found.max()) == (np.float32, -3, 26.5)
    whole = write_series(tmp_path / "s", box(1, 0) * 2, slope=2.0)
    assert np.array_equal(read(whole).voxels[..., 0], box(1, 0) * 2)


def test_arrays_stacks_and_frames(tmp_path):
    voxels = box(5, 0).clip(0, 255).astype(np.uint8)
    np.save(tmp_path / "a.npy", voxels)
    np.savez_compressed(tmp_path / "b.npz", volume=voxels, name="b")
    save_tiff(tmp_path / "c.tif", voxels)
    save_frames(tmp_path / "d", voxels)  # frame_10 comes after frame_9
    for name in ("a.npy", "b.npz", "c.tif", "d"):
        found = read(tmp_path / name)
        assert np.array_equal(found.voxels[..., 0], voxels), name
        assert (found.spacing, found.head) == (None, head(tmp_path / name)), name


BROKEN = {
    "header": (lambda p: (p / "a.npy").write_bytes(b"\x93NUMPY"), "no sound .npy file"),
    "cut": (lambda p: cut(p / "a.npy"), "no sound .npy file"),
    "objects": (lambda p: np.save(p / "a.npy", np.array([{}, None])), "never unpickled"),
    "picture": (lambda p: np.save(p / "a.npy", np.zeros((32, 32))), r"\[32, 32\] is one picture"),
    "nan": (lambda p: np.save(p / "a.npy", np.full((4, 4, 4), np.nan)), "64 of 64 values are no"),
    "complex": (lambda p: np.save(p / "a.npy", np.zeros((4, 4, 4), complex)), "type complex128"),
    "channels": (lambda p: np.save(p / "a.npy", np.zeros((4, 4, 4, 40))), "40 values a voxel"),
    "two": (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 4, 4)), y=np.ones((4, 4, 4))), "x, y"),
    "zip": (lambda p: (p / "a.npz").write_bytes(b"PK\x03\x04 nothing"), "no sound .npz file"),
    "zeros": (lambda p: (p / "a.nii").write_bytes(b"\0" * 400), "no sound NIfTI file"),
    "gzip": (lambda p: (p / "a.nii.gz").write_bytes(b"\x1f\x8b" + b"\0" * 40), "no sound NIfTI"),
    "page": (lambda p: Image.new("L", (8, 8)).save(p / "a.tif"), "one page of 8 x 8"),
    "text": (lambda p: (p / "a.txt").write_text("x"), "no volume: expected .npy"),
    "gap": (lambda p: write_series(p / "a", box(0, 0), skip=(4,)), "1 missing; fetch the whole"),
    "twice": (lambda p: two_series(p / "a", "1.2.3"), "lie in one place"),
    "series": (lambda p: two_series(p / "a", "4"), "slices of 2 series"),
    "size": (lambda p: odd_frame(p / "a", "frame_4"), "frame_4.png is 5 x 5, the first 10 x 12"),
    "name": (lambda p: odd_frame(p / "a", "x"), "x.png has no number"),
}


def cut(path):
    np.save(path, np.zeros((8, 8, 8)))
    path.write_bytes(path.read_bytes()[:900])


def two_series(folder, series):
    write_series(folder, box(0, 0))
    write_series(folder, box(0, 0), suffix=".ima", series=series)


def odd_frame(folder, name):
    save_frames(folder, box(0, 0))
    Image.new("L", (5, 5)).save(folder / f"{name}.png")


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_says_why(tmp_path, case):
    write, words = BROKEN[case]
    if "NIfTI" in words:
        pytest.importorskip("nibabel")
    write(tmp_path)
    (path,) = tmp_path.iterdir()
    with pytest.raises(DataError, match=words):
        read(path)


def test_a_nifti_file_that_is_cut_off_is_refused(tmp_path):
    path = write_nifti(tmp_path / "a.nii", box(1, 0))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="cut off or damaged"):
        read(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(
        gzip.compress(write_nifti(tmp_path / "c.nii", box(1, 0)).read_bytes())[:-200]
    )
    with pytest.raises(DataError, match=r"cut off or damaged|no sound NIfTI"):
        read(packed)


@pytest.mark.parametrize(("suffix", "extra"), [(".nii.gz", "volumes"), (".dcm", "dicom")])
def test_a_missing_package_says_what_brings_it(tmp_path, monkeypatch, suffix, extra):
    import sys

    monkeypatch.setitem(sys.modules, "nibabel" if extra == "volumes" else "pydicom", None)
    (tmp_path / f"a{suffix}").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 400)
    with pytest.raises(MissingExtraError, match=rf"pip install 'striate\[{extra}\]'"):
        read(tmp_path / f"a{suffix}")
    write_classes(
        tmp_path / "set",
        lambda path, _: path.with_suffix(suffix).write_bytes(b"\0" * 128 + b"DICM"),
    )
    with pytest.raises(MissingExtraError, match=extra):
        data.open(tmp_path / "set")


def heads(*rows):
    return [Head(sides, 1, np.dtype(np.int16), spacing) for sides, spacing in rows]


def test_volumes_of_one_form_stay_as_they_are():
    plan = planned(heads(((8, 9, 10), (2.0, 1.0, 1.0)), ((8, 9, 10), (2.0, 1.0, 1.001))))
    assert (plan.grid, plan.dtype) == (Grid((8, 9, 10)), np.int16)
    assert plan.notes == ("voxels are 2 x 1 x 1 mm",)


def test_differing_spacing_is_resampled_and_said():
    plan = planned(
        heads(
            ((8, 8, 8), (2.0, 1.0, 1.0)),
            ((16, 8, 8), (1.0, 1.0, 1.0)),
            ((16, 8, 8), (1.0, 1.0, 1.0)),
        )
    )
    assert (plan.grid.size, plan.grid.spacing, plan.dtype) == (
        (16, 8, 8),
        (1.0, 1.0, 1.0),
        np.float32,
    )
    assert "voxels measure 1 x 1 x 1 mm to 2 x 1 x 1 mm: all volumes are resampled" in plan.notes[0]
    ramp = np.arange(8, dtype=np.float64)[:, None, None, None] * np.ones((8, 8, 8, 1))
    found = fitted(Volume(ramp, (2.0, 1.0, 1.0)), plan.grid, plan.dtype)
    assert found.shape == (16, 8, 8, 1)
    assert np.allclose(
        found[1:-1, 0, 0, 0], (np.arange(16) + 0.5)[1:-1] / 2 - 0.5
    )  # centres of finer voxels


def test_one_spacing_and_different_sizes_are_padded_with_the_least_value():
    plan = planned(heads(*[((8, 8, 8), (1.0, 1.0, 1.0))] * 3, ((10, 6, 40), (1.0, 1.0, 1.0))))
    assert plan.grid == Grid(
        (10, 8, 12), (1.0, 1.0, 1.0)
    )  # half as much again as the median side at most
    assert (
        "sizes differ: all volumes are padded or cut about their middle to 10 x 8 x 12 voxels"
        in plan.notes[0]
    )
    voxels = np.full((8, 8, 8, 1), 7)
    voxels[0, 0, 0] = -5
    found = fitted(Volume(voxels, (1.0, 1.0, 1.0)), plan.grid, np.dtype(np.int16))[..., 0]
    assert (found[0] == -5).all()
    assert np.array_equal(found[1:-1, :, 2:-2], voxels[..., 0])


def test_unknown_spacing_and_different_sizes_are_stretched():
    plan = planned(heads(((8, 8, 8), None), ((8, 8, 16), None), ((8, 8, 16), None)))
    assert plan.grid == Grid((8, 8, 16))
    assert "volumes of different sizes are resampled to 8 x 8 x 16 voxels" in plan.notes[0]


def test_spacing_of_some_alone_is_refused_where_sizes_differ():
    with pytest.raises(
        DataError, match="1 of 2 volumes say how far apart their voxels are, the others do not"
    ):
        planned(heads(((8, 8, 8), (1.0, 1.0, 1.0)), ((8, 8, 9), None)))
    assert planned(heads(((8, 8, 8), (1.0, 1.0, 1.0)), ((8, 8, 8), None))).grid == Grid((8, 8, 8))


def test_very_large_volumes_are_made_smaller_by_one_factor():
    plan = planned(heads(*[((128, 256, 256), (2.0, 1.0, 1.0))] * 2))
    assert plan.grid == Grid((40, 81, 81))
    assert "volumes of 128 x 256 x 256 are resampled" in plan.notes[0]


def test_smaller_volumes_are_smoothed_first():
    stripes = np.zeros((16, 4, 4, 1))
    stripes[::2] = 1
    found = fitted(Volume(stripes), Grid((4, 4, 4)), np.dtype(np.float32))
    assert np.abs(found - 0.5).max() < 0.2


@pytest.mark.parametrize("suffix", [".npy", ".nii.gz", "series", "frames", ".tif"])
def test_class_folders_of_volumes(tmp_path, suffix):
    def save(path, voxels):
        if suffix == ".npy":
            save_npy(path, voxels)
        elif suffix == "series":
            write_series(path, voxels)
        elif suffix == "frames":
            save_frames(path, voxels.clip(0, 255))
        elif suffix == ".tif":
            save_tiff(path.with_suffix(".tif"), voxels.clip(0, 255))
        else:
            write_nifti(path.with_name(path.name + suffix), voxels)

    root = write_classes(tmp_path / "set", save)
    layout = {"frames": "frames", ".tif": "volume_folders"}.get(suffix)
    opened = data.open(root, layout=layout)
    assert (opened.classes, len(opened), opened.task) == (("deep", "wide"), 12, "classify")
    held = opened.arrays("val")
    assert held.inputs.shape[1:] == (8, 10, 12, 1)
    assert held.inputs.dtype == (np.uint8 if layout else np.int16)
    first = int(held.names[0].split("/")[1][1:3])
    truth = box(first, first % 2)
    assert np.array_equal(held.inputs[0, ..., 0], truth.clip(0, 255) if layout else truth)


def test_pictures_in_class_folders_stay_pictures(tmp_path):
    for i in range(8):
        folder = tmp_path / "set" / "ab"[i % 2] / "clip"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (9, 9), np.uint8)).save(
            folder / f"{i}.png"
        )
    assert data.open(tmp_path / "set").layout == "class folders"
    for i in range(8):
        folder = tmp_path / "tiffs" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        save_tiff(folder / f"{i}.tif", np.random.default_rng(i).integers(0, 255, (3, 9, 9)))
    assert data.open(tmp_path / "tiffs").layout == "class folders"


def test_arrays_that_are_no_volumes_are_none(tmp_path):
    write_classes(
        tmp_path / "set", lambda path, voxels: np.save(path.with_suffix(".npy"), voxels[0])
    )
    with pytest.raises(DataError, match="holds no"):
        data.open(tmp_path / "set")


def test_what_is_among_volumes_is_named_and_counted(tmp_path):
    root = write_classes(tmp_path / "set", save_npy, count=40)
    np.save(root / "deep" / "flat.npy", np.zeros((9, 9)))
    np.save(root / "deep" / "nan.npy", np.full((8, 10, 12), np.nan, np.float32))
    np.save(root / "wide" / "two.npy", np.zeros((8, 10, 12, 2), np.int16))
    Image.new("L", (9, 9)).save(root / "wide" / "x.png")
    opened = data.open(root)
    assert opened.ignored == {".png": 1}
    assert "1 pictures among them are left out" in opened.note
    reasons = {problem.file: problem.reason for problem in opened.problems}
    assert reasons.keys() == {"deep/flat.npy", "deep/nan.npy", "wide/two.npy"}
    assert "one picture or table" in reasons["deep/flat.npy"]
    assert "no numbers" in reasons["deep/nan.npy"]
    assert "2 values a voxel, the others have 1" in reasons["wide/two.npy"]
    assert sum(len(opened.arrays(split)) for split in opened.splits) == 40


def test_volumes_of_differing_size_come_to_one_grid(tmp_path):
    def save(path, voxels):
        save_npy(path, voxels[:, :, : 8 + int(path.name[1:]) % 3])

    opened = data.open(write_classes(tmp_path / "set", save))
    assert "volumes of different sizes are resampled to 8 x 10 x 9 voxels" in opened.note
    assert opened.arrays("train").inputs.shape[1:] == (8, 10, 9, 1)
    set_by_hand = data.open(tmp_path / "set", layout="volume_folders:grid=4x5x6")
    assert set_by_hand.arrays("train").inputs.shape[1:] == (4, 5, 6, 1)
    with pytest.raises(Exception, match="grid: got '4x5'"):
        data.open(tmp_path / "set", layout="volume_folders:grid=4x5")


@pytest.mark.parametrize("kind", ["npz", ".nii.gz"])
def test_equal_volumes_stay_on_one_side_of_a_split(tmp_path, kind):
    unequal = [box(i, i % 2) for i in range(10)]
    volumes = [unequal[i // 4 * 2 + i % 2] for i in range(20)]  # each twice
    if kind == "npz":
        path = tmp_path / "set.npz"
        np.savez(path, x=np.stack(volumes), y=np.arange(20) % 2)
    else:
        path = tmp_path / "set"
        for i, voxels in enumerate(volumes):
            write_nifti(path / str(i % 2) / f"{i}{kind}", voxels)
    opened = data.open(path, val=0.4)
    assert len(opened.duplicates) == 10
    assert opened.leaks == ()


def test_values_of_a_set_are_not_rescaled_volume_by_volume(tmp_path):
    x = np.stack([np.full((5, 6, 7), i * 100 - 500, np.int16) for i in range(10)])
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(10) % 2)
    opened = data.open(tmp_path / "a.npz")
    assert "int16 from -500 to 400, taken as they are in all alike" in opened.note
    assert sorted(
        {int(v) for s in opened.splits for v in np.unique(opened.arrays(s).inputs)}
    ) == list(range(-500, 500, 100))
    limited = data.open(tmp_path / "a.npz", levels=(-200, 200))
    values = np.concatenate([limited.arrays(s).inputs for s in limited.splits])
    assert (values.min(), values.max(), limited.origin["levels"]) == (-200, 200, [-200, 200])
    assert "become 0 to 255" not in limited.note


def with_nan(count):
    x = np.random.default_rng(0).normal(size=(count, 5, 6, 7))
    x[:, 0, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((6, 5, 6, 7)), [0, 1] * 2, "6 volumes but 4 targets"),
        (np.zeros((6, 5, 6, 7), complex), [0, 1] * 3, "complex128"),
        (np.zeros((6, 5, 30, 6, 20)), [0, 1] * 3, r"\[N, D, H, W, C\] with up to 16 channels"),
        (with_nan(6), [0, 1] * 3, "none of 6 items"),
        (np.zeros((6, 5, 6, 7)), [0.0, np.nan] * 3, "expected finite numbers"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path, x, y, words):
    np.savez(tmp_path / "a.npz", x=x, y=np.array(y))
    with pytest.raises(DataError, match=words):
        data.open(tmp_path / "a.npz").check_any()


def test_channels_first_or_last(tmp_path):
    for shape in ((6, 5, 6, 7, 2), (6, 2, 5, 6, 7)):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        np.savez(tmp_path / "a.npz", x=x, y=np.arange(6) % 2)
        opened = data.open(tmp_path / "a.npz", val=0)
        expected = x if shape[-1] == 2 else np.moveaxis(x, 1, -1)
        assert np.array_equal(opened.arrays("all").inputs, expected)


def test_numbers_beside_volumes_are_regressed(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        x=np.zeros((20, 5, 6, 7)) + np.arange(20)[:, None, None, None],
        y=np.arange(20.0),
    )
    opened = data.open(tmp_path / "a.npz")
    assert (opened.task, opened.kind, opened.outputs) == ("regress", "values", ("y",))


def write_pairs(root, count=12, change=lambda _i, mask: mask):
    for i in range(count):
        voxels = box(i, i % 2)
        for name, values in (
            ("images", voxels),
            ("masks", change(i, (voxels == 900).astype(np.uint8))),
        ):
            (root / name).mkdir(parents=True, exist_ok=True)
            np.save(root / name / f"v{i:02d}.npy", values)
    return root


def test_volumes_with_masks_of_their_names(tmp_path):
    opened = data.open(write_pairs(tmp_path / "set"))
    assert (opened.layout, opened.task, opened.classes) == (
        "volumes with masks",
        "segment",
        ("0", "1"),
    )
    held = opened.arrays("train")
    assert held.targets.shape == (*held.inputs.shape[:4], 1)
    assert np.array_equal(held.targets == 1, held.inputs == 900)
    assert np.array_equal(opened.splits["train"].targets.truth(0)[..., None], held.targets[0])
    (tmp_path / "set" / "classes.txt").write_text("noise\nbox\nnothing\n")
    assert data.open(tmp_path / "set").classes == ("noise", "box", "nothing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda i, mask: mask[:, :, 1:] if i == 3 else mask,
            "its mask is 8 x 10 x 11 voxels, the volume 8 x 10 x 12",
        ),
        (lambda i, mask: mask * 0.5 if i == 3 else mask, "its mask: values that are not whole"),
        (
            lambda i, mask: np.stack([mask] * 2, -1) if i == 3 else mask,
            "its mask: 2 values a voxel, the others have 1",
        ),
        (lambda i, mask: mask[0] if i == 3 else mask, "its mask: .* is one picture or table"),
    ],
    ids=["size", "shares", "channels", "picture"],
)
def test_a_mask_that_is_none_is_named(tmp_path, change, reason):
    opened = data.open(write_pairs(tmp_path / "set", 40, change))
    assert [problem.file for problem in opened.problems] == ["images/v03.npy"]
    assert re.search(reason, opened.problems[0].reason)


def test_masks_with_negative_or_many_values_are_refused(tmp_path):
    with pytest.raises(DataError, match="masks have the value -1"):
        data.open(write_pairs(tmp_path / "a", change=lambda _i, mask: mask.astype(np.int8) - 1))
    with pytest.raises(DataError, match="different values, more than the 254 classes"):
        data.open(
            write_pairs(
                tmp_path / "b", change=lambda _i, mask: np.arange(mask.size).reshape(mask.shape)
            )
        )
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "classes.txt").write_text("noise\n")
    with pytest.raises(DataError, match=r"the value 1, for which classes\.txt has no name"):
        data.open(write_pairs(tmp_path / "c"))


# ------------------------------------------------------------------------------------------ a table


def scans(tmp_path, rows, save, header="scan,diagnosis"):
    """Scans p0, p1, ... in one folder, or two, and a table beside them."""
    for i in range(12):
        save(tmp_path / "scans", i)
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def as_array(folder, i):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"p{i}.npy", box(i, i % 2))


def as_nifti(folder, i):
    folder.mkdir(exist_ok=True)
    write_nifti(folder / f"p{i}.nii.gz", box(i, i % 2))


def as_slices(folder, i):
    write_series(folder / f"p{i}", box(i, i % 2), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (as_array, "p{i}.npy"),
        (as_array, "scans/p{i}.npy"),
        (as_array, "p{i}"),
        (as_nifti, "p{i}.nii.gz"),
        (as_nifti, "p{i}"),
        (as_nifti, "C:\\data\\scans\\p{i}.nii"),
        (as_slices, "p{i}"),
    ],
)
def test_a_table_names_volumes_and_their_classes(tmp_path, save, name):
    rows = [f"{name.format(i=i)},{'ill' if i % 2 else 'well'}" for i in range(12)]
    opened = data.open(scans(tmp_path, rows, save))
    assert (opened.layout, opened.modality) == ("volumes named by labels.csv", "volume")
    assert opened.classes == ("ill", "well")
    assert opened.read_as[0] == "volume_table"
    for split in opened.splits.values():
        for at, file in enumerate(split.names):
            number = int(re.sub(r"\D", "", file.rpartition("/")[2].partition(".")[0]))
            assert split.targets.truth(at) == (0 if number % 2 else 1)
            stored = split.source.decode(at, None)
            assert np.array_equal(stored[..., 0], box(number, number % 2))


def test_a_table_of_volumes_splits_them_and_says_which_are_not_there(tmp_path):
    splits = ["train"] * 6 + ["test"] * 4 + ["none"] * 2
    rows = [f"p{i},{'ill' if i % 2 else 'well'},{split}" for i, split in enumerate(splits)]
    rows += ["p99,ill,train", "p1,ill,train", "p2,,train", "p2,ill"]
    opened = data.open(scans(tmp_path, rows, as_array, "scan,label,split"))
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 6, "test": 4}
    assert {(fault.kind, fault.count, fault.places[0]) for fault in opened.faults} == {
        ("rows whose volume is not there", 1, "labels.csv line 14"),
        ("rows that repeat another", 1, "labels.csv line 15"),
        ("rows without a file or a label", 1, "labels.csv line 16"),
        ("rows without a split or a group", 1, "labels.csv line 17"),
    }


def test_numbers_of_a_table_are_learned_from_volumes_of_two_sizes(tmp_path):
    def save(folder, i):
        folder.mkdir(exist_ok=True)
        sides = (8, 10, 12) if i % 3 else (8, 8, 8)
        write_nifti(folder / f"p{i}.nii", box(i, i % 2, sides), (2.0, 1.0, 1.0))

    rows = [f"p{i},{40 + 1.5 * i}" for i in range(12)]
    opened = data.open(scans(tmp_path, rows, save, "scan,age"), layout="volume_table:label=age")
    assert (opened.task, opened.outputs) == ("regress", ("age",))
    assert "padded or cut about their middle to 8 x 10 x 12" in opened.note
    with pytest.raises(DataError, match="no column 'sex'; it has scan, age"):
        data.open(tmp_path, layout="volume_table:label=sex")
