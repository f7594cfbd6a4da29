"""Small plain JPEGs without Pillow's header reading, which costs more than decoding them.

A file is plain when it has 8 bits, one or three components and no EXIF. Everything else, and every
doubt, is left to Pillow; the pixels are the same, because the decoder is.
"""

from PIL import Image

SMALL = 256 * 256  # pixels; above, decoding outweighs the header
FRAMES = range(0xC0, 0xC3)  # baseline, extended and progressive, Huffman coded
EXIF, SCAN = 0xE1, 0xDA
MODES = {1: "L", 3: "RGB"}


def frame(data: bytes) -> tuple[int, int, str] | None:
    """Height, width and mode of a plain JPEG, or None."""
    at = 2
    try:
        while data[at] == 0xFF:
            marker = data[at + 1]
            if marker in FRAMES:
                mode = MODES.get(data[at + 9]) if data[at + 4] == 8 else None
                height = data[at + 5] << 8 | data[at + 6]
                width = data[at + 7] << 8 | data[at + 8]
                return (height, width, mode) if mode and height and width else None
            if marker in (EXIF, SCAN):
                return None
            at += 2 + (data[at + 2] << 8 | data[at + 3])
    except IndexError:
        pass
    return None


def decode(data: bytes) -> Image.Image | None:
    """The picture of a small plain JPEG, or None: then the usual way must be taken."""
    found = frame(data)
    if found is None or found[0] * found[1] > SMALL:
        return None
    height, width, mode = found
    try:
        return Image.frombytes(mode, (width, height), data, "jpeg", mode, "")
    except (ValueError, OSError):
        return None
