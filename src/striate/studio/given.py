"""What the page gives a net to read: files, items of the data, pixels, one value changed; brought to what the net reads.

Every input goes through the preprocessing of the net or of the run, each step of which is named and shown.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from numpy.typing import NDArray

from striate.errors import DataError
from striate.inputs import Pictures, Sounds
from striate.studio import wire
from striate.studio.items import TensorItems, picture_of, plane
from striate.studio.routes import Refusal, Request, whole
from striate.studio.session import OpenNet, Pass

MOST_PIXELS = 40_000_000
MOST_SECONDS = 60.0
SUFFIX = 10  # letters of a file's ending
# Files of weights as PyTorch and others pickle them.
MODEL_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".model")
U8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Given:
    """An input on its way to a net.

    Attributes:
        stored: as evaluation sees it, before its values are scaled.
        steps: what was done to it, before that.
        previews: uint8 [h, w, 3] after each of these.
        item: its number in the data.
        truth: what belongs to it, in words.
        note: what is to be said of it.
        raw: whether it stands there as the net reads it, so that nothing is scaled.
    """

    stored: NDArray[Any]
    steps: Sequence[wire.Step] = ()
    previews: Sequence[U8] = ()
    item: int | None = None
    truth: str | None = None
    note: str | None = None
    raw: bool = False


def from_file(opened: OpenNet, file: Path) -> Given:
    """A file, read as a run reads it in evaluation.

    Raises:
        DataError: it cannot be read; with the reason.
    """
    pre = opened.pre
    try:
        read = pre.read(file, max_pixels=MOST_PIXELS)
    except DataError as error:
        raise DataError(f"{_readable(opened)}: {error}") from error
    _short_enough(read.windows)
    whole_ = read.stored if read.windows else read.stored[None]
    first = torch.from_numpy(np.array(whole_[:1]))
    stored = pre.centre(first)[0].numpy()
    note = read.note
    if read.windows:
        start, end = read.windows[0]
        note = f"{start:g} to {end:g} s, the first of {len(read.windows)} windows"
    steps, previews = _steps(opened, file, first[0].numpy(), stored, read.size)
    return Given(stored, steps, previews, note=note or None)


def _readable(opened: OpenNet) -> str:
    return f"{opened.name} reads {opened.pre.noun()}"


def _short_enough(windows: Sequence[tuple[float, float]]) -> None:
    if windows and windows[-1][1] > MOST_SECONDS:
        raise Refusal(413, f"{windows[-1][1]:.0f} s of sound: at most {MOST_SECONDS:.0f} s")


def _steps(
    opened: OpenNet, file: Path, kept: NDArray[Any], stored: NDArray[Any], size: Sequence[int]
) -> tuple[list[wire.Step], list[U8]]:
    pre = opened.pre
    if isinstance(pre, Pictures):
        see = pre.picture(file, max_pixels=MOST_PIXELS)
        assert see is not None  # noqa: S101 - pictures have one
        return _picture_steps(pre, see(), kept, stored)
    if isinstance(pre, Sounds):
        return _sound_steps(pre, kept, stored)
    del size
    shape = " x ".join(map(str, stored.shape))
    step = wire.Step("read", f"an array of {shape} is read", {})
    return [step], [picture_of(stored, pre)]


def _picture_steps(
    pre: Pictures, own: U8, kept: NDArray[Any], stored: NDArray[Any]
) -> tuple[list[wire.Step], list[U8]]:
    (h, w), (kh, kw), (sh, sw) = own.shape[:2], kept.shape[:2], stored.shape[:2]
    steps = [
        wire.Step("read", f"a picture of {w} x {h} pixels is read", _numbers(width=w, height=h))
    ]
    previews = [own]
    if (kh, kw) != (h, w):
        cover = "until it covers them, the middle cut out"
        how = "each side by itself" if pre.fit == "stretch" else cover
        text = f"scaled to {kw} x {kh} pixels ({how})"
        steps.append(wire.Step("resize", text, _numbers(width=kw, height=kh)))
        previews.append(picture_of(kept, pre))
    if pre.color != "rgb":
        steps.append(wire.Step("color", f"turned {pre.color}", {}))
        previews.append(picture_of(kept, pre))
    if (sh, sw) != (kh, kw):
        text = f"the middle {sw} x {sh} pixels are taken"
        steps.append(wire.Step("crop", text, _numbers(width=sw, height=sh)))
        previews.append(picture_of(stored, pre))
    return steps, previews


def _sound_steps(
    pre: Sounds, kept: NDArray[Any], stored: NDArray[Any]
) -> tuple[list[wire.Step], list[U8]]:
    seconds, rate = len(stored) / pre.rate, pre.rate
    text = f"a sound is read at {rate:,} Hz, one channel"
    steps = [wire.Step("read", text, _numbers(rate=rate, seconds=len(kept) / rate))]
    previews = [wave_picture(kept)]
    if len(kept) != len(stored):
        text = f"the middle {seconds:g} s are taken"
        steps.append(wire.Step("crop", text, _numbers(seconds=seconds)))
        previews.append(wave_picture(stored))
    if pre.representation != "wave":
        text = f"{pre.mels} mel bands of windows of {pre.windows[0] / rate * 1000:g} ms every {pre.hop / rate * 1000:g} ms"
        numbers = _numbers(mels=pre.mels, window=pre.windows[0] / rate, hop=pre.hop / rate)
        steps.append(wire.Step("spectrum", text, numbers))
        previews.append(picture_of(stored, pre))
    return steps, previews


def wave_picture(wave: NDArray[Any], wide: int = 384, high: int = 64) -> U8:
    """The least and the greatest value of a wave over time, black on white, uint8 [high, wide, 3]."""
    wave = np.asarray(wave, np.float64)
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    parts = np.array_split(wave / peak if peak else wave, wide)
    picture = np.full((high, wide, 3), 255, np.uint8)
    for x, part in enumerate(parts):
        if part.size:
            top, low = (round((1 - v) / 2 * (high - 1)) for v in (part.max(), part.min()))
            picture[top : low + 1, x] = 32
    return picture


def _numbers(**values: float) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def from_item(opened: OpenNet, index: int) -> Given:
    """An item of the data.

    Raises:
        Refusal: 404, there are no data or no such item.
    """
    items = opened.items
    if items is None:
        raise Refusal(404, f"{opened.name} was opened without data; see --data", "item")
    stored = items.stored(items.check(index))
    step = wire.Step("item", f"item {index}, {items.name(index)}", {"index": float(index)})
    raw = isinstance(items, TensorItems)
    shown = plane(stored) if raw else picture_of(stored, opened.pre)
    return Given(stored, [step], [shown], index, items.label(index), raw=raw)


def from_body(opened: OpenNet, request: Request) -> Given:
    """What the page sent: pixels as it holds them, or a file as it lies.

    Raises:
        Refusal: headers or bytes that say nothing, or a file of a kind that is not read.
    """
    kind = request.headers.get("x-kind", "")
    if kind == "file":
        return _from_upload(opened, unquote(request.headers.get("x-name", "")), request.body)
    if kind not in ("u8", "f32"):
        raise Refusal(400, f"X-Kind: {kind or 'missing'}: expected u8, f32 or file", "x-kind")
    shape = [
        whole(side.strip(), "x-shape") for side in request.headers.get("x-shape", "").split(",")
    ]
    size = 1 if kind == "u8" else 4
    if min(shape) < 1 or len(shape) > 4 or prod(shape) * size != len(request.body):
        raise Refusal(
            400,
            f"X-Shape {shape} of {kind} is not the {len(request.body):,} bytes that came",
            "x-shape",
        )
    array = np.frombuffer(request.body, np.uint8 if kind == "u8" else "<f4").reshape(shape)
    if isinstance(opened.pre, Pictures):
        return from_pixels(opened, array)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", array, allow_pickle=False)
        return from_file(opened, Path(folder) / "x.npy")


def from_pixels(opened: OpenNet, array: NDArray[Any]) -> Given:
    """Pixels [H, W, C] of 0 to 255, or as floats 0 to 1, by way of a file, so that they are read as any picture."""
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise Refusal(
            400, f"pixels {list(array.shape)}: expected height, width and 1, 3 or 4", "x-shape"
        )
    if array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise Refusal(413, f"a picture has at most {MOST_PIXELS // 10**6} Mpx", "x-shape")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        if array.dtype == np.uint8:
            from PIL import Image

            file = file.with_suffix(".png")
            flat = array[..., 0] if array.shape[2] == 1 else array
            Image.fromarray(np.ascontiguousarray(flat)).save(file, compress_level=0)
        else:
            np.save(file, array, allow_pickle=False)
        return from_file(opened, file)


def _from_upload(opened: OpenNet, name: str, body: bytes) -> Given:
    suffix = PurePosixPath(PureWindowsPath(name).name).suffix.lower()
    if suffix in MODEL_SUFFIXES:
        raise Refusal(
            415,
            f"a file {suffix} may hold code that runs when it is opened, and is not read here",
            "x-name",
        )
    if not suffix.isascii() or not suffix[1:].isalnum() or len(suffix) > SUFFIX:
        suffix = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"upload{suffix}"
        file.write_bytes(body)
        return from_file(opened, file)


def edited(one: Pass, place: Sequence[int], values: Sequence[float]) -> Given:
    """An input with one pixel changed: of a picture all its channels, of 0 to 255; else one place of what the net reads.

    Raises:
        Refusal: a place or a number of values that does not fit.
    """
    picture = in_levels(one)
    stored = np.array(one.stored if picture else one.x[0].numpy())
    if isinstance(one.open.pre, Sounds):
        raise Refusal(400, "a sound has no pixels to edit: edit the file", "y")
    view = stored if picture else np.moveaxis(stored, 0, -1) if stored.ndim > 1 else stored[:, None]
    if len(place) != view.ndim - 1 or not all(
        0 <= at < side for at, side in zip(place, view.shape, strict=False)
    ):
        raise Refusal(400, f"place {list(place)} is not within {list(view.shape[:-1])}", "y")
    if len(values) != view.shape[-1]:
        raise Refusal(
            400, f"{len(values)} values: expected {view.shape[-1]}, one a channel", "values"
        )
    most = 255 if picture else float("inf")
    if not all(-most * (not picture) <= v <= most and np.isfinite(v) for v in values):
        raise Refusal(
            400,
            f"values {list(values)}: expected 0 to 255" if picture else "values are no numbers",
            "values",
        )
    view[tuple(place)] = values
    old = one.answer.input.steps
    steps = [s for s in old if s.name not in ("scale", "edit")]
    place_words = ", ".join(map(str, place))
    steps.append(wire.Step("edit", f"the pixel at {place_words} is changed", {}))
    previews = [
        *one.previews[: len(steps) - 1],
        picture_of(stored, one.open.pre) if picture else plane(stored),
    ]
    return Given(stored, steps, previews, one.answer.item, one.answer.truth, raw=not picture)


def in_levels(one: Pass) -> bool:
    """Whether its values are edited as a picture's, 0 to 255; else as the net reads them."""
    return isinstance(one.open.pre, Pictures) and not one.raw
