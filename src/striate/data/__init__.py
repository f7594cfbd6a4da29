"""Data: what a folder, an archive, an array file or a built-in name holds, and its pixels.

`open` recognises the layout and gives `Data`; `Data.arrays` decodes; `picture` decodes a single one. The way
of the data through the files of this room:

1. `opening` finds what lies at a path: `layouts` (a file each, `layouts/registry` lists them), `builtin`, `archives`.
2. A layout gives an `index`: names, classes, and for each split `sources` of inputs and `targets`, among them `masks`.
3. `splits` holds items out where the data do not, `duplicates` together, those that are `broken` aside.
4. `dataset` is what a caller holds. Asked, `decoding` in `workers` fills the `cache`, or `streaming` reads on.
5. `pictures` decodes one picture; `modes`, `levels` and `colors` say what its values mean.

`files`, `documents` and `byteranges` read what somebody else wrote; `packing` writes `shards`.
"""

from striate.data.array_pictures import array_picture
from striate.data.color_spaces import channels
from striate.data.color_spaces import shown as as_rgb
from striate.data.dataset import Arrays, Data, Problem
from striate.data.fixes import Fixes
from striate.data.fixes import read as read_fixes
from striate.data.opening import again, open
from striate.data.packing import pack, read_size
from striate.data.pictures import FORMATS, MAX_PIXELS, picture, picture_and_size
from striate.data.sources import AnyForm, Form
from striate.data.split_items import Split
from striate.data.streaming import Images, Streamed
from striate.data.targets import Targets

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "AnyForm",
    "Arrays",
    "Data",
    "Fixes",
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
    "read_fixes",
    "read_size",
]
