"""Volumes: files of voxels, folders of slices and of frames, brought to one grid.

`volume` is what a file holds; `arrays`, `nifti`, `dicom` and `stacks` read one kind of file each, `reading` knows which;
`grid` says how the volumes of a set come to one grid; `sources` are where the items of a split come from.
"""

from striate.data.volumes.grid import Grid, Plan, planned
from striate.data.volumes.reading import head, is_item, kind_of, read
from striate.data.volumes.sources import Grids, VolumeFiles
from striate.data.volumes.volume import Head, Volume
from striate.data.volumes.writing import write_mask

__all__ = [
    "Grid",
    "Grids",
    "Head",
    "Plan",
    "Volume",
    "VolumeFiles",
    "head",
    "is_item",
    "kind_of",
    "planned",
    "read",
    "write_mask",
]
