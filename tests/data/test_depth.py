"""Pictures of more than 8 bits keep every step of their values, from the file to the net, whichever way they come."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import augment, data
from striate.augment.policy import read
from striate.data import pictures
from striate.data.pictures import Limits
from striate.data.streaming import Streamed
from striate.errors import DataError
from striate.inputs import Pictures
from striate.runs import Run

STEP = 255 / 4095  # one step of 12 bits in values 0 to 255


def png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel [H, W, C], an independent writer."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def tiff(values: np.ndarray) -> bytes:
    """An uncompressed colour TIFF of 16 bits a channel, little endian."""
    height, width, channels = values.shape
    pixels = values.astype("<u2").tobytes()
    bits_at = 8 + 2 + 12 * 9 + 4
    start = bits_at + 2 * channels
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, start), (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    bits = struct.pack("<H", 16) * channels
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + b"\0" * 4 + bits + pixels


def saved(kind: str, values: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, kind)
    return out.getvalue()


# suffix, and what writes 12-bit values [H, W]
FILES: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "png": (".png", lambda v: saved("PNG", v.astype(np.uint16))),
    "colour png": (".png", lambda v: png(np.repeat(v[..., None], 3, -1))),
    "tiff": (".tif", lambda v: saved("TIFF", v.astype(np.uint16))),
    "colour tiff": (".tif", lambda v: tiff(np.repeat(v[..., None], 3, -1))),
    "int32 tiff": (".tif", lambda v: saved("TIFF", v.astype(np.int32))),
    "float tiff": (".tif", lambda v: saved("TIFF", (v / 4095).astype(np.float32))),
}
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "uint16 npz": lambda v: v.astype(np.uint16),
    "int32 npz": lambda v: v.astype(np.int32),
    "float npz": lambda v: (v / 4095).astype(np.float32),
    "colour npz": lambda v: np.repeat(v[..., None], 3, -1).astype(np.uint16),
}
KINDS = [*FILES, *ARRAYS]


def faint(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [n, 8, 8] of 12 bits, of two classes that differ by three steps in one half; 8 bits make all equal."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    values = 2008 + rng.integers(0, 2, (n, 8, 8))
    values[:, :, :4] += 3 * labels[:, None, None]
    return values, labels


def write(root: Path, kind: str, n: int = 24) -> Path:
    values, labels = faint(n)
    if kind in ARRAYS:
        path = root.with_suffix(".npz")
        np.savez(path, x=ARRAYS[kind](values), y=labels)
        return path
    suffix, made = FILES[kind]
    for i, (picture, label) in enumerate(zip(values, labels, strict=True)):
        path = root / "ab"[label] / f"{i:02}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made(picture))
    return root


def levels(kind: str) -> tuple[float, float]:
    return (0, 1) if "float" in kind else (0, 4095)


def stored(opened: Any, **form: Any) -> np.ndarray:
    return np.asarray(opened.arrays(next(iter(opened.splits)), **form).inputs)


def order(opened: Any) -> np.ndarray:
    """The number of each item as it was made."""
    names = opened.arrays("all").names
    return np.array([int(Path(name.replace("all/", "")).stem) for name in names])


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_of_12_bits_is_another_input(cache, tmp_path, kind):
    opened = data.open(write(tmp_path / "set", kind), val=0, levels=levels(kind))
    inputs = stored(opened)
    assert inputs.dtype == np.float32
    want = faint()[0][order(opened)] * STEP
    np.testing.assert_allclose(inputs, np.broadcast_to(want[..., None], inputs.shape), atol=1e-4)
    pre = Pictures.measured(inputs, (8, 8), opened.color)
    x = pre.normalise(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-4)
    steps = np.unique(np.round((x[:, 0] * pre.std[0] + pre.mean[0]) / STEP))
    assert steps.tolist() == np.unique(faint()[0]).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_the_lowest_bits_tell_is_learned_and_predicted(cache, tmp_path, kind):
    path = write(tmp_path / "set", kind)
    run = striate.train(
        path, "linear", out=tmp_path, epochs=20, val=0.5, plan="default", levels=levels(kind), batch=6, lr=0.05,
        augment="none",
    )  # fmt: skip
    again = Run.load(run.path)
    assert again.config.preprocessing.opening["levels"] == levels(kind)
    assert again.evaluate().as_dict()["scores"]["accuracy"]["value"] == 1
    if kind in ARRAYS:
        with np.load(path) as arrays:
            for i, values in enumerate(arrays["x"]):
                np.save(tmp_path / f"{i}.npy", values)
        answers = again.predict([tmp_path / f"{i}.npy" for i in range(24)])
        assert [(a.answer or {})["label"] for a in answers] == ["0", "1"] * 12
    else:
        held = again.open_data().splits["val"]
        answers = again.predict([path / name for name in held.names])
        assert [(a.answer or {})["label"] for a in answers] == [name[0] for name in held.names]


@pytest.mark.parametrize("form", [{}, {"size": (5, 7)}, {"size": (16, 16), "fit": "stretch"}])
@pytest.mark.parametrize("color", ["grey", "rgb", "hsv"])
@pytest.mark.parametrize("kind", ["png", "colour tiff", "uint16 npz"])
def test_a_stream_is_what_the_cache_is(cache, tmp_path, monkeypatch, kind, form, color):
    path = write(tmp_path / "set", kind)
    opened = data.open(path, val=0, levels=(0, 4095))
    whole = opened.arrays("all", color=color, **form)
    cached = np.asarray(whole.inputs)
    assert not isinstance(whole.inputs, Streamed)
    assert cached.dtype == np.float32
    if kind in FILES:
        monkeypatch.setenv("STRIATE_CACHE_GB", "0")
        stream = data.open(path, val=0, levels=(0, 4095)).arrays("all", color=color, **form).inputs
        assert isinstance(stream, Streamed)
        assert stream.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(stream), cached)
    again = data.open(path, val=0, levels=(0, 4095)).arrays("all", color=color, **form)
    np.testing.assert_array_equal(np.asarray(again.inputs), cached)


@pytest.mark.parametrize("kind", KINDS)
def test_shards_keep_the_depth_and_the_range(cache, tmp_path, kind):
    opened = data.open(write(tmp_path / "set", kind), val=0, levels=levels(kind))
    data.pack(opened, tmp_path / "out")
    shards = data.open(tmp_path / "out", val=0)
    assert shards.levels == (levels(kind) if kind in FILES else (0, 65535))
    np.testing.assert_allclose(stored(shards), stored(opened), atol=STEP / 10)


@pytest.mark.parametrize("color", ["grey", "rgb", "hsv", "ycbcr", "xyz"])
@pytest.mark.parametrize("form", [{"size": (9, 14)}, {"size": (9, 14), "fit": "stretch"}, {}])
@pytest.mark.parametrize("mode", ["grey", "rgb"])
def test_deep_pictures_go_the_way_of_those_of_8_bits(tmp_path, mode, form, color):
    rng = np.random.default_rng(1)
    low = rng.integers(60, 200, (24, 30, 1 if mode == "grey" else 3))
    size, fit = form.get("size"), form.get("fit", "cover")
    limits = Limits(levels=(0, 65535))
    deep = pictures.decode(png(low * 257), size=size, color=color, limits=limits, fit=fit)
    plain = saved("PNG", np.squeeze(low).astype(np.uint8))
    want = pictures.decode(plain, size=size, color=color, limits=Limits(), fit=fit)
    assert (deep.dtype, want.dtype, deep.shape) == (np.float32, np.uint8, want.shape)
    apart = np.abs(deep - want)
    if color == "hsv":  # a turn of hue ends where it begins, and is of little meaning near grey
        apart[..., 0] = np.minimum(apart[..., 0], 255 - apart[..., 0])
        assert np.median(apart) <= 0.6
    else:  # a step of 8 bits at most, in xyz times the slope of light
        assert apart.max() <= (2.2 if color == "xyz" else 1.1)
    as_net = pictures.decode(plain, size=size, color=color, limits=limits, fit=fit)
    np.testing.assert_array_equal(as_net, want.astype(np.float32))


def test_alpha_of_16_bits_is_laid_on_white():
    values = np.full((2, 2, 4), 4000)
    values[..., 3] = [[0, 65535], [32768, 65535]]
    found = pictures.decode(png(values), size=None, color="rgb", limits=Limits(levels=(0, 65535)))
    share, value = 32768 / 65535, 4000 / 257
    want = [[255, value], [share * value + 255 * (1 - share), value]]
    np.testing.assert_allclose(found[..., 0], want, rtol=1e-6)


@pytest.mark.parametrize(
    "policy",
    [
        "crop",
        "crop+flip+flip_vertical",
        "crop+brightness+contrast+color+pca+blur+noise+erase",
        "rotate+resized+elastic",
    ],
)
def test_views_do_not_depend_on_how_values_are_stored(policy):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8))
    index = torch.arange(4)
    made = [
        augment.view(x, index, read(policy), seed=3, size=(12, 12))[0].float()
        for x in (images, images.float())
    ]
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)


def test_what_is_stored_is_left_as_it_is():
    inputs = torch.rand(3, 4, 4, 1) * 255
    before = inputs.clone()
    pre = Pictures.measured(inputs.numpy(), (4, 4), "grey")
    pre.normalise(inputs)
    torch.testing.assert_close(inputs, before, rtol=0, atol=0)


def test_mean_and_deviation_are_those_of_the_same_values_of_8_bits():
    images = np.random.default_rng(0).integers(0, 256, (7, 9, 5, 3), np.uint8)
    ours, theirs = (
        Pictures.measured(x, (9, 5), "rgb") for x in (images.astype(np.float32), images)
    )
    assert ours.mean == pytest.approx(theirs.mean)
    assert ours.std == pytest.approx(theirs.std)


def test_other_arrays_are_read_in_the_range_of_the_training(cache, tmp_path):
    path = write(tmp_path / "set", "uint16 npz")
    run = striate.train(
        path, "linear", out=tmp_path, epochs=1, val=0.5, plan="default", batch=6, augment="none"
    )
    assert run.config.preprocessing.opening["levels"] == (0, 2047)
    values, labels = faint()
    other = tmp_path / "other.npz"
    np.savez(
        other, x=(values % 200).astype(np.uint16), y=labels
    )  # by themselves they would be of 8 bits
    assert data.open(other, val=0, levels=run.config.preprocessing.opening["levels"]).levels == (
        0,
        2047,
    )
    assert data.open(other, val=0).levels == (0, 255)
    assert run.evaluate(other).items == len(labels)


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_single_array_is_read_as_those_of_the_training(cache, tmp_path, kind):
    path = write(tmp_path / "set", kind)
    opened = data.open(path, val=0, levels=levels(kind))
    form = data.Form((8, 8), opened.color)
    for i, values in enumerate(np.load(path)["x"][:3]):
        np.save(tmp_path / "one.npy", values)
        pixels, size = data.array_picture(tmp_path / "one.npy", form, levels(kind))
        assert size == (8, 8)
        np.testing.assert_array_equal(pixels, stored(opened)[i])
    if kind == "int32 npz":
        with pytest.raises(
            DataError, match=r"is int32 with values from .*; levels= says another range$"
        ):
            data.open(path, val=0)
    elif kind != "float npz":
        with pytest.raises(
            DataError, match=r"^uint16 from .*, where the net learned from pictures of 8 bits"
        ):
            data.array_picture(tmp_path / "one.npy", form, None)


def test_depth_that_cannot_be_read_is_said(cache, tmp_path):
    root = write(tmp_path / "set", "colour png")
    assert data.open(root, val=0).as_dict()["reduced"] == 0
    values = faint()[0][0]
    lost = b"P6\n8 8\n4095\n" + np.repeat(values[..., None], 3, -1).astype(">u2").tobytes()
    (root / "a" / "lost.ppm").write_bytes(lost)
    opened = data.open(root, val=0)
    assert opened.as_dict()["reduced"] == 1
    assert "depth: of 1 with more than 8 bits 8 are read" in opened.as_text()


def test_few_deep_pictures_among_others_are_said(cache, tmp_path):
    root = tmp_path / "set"
    for i in range(400):
        path = root / "ab"[i % 2] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved("PNG", np.full((8, 8), i % 250, np.uint8)))
    (root / "a" / "001.png").write_bytes(saved("PNG", np.full((8, 8), 40_000, np.uint16)))
    opened = data.open(root, val=0)
    assert (opened.levels, opened.as_dict()["reduced"]) == (None, 1)
    assert data.open(root, val=0, levels=(0, 65535)).as_dict()["reduced"] == 0


@pytest.mark.slow
def test_two_processes_see_what_one_sees(cache, tmp_path):
    path = write(tmp_path / "set", "png")
    words = ["net=linear", "batch=6", "plan=default", "epochs=3", "val=0.5", "levels=0,4095"]
    found: list[Run] = []
    for devices in (1, 2):
        out = tmp_path / str(devices)
        command = [sys.executable, "-m", "striate", "train", str(path), *words]
        done = subprocess.run(
            [*command, "augment=none", f"devices={devices}", "--out", str(out), "--json"],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(Run.load(json.loads(done.stdout)["run"]))
    assert found[0].config.preprocessing == found[1].config.preprocessing
    for mine, theirs in zip(found[0].history(), found[1].history(), strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)


def test_grey_with_alpha_of_16_bits_keeps_every_step(tmp_path):
    grey = np.arange(100, 100 + 64 * 5, 5).astype(np.uint16).reshape(8, 8)
    alpha = np.where(np.eye(8, dtype=bool), 32768, 65535).astype(np.uint16)
    raw = png(np.stack([grey, alpha], -1))
    bands = pictures.wide(raw, Limits())
    assert bands is not None
    assert np.array_equal(bands[..., 0], grey)
    assert np.array_equal(bands[..., 3], alpha)
    head = pictures.head(raw, Limits())
    assert (head.deep, head.reduced, head.alpha) == (True, False, True)
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(6):
            whole = np.stack([grey + 100 * i + (label == "b"), np.full_like(grey, 65535)], -1)
            (tmp_path / label / f"{i}.png").write_bytes(png(whole.astype(np.uint16)))
    opened = data.open(tmp_path, levels=(0, 1023), val=0)
    stored = opened.arrays("all", size=(8, 8), color="grey").inputs
    assert len(np.unique(np.asarray(stored[0]))) == 64
    assert opened.as_dict()["reduced"] == 0


@pytest.mark.parametrize(("flags", "deep"), [(0x00, False), (0x40, True), (0x60, True)])
def test_an_avif_of_more_than_8_bits_is_said_to_be_reduced(flags, deep):
    raw = (
        b"\0\0\0\x1cftypavif"
        + bytes(40)
        + b"\0\0\0\x14av1C"
        + bytes([0x81, 0x04, flags, 0])
        + bytes(8)
    )
    assert pictures._deep_avif(raw) is deep
    assert not pictures._deep_avif(raw[: raw.index(b"av1C") + 5])
