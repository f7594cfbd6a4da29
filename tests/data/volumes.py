"""Files of volumes for tests: a bright box in noise, in every format that is read."""

from pathlib import Path

import numpy as np
import pytest


def box(seed: int, kind: int, sides=(8, 10, 12)) -> np.ndarray:
    """A volume of noise with a box that is deep (kind 0) or wide (kind 1), int16 [D, H, W]."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-100, 100, sides).astype(np.int16)
    depth, high, wide = sides
    if kind:
        voxels[depth // 2 : depth // 2 + 2, 2 : high - 2, 1 : wide - 1] = 900
    else:
        voxels[1 : depth - 1, 2 : high - 2, wide // 2 : wide // 2 + 2] = 900
    return voxels


def write_nifti(path: Path, voxels: np.ndarray, spacing=(1.0, 1.0, 1.0), axes="SAR") -> Path:
    """A file whose stored axes are those of `axes`, from voxels [D, H, W] that run to head, front and right."""
    nibabel = pytest.importorskip("nibabel")
    directions = np.zeros((3, 3))
    world = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    ours = {2: 0, 1: 1, 0: 2}  # world axis -> axis of the voxels
    order, flips = [], []
    for stored, letter in enumerate(axes):
        row, sign = world[letter]
        order.append(ours[row])
        directions[row, stored] = sign * spacing[ours[row]]
        if sign < 0:
            flips.append(stored)
    array = np.flip(voxels.transpose(order), tuple(flips)) if flips else voxels.transpose(order)
    affine = np.eye(4)
    affine[:3, :3] = directions
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def write_series(
    folder: Path,
    voxels: np.ndarray,
    spacing=(2.0, 1.0, 1.0),
    *,
    skip=(),
    slope=1.0,
    intercept=-1024.0,
    suffix=".dcm",
    series="1.2.3",
) -> Path:
    """A DICOM slice a file, from voxels [D, H, W] that run to head, front and right; values are stored plus 1024."""
    dataset, uid = pytest.importorskip("pydicom.dataset"), pytest.importorskip("pydicom.uid")

    folder.mkdir(parents=True, exist_ok=True)
    for k, plane in enumerate(voxels):
        if k in skip:
            continue
        meta = dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = uid.generate_uid()
        meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        one = dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = (
            meta.MediaStorageSOPClassUID,
            meta.MediaStorageSOPInstanceUID,
        )
        one.SeriesInstanceUID = series
        one.Rows, one.Columns = plane.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.PixelSpacing = [spacing[1], spacing[2]]
        one.ImageOrientationPatient = [
            -1,
            0,
            0,
            0,
            -1,
            0,
        ]  # columns to the right, rows to the front
        one.ImagePositionPatient = [0, 0, k * spacing[0]]
        one.RescaleSlope, one.RescaleIntercept = slope, intercept
        stored = ((plane - intercept) / slope).astype(np.uint16)
        one.PixelData = stored.tobytes()
        name = f"{(k * 7) % 101:03d}{suffix}"  # names say nothing of the order
        one.save_as(folder / name, enforce_file_format=True)
    return folder


def write_classes(root: Path, save, count=12) -> Path:
    """Two class folders, `save(path without suffix, voxels)` for each of `count` volumes."""
    for i in range(count):
        folder = root / ("deep", "wide")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"v{i:02d}", box(i, i % 2))
    return root
