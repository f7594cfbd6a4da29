"""Two things that Pillow does not do: keep its warnings off the terminal in threads, and read small JPEGs fast.

What is odd about a file is said by us, once, with its name. Reading a header with Pillow costs more than decoding a
small JPEG, so plain ones are decoded without it: those of 8 bits with one or three components and no EXIF. Everything
else, and every doubt, is left to Pillow; the pixels are the same, because the decoder is.
"""

import threading
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from PIL import Image

SMALL = 256 * 256  # pixels; above, decoding outweighs the header
_FRAMES = range(0xC0, 0xC3)  # baseline, extended and progressive, Huffman coded
_EXIF, _SCAN = 0xE1, 0xDA
_MODES = {1: "L", 3: "RGB"}


class _Warnings:
    """Counts the threads inside `without_warnings`: the first sets the filters, the last restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.filters = ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"(PIL|striate\.data)\.")

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.close()


_warnings = _Warnings()


@contextmanager
def without_warnings() -> Generator[None]:
    """Keep Pillow's warnings about odd files off the terminal; several threads may be inside.

    The filters of `warnings` belong to the whole process, hence the counting.
    """
    _warnings.enter()
    try:
        yield
    finally:
        _warnings.leave()


def jpeg_frame(data: bytes) -> tuple[int, int, str] | None:
    """Height, width and mode of a plain JPEG, or None."""
    at = 2
    try:
        while data[at] == 0xFF:
            marker = data[at + 1]
            if marker in _FRAMES:
                mode = _MODES.get(data[at + 9]) if data[at + 4] == 8 else None
                height = data[at + 5] << 8 | data[at + 6]
                width = data[at + 7] << 8 | data[at + 8]
                return (height, width, mode) if mode and height and width else None
            if marker in (_EXIF, _SCAN):
                return None
            at += 2 + (data[at + 2] << 8 | data[at + 3])
    except IndexError:
        pass
    return None


def small_jpeg(data: bytes) -> Image.Image | None:
    """The picture of a small plain JPEG, or None: then the usual way must be taken."""
    frame = jpeg_frame(data)
    if frame is None or frame[0] * frame[1] > SMALL:
        return None
    height, width, mode = frame
    try:
        return Image.frombytes(mode, (width, height), data, "jpeg", mode, "")
    except (ValueError, OSError):
        return None
