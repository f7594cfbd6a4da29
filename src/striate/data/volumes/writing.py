"""Masks of volumes written for people: NIfTI in the space of the file that was answered, else an array."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.volumes import nifti
from striate.data.volumes.reading import NIFTI, SUFFIXES, suffix_of
from striate.extras import need


def write_mask(file: Path, stem: str, numbers: npt.NDArray[np.uint8], folder: Path) -> str:
    """Class numbers [D, H, W] of a volume, beside other predictions.

    Args:
        file: the volume.
        stem: what the name of the mask begins with.
        numbers: of each voxel, as the volume was read.
        folder: where it is written.

    Returns:
        The name of the file: .nii.gz with the axes and the affine of a NIfTI file, else .npy with axes as they were read.
    """
    if SUFFIXES.get(suffix_of(file.name)) is not NIFTI:
        name = f"{stem}_mask.npy"
        np.save(folder / name, numbers)
        return name
    nibabel: Any = need("nibabel")
    image = nibabel.load(file)
    name = f"{stem.removesuffix('.nii')}_mask.nii.gz"
    stored = nifti.as_stored(numbers, image)
    nibabel.save(nibabel.Nifti1Image(stored, image.affine), folder / name)
    return name
