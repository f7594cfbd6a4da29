"""Pictures of any size: in tiles that equal the whole, blended where they cannot, and extended where a net needs more."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models import catalog
from striate.plan.tiles import UNKNOWN, Axis, Sides, Tiling, gathered, pieces
from striate.runs import Run
from striate.runs.answering import answered
from striate.runs.split_answers import natural_sizes
from striate.training import fit, read_recipe
from striate.workbench.estimate import estimate
from striate.workbench.find_tiling import TOLERANCE, tiling_of

NETS: dict[str, tuple[int, dict[str, Any]]] = {
    "unet_same": (64, {"width": 0.125}),
    "unet": (188, {"width": 0.0625}),
    "fcn32s": (64, {"width": 0.0625}),
    "fcn8s": (64, {"width": 0.0625}),
    "fcn": (64, {"width": 0.125, "options": {"backbone": "resnet18"}}),
    "fcn_resnet50": (64, {"width": 0.0625}),
    "enet": (64, {"width": 0.25}),
}


def built(name: str, channels: int = 1, classes: int = 3) -> nn.Module:
    """A net whose layers are all at work, batch statistics and scores too."""
    side, given = NETS[name]
    options: dict[str, Any] = given.get("options", {})
    generator = torch.Generator().manual_seed(3)
    net = catalog.build(
        name, in_channels=channels, num_classes=classes, size=(side, side), width=given["width"],
        **options, generator=generator,
    )  # fmt: skip
    with torch.no_grad():
        for each in net.modules():
            if isinstance(each, nn.BatchNorm2d) and each.running_var is not None:
                assert each.running_mean is not None
                each.running_mean.uniform_(-0.2, 0.2, generator=generator)
                each.running_var.uniform_(0.5, 1.5, generator=generator)
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3, generator=generator)
    return net.eval()


def tiled(name: str) -> tuple[nn.Module, Tiling]:
    """A net and how its pictures are divided."""
    net = built(name)
    side = NETS[name][0]
    return net, tiling_of(net, (1, side, side))


def picture(*size: int, channels: int = 1) -> Tensor:
    """Noise, in which every tile differs."""
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))


def dense(net: nn.Module, x: Tensor, tiling: Tiling, *, tile: int | None = None) -> Tensor:
    """The logits of whole pictures."""

    def read(rows: Tensor, columns: Tensor) -> Tensor:
        return net(x[:, :, rows][..., columns])

    return gathered(pieces(read, (x.shape[2], x.shape[3]), tiling, tile=tile), x.shape[2:])


def apart(net: nn.Module, x: Tensor, tiling: Tiling, tile: int) -> float:
    """The largest difference of probabilities between tiles and the whole."""
    with torch.inference_mode():
        whole = dense(net, x, tiling, tile=max(x.shape[2:]))
        parts = dense(net, x, tiling, tile=tile)
    assert whole.shape[2:] == parts.shape[2:] == x.shape[2:]
    assert float(whole.softmax(1).std((2, 3)).max()) > 1e-3  # there is something to compare
    return float((whole.softmax(1) - parts.softmax(1)).abs().max())


@pytest.mark.parametrize("name", [n for n in NETS if n != "enet"])
def test_tiles_equal_the_whole(name):
    net, tiling = tiled(name)
    assert tiling.exact, tiling.as_text()
    assert tiling.difference is not None
    assert tiling.difference <= TOLERANCE
    sides = (
        (352, 301) if name != "fcn_resnet50" else (352, 304)
    )  # resized by 8 to multiples of 8 alone
    assert apart(net, picture(*sides), tiling, 128) < 1e-5


@pytest.mark.parametrize("name", ["unet_same", "fcn32s"])
def test_a_tile_that_reads_too_little_is_found_out(name):
    net, tiling = tiled(name)
    short = tuple(replace(axis, before=8, after=8) for axis in tiling.axes)
    assert apart(net, picture(352, 301), replace(tiling, axes=short), 128) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet_same", "fcn"])
def test_tiles_of_256_equal_the_whole_at_1024(name):
    net, tiling = tiled(name)
    assert apart(net, picture(1024, 1024), tiling, 256) < 1e-5


# ----------------------------------------------------------------------------- what cannot be equal


class Fully(nn.Module):
    """A convolution, a layer in question, a score."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.conv, self.between = nn.Conv2d(1, 8, 3, padding=1), between
        self.score = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.between(self.conv(x).relu()))


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Context(nn.Module):
    """The mean of the picture, brought back to its size."""

    def forward(self, x: Tensor) -> Tensor:
        return x + F.interpolate(F.adaptive_avg_pool2d(x, 1), x.shape[2:])


class Resizing(nn.Module):
    """Down to sides that do not divide those of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        small = F.interpolate(x, (40, 40), mode="bilinear", align_corners=False)
        return F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)


class Position(nn.Module):
    """Where a place is, as a share of the picture: no layer that the receptive field knows of."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.linspace(-1, 1, x.shape[3])


UNEQUAL = {
    "group": (nn.GroupNorm(2, 8), r"between normalises over the whole picture \(group_norm\)"),
    "instance": (nn.InstanceNorm2d(8), "normalises over the whole picture"),
    "squeeze": (Squeeze(), r"between pools the whole picture \(mean\)"),
    "context": (Context(), r"pools the whole picture \(adaptive_avg_pool2d\)"),
    "resizing": (Resizing(), "resiz"),
    "position": (Position(), "so it was measured"),
}


@pytest.mark.parametrize("what", UNEQUAL)
def test_what_cannot_be_equal_says_so_and_is_blended(what):
    layer, why = UNEQUAL[what]
    net = Fully(layer).eval()
    tiling = tiling_of(net, (1, 64, 64))
    assert not tiling.exact
    assert re.search(why, tiling.why), tiling.why
    assert "blended" in tiling.as_text()
    x = picture(200, 330)
    with torch.inference_mode():
        assert dense(net, x, tiling, tile=128).shape == (1, 3, 200, 330)


@pytest.mark.parametrize("size", [(200, 330), (129, 100), (128, 513)])
def test_blended_tiles_weigh_each_place_once(size):
    net, tiling = nn.Identity(), Tiling((Axis(step=8), Axis(step=4)))
    x = picture(*size)
    assert torch.allclose(dense(net, x, tiling, tile=128), x, atol=1e-6)


def test_a_blend_has_no_edges():
    """Tiles of which each says something else are joined by a ramp."""
    said = iter(range(100))

    class Says(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x, float(next(said)))

    found = dense(Says(), picture(128, 512), Tiling((Axis(), Axis())), tile=128)[0, 0]
    steps = found.diff(dim=1).abs()
    assert found.min() == 0
    assert found.max() == 3
    assert float(steps.max()) < 1.5 / 128


# ------------------------------------------------------------------------------------- any size


@pytest.mark.parametrize("size", [(1, 1), (50, 70), (188, 188), (203, 401)])
def test_a_net_without_padding_answers_all_of_a_picture(size):
    net, tiling = tiled("unet")
    assert tiling.axes[0].lost == (92, 92)
    assert tiling.axes[0].takes == Sides(16, 12, 188)
    x = picture(*size)
    with torch.inference_mode():
        found = dense(net, x, tiling)
        mirrored = torch.from_numpy(
            np.pad(x.numpy(), ((0, 0), (0, 0), (92, 400), (92, 400)), "symmetric")
        )
        sides = [tiling.axes[0].takes.fitting(n + 184) for n in size]
        whole = net(mirrored[:, :, : sides[0], : sides[1]])
    assert torch.equal(found, whole[:, :, : size[0], : size[1]])


def test_sides_that_a_net_cannot_take_are_extended():
    net, tiling = tiled("enet")
    assert tiling.axes[0].takes.multiple == 8
    with torch.inference_mode():
        assert dense(net, picture(37, 50), tiling).shape == (1, 3, 37, 50)
        with pytest.raises(ShapeError):
            net(picture(37, 50))


def test_nothing_is_known_where_nothing_was_written():
    assert Tiling.from_dict({}) is UNKNOWN


def test_a_tiling_is_read_back(tmp_path):
    tiling = tiled("unet_same")[1]
    assert Tiling.from_dict(json.loads(json.dumps(tiling.as_dict()))) == tiling


def test_a_net_that_answers_no_map_is_run_whole():
    assert tiling_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8)).axes == ()


# ------------------------------------------------------------------------------------ in a run

SIZES = [
    (96, 80),
    (70, 110),
    (64, 64),
    (150, 90),
    (40, 130),
    (88, 72),
    (120, 60),
    (33, 47),
    (64, 65),
    (90, 91),
]


def write_data(folder: Path, sizes: list[tuple[int, int]] = SIZES) -> Path:
    """Bright blobs, which are one class, on a dark ground, in pictures of some sizes."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i, (h, w) in enumerate(sizes):
        rows, columns = np.mgrid[:h, :w]
        mask = (
            (rows - h * rng.uniform(0.3, 0.7)) ** 2 + (columns - w / 2) ** 2 < (min(h, w) / 4) ** 2
        ).astype(np.uint8)
        pixels = np.clip(60 + 120 * mask + rng.normal(0, 15, (h, w)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training on windows of pictures of different sizes."""
    folder = tmp_path_factory.mktemp("cropped")
    return striate.train(
        write_data(folder / "blobs"), "unet_same", out=folder, name="run", width=0.0625, crop=32,
        epochs=3, batch=4, plan="default", health=0, val=0.5,
    )  # fmt: skip


def test_a_training_on_windows_answers_pictures_of_any_size(cropped, tmp_path):
    tiling = cropped.tiling
    assert tiling.exact
    assert cropped.summary["items"] == 5
    assert cropped.evaluate().items == 5
    other = write_data(tmp_path / "other", [(61, 203), (300, 31)])
    assert cropped.evaluate(other).items == 2
    for size in ((61, 203), (300, 31), (16, 16), (1, 5)):
        file = tmp_path / "one.png"
        Image.fromarray(np.zeros(size, np.uint8)).save(file)
        (answer,) = cropped.predict(file, out=tmp_path / f"out{size}")
        assert answer.error is None
        assert answer.answer is not None
        with Image.open(answer.answer["mask"]) as mask:
            assert mask.size == size[::-1]


def test_large_pictures_are_answered_in_tiles_in_a_run(cropped, tmp_path, monkeypatch):
    big = write_data(tmp_path / "big", [(500, 420)])
    file = big / "images" / "0.png"
    stored = np.asarray(Image.open(file))[None, :, :, None]
    whole = cropped.used.answers(stored, [(500, 420)])
    read: list[int] = []
    cropped.net.register_forward_pre_hook(lambda _net, args: read.append(args[0].shape[2]))
    used = replace(cropped.used, tiling=replace(cropped.tiling, tile=128))
    assert used.divides(stored, [(500, 420)])
    parts = used.answers(stored, [(500, 420)])
    assert len(read) == 16
    assert max(read) < 500
    assert (whole[0] != parts[0]).mean() < 1e-4  # ties apart


def test_an_answer_that_is_blended_says_so(cropped, tmp_path, monkeypatch):
    file = write_data(tmp_path / "big", [(300, 200)]) / "images" / "0.png"
    blended = replace(cropped.tiling, exact=False, why="norm normalises", tile=128)
    monkeypatch.setitem(vars(cropped), "tiling", blended)
    (found,) = cropped.predict(file)
    assert found.as_dict()["note"] == "answered in tiles that are blended: norm normalises"
    assert found.as_text().endswith("(answered in tiles that are blended: norm normalises)")
    monkeypatch.setitem(vars(cropped), "tiling", replace(blended, tile=512))
    assert "note" not in cropped.predict(file)[0].as_dict()


def test_the_loss_of_a_picture_in_tiles_is_that_of_its_parts(cropped, tmp_path):
    opened = striate.open(write_data(tmp_path / "one", [(300, 290)]), val=0)
    arrays = opened.arrays("all", color="grey", fit="native")
    part = opened.splits["all"]
    whole, parts = (
        answered(
            replace(cropped.used, tiling=replace(cropped.tiling, tile=tile)),
            arrays, part.targets, natural_sizes(part), quick=True,
        )
        for tile in (400, 100)
    )  # fmt: skip
    assert parts.items == whole.items == 1
    assert parts.loss == pytest.approx(whole.loss, rel=0.2)
    assert parts.meter.values()["miou"] == pytest.approx(whole.meter.values()["miou"], abs=1e-4)


def trained(
    blobs: Path, out: Path, net: nn.Module | None = None, name: str | None = None, **settings: Any
) -> Run:
    """A training of one epoch, without a report."""
    recipe = {"net": name, "epochs": 1, "plan": "default", "health": 0, **settings}
    opened = striate.open(blobs, val=0.5)
    return fit(opened, read_recipe("quick", recipe), net=net, out=out, estimate=estimate).run


def test_pictures_of_one_size_leave_others_their_own(tmp_path):
    blobs = write_data(tmp_path / "blobs", [(64, 80)] * 10)
    run = trained(blobs, tmp_path, name="unet_same", width=0.0625, crop=32)
    file = tmp_path / "other.png"
    Image.fromarray(np.zeros((150, 40), np.uint8)).save(file)
    read: list[tuple[int, ...]] = []
    run.net.register_forward_pre_hook(lambda _net, args: read.append(tuple(args[0].shape[2:])))
    assert run.predict(file)[0].error is None
    assert read == [(150, 40)]


def test_a_run_without_padding_answers_whole_pictures(tmp_path):
    blobs = write_data(tmp_path / "blobs", [(100, 190)] * 10)
    run = trained(blobs, tmp_path, name="unet", width=0.0625, size=188, batch=2)
    stored = np.zeros((1, 188, 188, 1), np.uint8)
    with torch.inference_mode():
        assert run.used.outputs(stored).shape == (1, 2, 188, 188)


class Sixteens(nn.Module):
    """Takes sides of 16 alone, whatever is found out about it."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x.view(len(x), 1, 16, 16))


def test_a_size_that_a_net_cannot_take_is_one_line(tmp_path):
    tiling = tiling_of(Sixteens(), (1, 16, 16))
    assert tiling.axes == ()
    assert tiling.why == "the net takes 16x16 alone"
    blobs = write_data(tmp_path / "blobs", [(20, 30)] * 10)
    with pytest.raises(
        ShapeError, match="crop=16x16: the net fails on whole pictures such as those of 20x30"
    ):
        trained(blobs, tmp_path, Sixteens(), crop=16)
    small = write_data(tmp_path / "small", [(16, 16)] * 10)
    run = trained(small, tmp_path, Sixteens(), crop=16)
    file = tmp_path / "other.png"
    Image.fromarray(np.zeros((50, 40), np.uint8)).save(file)
    (found,) = run.predict(file)
    assert found.error is not None
    assert re.match(
        r"the net cannot take a picture of 50x40 \(.*\): it learned from 16x16", found.error
    )


def test_more_pixels_than_the_limit_are_refused_by_name(cropped, tmp_path):
    file = tmp_path / "large.png"
    Image.new("L", (10_000, 6_000)).save(file)
    (found,) = cropped.predict(file)
    assert found.error is not None
    assert "60,000,000 pixels; the limit is 50,000,000: raise it with max_pixels=" in found.error
    Image.new("L", (20, 30)).save(file)
    assert "the limit is 500" in str(cropped.predict(file, max_pixels=500)[0].error)
    assert cropped.predict(file, max_pixels=600)[0].error is None
