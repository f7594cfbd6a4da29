"""Data: what a folder, an archive, an array file or a built-in name holds, and its pixels.

`open` recognises the layout and gives `Data`; `Data.arrays` decodes; `picture` decodes a single one.
"""

from striate.data.colors import channels
from striate.data.colors import shown as as_rgb
from striate.data.dataset import Arrays, Data, Problem
from striate.data.decoding import Split
from striate.data.opening import again, open
from striate.data.pictures import FORMATS, picture

__all__ = [
    "FORMATS",
    "Arrays",
    "Data",
    "Problem",
    "Split",
    "again",
    "as_rgb",
    "channels",
    "open",
    "picture",
]
