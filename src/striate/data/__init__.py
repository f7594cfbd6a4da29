"""Data: what a folder, an archive, an array file or a built-in name holds, and its pixels.

`open` recognises the layout and gives `Data`; `Data.arrays` decodes; `picture` decodes a single one.
"""

from striate.data.colors import channels
from striate.data.colors import shown as as_rgb
from striate.data.dataset import Arrays, Data, Problem
from striate.data.decoding import Split
from striate.data.opening import again, open
from striate.data.packing import pack, read_size
from striate.data.pictures import FORMATS, MAX_PIXELS, picture, picture_and_size
from striate.data.scaling import array_picture
from striate.data.sources import Form
from striate.data.streaming import Images, Streamed
from striate.data.targets import Targets

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Arrays",
    "Data",
    "Form",
    "Images",
    "Problem",
    "Split",
    "Streamed",
    "Targets",
    "again",
    "array_picture",
    "as_rgb",
    "channels",
    "open",
    "pack",
    "picture",
    "picture_and_size",
    "read_size",
]
