"""The letters of drawings: one list of families, the same for a page, for a picture painted here, and for the room words take."""

from functools import cache
from typing import Any

# The first family that a machine has is taken, by a browser and by Pillow alike; DejaVu Sans is the widest of them.
FILES = (
    ("DejaVu Sans", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("Verdana", "Verdana.ttf", "Verdana_Bold.ttf"),
    ("Arial", "Arial.ttf", "Arial_Bold.ttf"),
    ("Arial", "arial.ttf", "arialbd.ttf"),
    ("Liberation Sans", "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
)
FAMILY = "'DejaVu Sans',Verdana,Arial,'Liberation Sans',sans-serif"
# Widths of DejaVu Sans in hundredths of its size; what is not listed is as wide as the widest.
WIDTHS = {
    28: "ijlIJ'", 32: " ,.\N{NO-BREAK SPACE}\N{MIDDLE DOT}", 34: "/:;\\|", 36: "-", 39: "()[]t!f", 41: "r",
    52: "sz\"?*_`\N{EN DASH}", 55: "cL", 59: "vxykF", 62: "eaoTYPS", 64: "$0123456789{}EbdghnpquK",
    70: "ABCRVXZ", 78: "DGHNOQU&", 84: "#+<=>^~wM\N{MULTIPLICATION SIGN}\N{MINUS SIGN}\N{INFINITY}\N{RIGHTWARDS ARROW}",
}  # fmt: skip
WIDTH = {char: width / 100 for width, chars in WIDTHS.items() for char in chars}
# What the letters that Pillow brings lack, as they have it.
SPELLED = str.maketrans({"\N{MINUS SIGN}": "-", "\N{INFINITY}": "inf", "\N{MULTIPLICATION SIGN}": "x", "…": "...", "\N{NO-BREAK SPACE}": " "})  # fmt: skip
BOLD = 1.13  # times as wide, about


def width(words: str, size: float, *, bold: bool = False) -> float:
    """The pixels that a line of words takes in the widest of the families.

    >>> round(width("conv 3x3", 12))
    55
    """
    return size * sum(WIDTH.get(char, 1.0) for char in words) * (BOLD if bold else 1.0)


def fitted(words: str, size: float, room: float) -> str:
    """Words cut to a width, with an ellipsis where something is missing."""
    if width(words, size) <= room:
        return words
    while words and width(f"{words}…", size) > room:
        words = words[:-1]
    return f"{words.rstrip()}…"


@cache
def font(size: float, *, bold: bool = False) -> Any:
    """The first of the families that is installed, for Pillow; else the one that Pillow brings, which has one weight."""
    from PIL import ImageFont

    for _, *files in FILES:
        try:
            return ImageFont.truetype(files[bold], size)
        except OSError:
            continue
    return ImageFont.load_default(size)


@cache
def installed() -> str:
    """The family that `font` takes; "" if none of the list is installed."""
    name = font(12).getname()[0] or ""
    return name if name in {family for family, *_ in FILES} else ""


def spelled(words: str) -> str:
    """Words as `font` can write them."""
    return words if installed() else words.translate(SPELLED)
