"""Receptive fields by composition: against figures by hand, gradients through the structure, and real nets fed NaN."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.layers import conv as conv_layers
from striate.layers import local as local_layers
from striate.layers import norm as norm_layers
from striate.layers import pool as pool_layers
from striate.layers import unpool as unpool_layers
from striate.measuring import measure
from striate.measuring.fields import Field, fields
from striate.models.catalog import CATALOG, build, outline
from striate.probe import trace
from twins.fields.reach import Copy, box


def traced(net, shape):
    run = trace(net, [torch.empty(1, *shape, device="meta")])
    assert run.error is None
    return run, fields(run)


def places(space):
    """The first, the middle and the last place of a map, and one beside the middle."""
    middle = [n // 2 for n in space]
    beside = [min(n - 1, n // 2 + 1) for n in space]
    return {tuple(p) for p in ([0] * len(space), middle, beside, [n - 1 for n in space])}


def agree(net, shape, *, most=None, filled=False):
    """Both methods give one box for every map of the net, or the last few; how many were compared."""
    run, found = traced(net, shape)
    structure = Copy(run)
    values = [call.outputs[0] for call in run.calls]
    maps = [value for value in values if found.of(value) and _upright(found, value, len(shape) + 1)]
    for value in maps[-most:] if most else maps:
        for at in places(value.shape[2:]):
            exact = box(structure.reached(value, at))
            named = found.box(value, at)
            assert exact == (None if None in named else named), (value, at)
            if not filled:  # what such padding holds lies elsewhere in the picture
                _within(found, value, at, exact, shape[1:])
    return len(maps)


def _upright(found, value, rank):
    """Whether a tensor has the axes of the picture where the picture has them."""
    dims = [view and view.dim for view in found.state.axes(value)]
    return len(value.shape) == rank and dims == list(range(2, rank))


def _within(found, value, at, exact, sides):
    """The field on an input without end, cut off at the edges, holds the box, and is it inside."""
    for axis, i in enumerate(at):
        view = found.axes(value)[axis]
        span = view.cells.spans.at(i)
        if exact is None:
            continue
        low, high = exact[axis]
        assert span is not None
        assert max(0, span[0]) <= low <= high <= min(sides[axis] - 1, span[1])
        if view.cells.spans.period == 1 and span[0] >= 0 and span[1] < sides[axis]:
            assert (low, high) == span


class Branches(nn.Module):
    """Kernels along one axis each, joined in three ways."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(2, 3, (1, 7), padding=(0, 3))
        self.high = nn.Conv2d(2, 3, (5, 1), padding=(2, 0))
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.last = nn.Conv2d(8, 2, 3, stride=2, padding=1)

    def forward(self, x):
        return self.last(torch.cat([self.wide(x) + self.high(x), self.pool(x), self.wide(x)], 1))


class Twice(nn.Module):
    """One module called twice, an in-place activation, functional pooling."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)), inplace=True)
        y = self.conv(y)
        y += F.avg_pool2d(F.avg_pool2d(x, 2), 2)
        return F.max_pool2d(y, 3, stride=2, ceil_mode=True)


class Rearranged(nn.Module):
    """Channels last and back, a channel shuffle, halves swapped, a crop, a flip."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.conv = nn.Conv2d(4, 4, 3, dilation=2)

    def forward(self, x):
        y = self.norm(self.mix(x.permute(0, 2, 3, 1))).movedim(-1, 1)
        b, c, h, w = y.shape
        y = y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        left, right = y.chunk(2, 1)
        y = self.conv(torch.cat([right, left], 1))[:, :, 1:-1, 2:]
        return y.flip(3).narrow(2, 1, 4)


class Codes(nn.Module):
    """Down, up again in three ways, and a skip."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 2, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.up3 = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1)
        self.sharp = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        y = self.down(x)
        z = self.down(self.up(y)[:, :1]) + self.down(self.up3(y)[:, 1:])
        return torch.cat([self.sharp(z), F.interpolate(y, scale_factor=2), x], 1)


class Resized(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.options = options
        self.conv = nn.Conv2d(1, 1, 3, stride=2)

    def forward(self, x):
        return self.conv(F.interpolate(self.conv(x), **self.options))


class SpaceToDepth(nn.Module):
    def forward(self, x):
        return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]], 1)


class Parts(nn.Module):
    """Cut in two along the height, and laid together again."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        top, bottom = y.split([3, y.shape[2] - 3], 2)
        return self.conv(torch.cat([top, bottom], 2))


class Tokens(nn.Module):
    """Places flattened into a row and laid out again."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2, stride=2)
        self.mlp = nn.Linear(4, 6)

    def forward(self, x):
        y = self.conv(x)
        tokens = self.mlp(y.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, y.shape[2:])


class Folded(nn.Module):
    """Space to depth by a view, a convolution, and back by a view."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(4, 8, 3, padding=1)

    def forward(self, x):
        b, c, h, w = x.shape
        y = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
        y = self.mix(y.reshape(b, 4 * c, h // 2, w // 2))
        return F.conv2d(self._back(y), torch.ones(1, 2, 2, 2))

    @staticmethod
    def _back(y):
        b, c, h, w = y.shape
        return (
            y.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // 4, 2 * h, 2 * w)
        )


class Windows(nn.Module):
    """Attention inside windows of 3 x 2 places, and a skip around it."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 4, 2, stride=2)
        self.out = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        y = self.embed(x)
        b, c, h, w = y.shape
        cells = y.view(b, c, h // 3, 3, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 6, c)
        cells = torch.softmax(cells @ cells.mT, -1) @ cells + F.scaled_dot_product_attention(
            cells, cells, cells
        )
        z = cells.view(b, h // 3, w // 2, 3, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)
        return self.out(y + z)


class Summed(nn.Module):
    """Channels mixed by an Einstein sum, by a tensor product and with `...`."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.mix = nn.Parameter(torch.ones(4, 3))

    def forward(self, x):
        y = torch.einsum("bchw,oc->bohw", self.conv(x), self.mix)
        y = torch.einsum("b o ..., o c -> b c ...", y, self.mix)
        y = torch.tensordot(y, self.mix, dims=([1], [1])).permute(0, 3, 1, 2)  # pyright: ignore[reportArgumentType]
        return F.glu(F.conv2d(y, torch.ones(4, 4, 1, 2)), 1)


class Repeats(nn.Module):
    """Channels repeated, places repeated one by one, and patches folded over each other."""

    def forward(self, x):
        y = F.conv2d(x.repeat(1, 2, 1, 1), torch.ones(3, 2, 3, 3)).tile(1, 2, 1, 1)
        y = y.repeat_interleave(2, 2).repeat_interleave(3, dim=3)
        patches = F.unfold(y, 3, padding=1, stride=2)
        patches = torch.ones(54, 54) @ patches
        z = F.fold(patches, y.shape[2:], 3, padding=1, stride=2)
        return F.conv2d(z, torch.ones(1, 6, 2, 2))


class Slides(nn.Module):
    """Windows along both axes by the method of tensors, summed up."""

    def forward(self, x):
        y = F.conv2d(x, torch.ones(1, 1, 2, 2)).unfold(2, 3, 2).unfold(3, 2, 3)
        return F.max_pool2d(y.amax(-1).mean(-1), 2, 1)


class Rolled(nn.Module):
    """Turned along one axis by single numbers, then along both, one of them twice."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, (2, 3))

    def forward(self, x):
        x = torch.roll(self.first(x), 1, -1).roll(-2, 2)
        return torch.roll(self.last(x), (1, 2, 3), (3, 2, 3))


class Squared(nn.Module):
    """Local response normalisation by slices, and values set down with gaps between them."""

    def forward(self, x):
        square = F.pad(x, (0, 0, 0, 0, 1, 1)) ** 2
        y = x / (1 + square[:, :-2] + square[:, 2:])
        out = y.new_zeros(y.shape[0], y.shape[1], 2 * y.shape[2], 2 * y.shape[3])
        out[..., ::2, 1::2] = y
        return F.conv2d(out, torch.ones(1, x.shape[1], 2, 2))


def seq(*layers):
    return nn.Sequential(*layers)


TRICKY = {
    "branches": (Branches(), (2, 13, 12)),
    "twice": (Twice(), (2, 28, 32)),
    "rearranged": (Rearranged(), (4, 12, 15)),
    "codes": (Codes(), (1, 24, 24)),
    "parts": (Parts(), (1, 9, 7)),
    "tokens": (Tokens(), (1, 8, 12)),
    "space to depth": (SpaceToDepth(), (1, 8, 6)),
    "squared": (Squared(), (3, 5, 6)),
    "folded": (Folded(), (1, 12, 10)),
    "windows": (Windows(), (1, 12, 16)),
    "summed": (Summed(), (2, 8, 9)),
    "repeats": (Repeats(), (1, 8, 7)),
    "slides": (Slides(), (1, 12, 15)),
    "rolled": (Rolled(), (1, 11, 12)),
    "dilated": (seq(nn.Conv2d(1, 1, 3, dilation=3, padding=3), nn.Conv2d(1, 1, 3)), (1, 20, 20)),
    "gaps": (seq(nn.Conv2d(1, 2, 1, stride=3), nn.Conv2d(2, 1, 2, stride=2)), (1, 20, 19)),
    "same": (seq(nn.Conv2d(1, 1, (4, 3), padding="same", dilation=2)), (1, 12, 12)),
    "reflect": (seq(nn.Conv2d(1, 1, 5, padding=2, padding_mode="reflect")), (1, 9, 9)),
    "circular": (seq(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), (1, 9, 9)),
    "replicate": (seq(nn.ReplicationPad2d((3, 1, 2, 0)), nn.Conv2d(1, 1, 3)), (1, 9, 9)),
    "one axis": (seq(nn.Conv1d(2, 4, 5, stride=2), nn.MaxPool1d(3), nn.GELU()), (2, 60)),
    "three axes": (
        seq(nn.Conv3d(1, 2, (1, 3, 5), padding=(0, 1, 2)), nn.AvgPool3d(2), nn.Conv3d(2, 1, 2)),
        (1, 8, 10, 12),
    ),
    "transposed 1d": (
        seq(nn.Conv1d(1, 1, 3, stride=3), nn.ConvTranspose1d(1, 1, 5, stride=3, dilation=2)),
        (1, 40),
    ),
    "transposed with holes": (seq(nn.ConvTranspose2d(1, 1, 1, stride=2)), (1, 5, 6)),
    "transposed 3d": (seq(nn.ConvTranspose3d(1, 1, 3, stride=2, padding=1)), (1, 4, 5, 4)),
    "power pooling": (seq(nn.LPPool2d(2, 3, stride=2), nn.Conv2d(1, 1, 2)), (1, 14, 15)),
    "ceil mode": (seq(nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, 1)), (1, 14, 15)),
    "dilated pooling": (seq(nn.MaxPool2d(3, 2, 1, dilation=2)), (1, 14, 15)),
    "averages": (seq(nn.AdaptiveAvgPool2d((3, 4)), nn.Conv2d(1, 1, 2)), (1, 11, 8)),
    "unshuffle": (seq(nn.PixelUnshuffle(2), nn.Conv2d(4, 4, 3)), (1, 12, 12)),
    "nearest": (Resized(scale_factor=3), (1, 17, 15)),
    "bilinear": (Resized(size=(11, 9), mode="bilinear"), (1, 15, 17)),
    "corners": (Resized(size=(11, 9), mode="bilinear", align_corners=True), (1, 15, 17)),
    "bicubic": (Resized(scale_factor=2, mode="bicubic"), (1, 25, 17)),
    "area": (Resized(size=(5, 7), mode="area"), (1, 15, 17)),
    "exact": (Resized(size=(11, 9), mode="nearest-exact"), (1, 15, 17)),
    "ours: same with stride": (seq(conv_layers.Conv2d(1, 2, 3, stride=2, padding="same")), (1, 12, 13)),
    "ours: local": (
        seq(local_layers.LocalConv(1, 2, 3, size=(9, 9), stride=2, padding=1)), (1, 9, 9)
    ),
    "ours: regional": (
        seq(local_layers.LocalConv(1, 2, 3, size=(9, 9), grid=2), nn.Conv2d(2, 1, 2)), (1, 9, 9)
    ),
    "ours: tabled": (seq(local_layers.TabledConv(2, [[0, 1], [1]], (3, 3))), (2, 9, 9)),
    "ours: weighted pooling": (
        seq(pool_layers.WeightedAvgPool(3, sigma=1.0, stride=2, padding=1)), (1, 9, 9)
    ),
    "ours: power pooling": (seq(pool_layers.LpPool(3, norm_type=3.0, stride=2)), (1, 9, 9)),
    "ours: max pooling": (seq(pool_layers.MaxPool2d(3, padding=(2, 1))), (1, 9, 9)),
    "ours: circular": (
        seq(conv_layers.Conv2d(1, 2, 3, padding=2, fill="circular")), (1, 7, 8)
    ),
    "ours: response norm": (
        seq(norm_layers.LocalResponseNorm(3), nn.Conv2d(4, 1, 3)), (4, 6, 6)
    ),
    "ours: nails": (seq(unpool_layers.NailsUnpool(2), nn.Conv2d(1, 1, 2)), (1, 5, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKY)
def test_by_composition_and_by_gradients(name):
    filled = any(word in name for word in ("reflect", "circular", "replicate"))
    assert agree(*TRICKY[name], filled=filled)


# Its root takes NaN for nothing.
@pytest.mark.parametrize("name", [name for name in TRICKY if name != "ours: power pooling"])
def test_a_real_net_fed_nan_spoils_what_reads_it(name):
    net, shape = TRICKY[name]
    run, found = traced(net, shape)
    out = run.outputs[0]
    for axis, n in enumerate(shape[1:]):
        spoilt = torch.zeros(n, *shape)
        for i in range(n):
            spoilt[i].select(axis + 1, i).fill_(math.nan)
        with torch.no_grad():
            result = net.eval()(spoilt).isnan()
        hit = result.flatten(0).view(n, -1, *out.shape[2:]).any(1).movedim(axis + 1, 1)
        hit = hit.reshape(n, out.shape[axis + 2], -1).any(2)
        view = found.axes(out)[axis]
        assert view
        masks = view.cells.masks
        expected = [[bool(mask >> i & 1) for mask in masks] for i in range(n)]
        assert hit.tolist() == expected


PICTURED = sorted(name for name, row in CATALOG.items() if row.tasks != ("forecast",))


def small(name):
    """The narrow form at its small size: fields do not depend on widths, and boxes at edges are boxes too."""
    form = CATALOG[name].small
    return build(name, size=form.size, width=form.width, init=False)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", PICTURED)
def test_every_net_of_the_catalogue(name):
    net = small(name)
    convolves = any(
        isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) for module in net.modules()
    )
    assert agree(net, net.input_shape, most=2) or not convolves


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", PICTURED)
def test_the_last_maps_of_every_net(name):
    net = small(name)
    agree(net, net.input_shape, most=12)


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", PICTURED)
def test_every_net_at_its_published_input(name):
    net = outline(name)
    agree(net, net.input_shape, most=2)


@pytest.mark.slow
def test_a_field_of_3039_pixels_whole():
    # Inception-ResNet-v2 at an input that holds its largest field, by gradients in a few seconds.
    net = outline("inception_resnet_v2", (3, 3200, 3200))
    run, found = traced(net, (3, 3200, 3200))
    value = [call.outputs[0] for call in run.calls if found.of(call.outputs[0])][-1]
    at = [n // 2 for n in value.shape[2:]]
    exact = box(Copy(run).reached(value, at))
    assert exact is not None
    assert exact == found.box(value, at)
    assert [high - low + 1 for low, high in exact] == [3039, 3039]


def conv_stack(*steps):
    """(kernel, stride, padding) each; negative strides stand for max pooling."""
    return seq(
        *(nn.Conv2d(1, 1, k, s, p) if s > 0 else nn.MaxPool2d(k, -s, p) for k, s, p in steps)
    )


VGG16 = [s for n in (2, 2, 3, 3, 3) for s in [*[(3, 1, 1)] * n, (2, -2, 0)]]
ALEXNET = [(11, 4, 2), (3, -2, 0), (5, 1, 2), (3, -2, 0), *[(3, 1, 1)] * 3, (3, -2, 0)]


@pytest.mark.parametrize(
    ("steps", "size", "stride", "start"),
    [
        # Araujo, Norris and Sim 2019, table 1: AlexNet 195 with stride 32, VGG-16 212 with stride 32.
        (ALEXNET, 195, 32, -2 - 2 * 8 - 3 * 16),
        (VGG16, 212, 32, -2 - 2 * 2 - 3 * (4 + 8 + 16)),
    ],
)
def test_published_fields(steps, size, stride, start):
    assert measure(conv_stack(*steps), (1, 224, 224)).field == Field(
        (size, size), (stride, stride), (start, start)
    )


def test_the_rows_of_a_sheet():
    sheet = measure("resnet18")
    at = {layer.path: layer.field for layer in sheet.layers}
    # 7 + 4 from the stem, then 2 (kernel - 1) stride for each of the sixteen convolutions.
    assert at["layer4.1.relu"] == Field((435, 435), (32, 32), (-217, -217))
    assert at["layer2.0.downsample.0"] == Field((43, 43), (8, 8), (-21, -21))
    assert at["avgpool"] is at["fc"] is sheet.field is None
    row = next(r for r in sheet.as_dict()["layers"] if r["path"] == "maxpool")
    assert row["field"] == {"size": [11, 11], "stride": [4, 4], "start": [-5, -5]}


@pytest.mark.parametrize(
    ("net", "shape", "field"),
    [
        # Kernel 4 over stride 2 reads two cells everywhere; the first reads one beyond the edge.
        (seq(nn.ConvTranspose1d(1, 1, 4, 2, 1)), (1, 8), Field((2,), (0.5,), (-1,))),
        # Kernel 3 over stride 2 reads one cell and two in turn; the larger counts.
        (seq(nn.ConvTranspose1d(1, 1, 3, 2, 1)), (1, 8), Field((2,), (0.5,), (0,))),
        (seq(nn.Upsample(scale_factor=3)), (1, 8), Field((1,), (1 / 3,), (0,))),
        (seq(nn.Conv1d(1, 1, 4, 2), nn.Upsample(scale_factor=2)), (1, 8), Field((4,), (1,), (0,))),
        (seq(nn.Conv1d(1, 1, 3, dilation=4)), (1, 20), Field((9,), (1,), (0,))),
        (
            seq(nn.Conv3d(1, 1, (1, 3, 5), (1, 2, 1), (0, 1, 2))),
            (1, 4, 6, 6),
            Field((1, 3, 5), (1, 2, 1), (0, -1, -2)),
        ),
        (seq(nn.AdaptiveAvgPool2d((2, 3))), (1, 8, 6), Field((4, 2), (4, 2), (0, 0))),
        (seq(nn.AdaptiveAvgPool2d((1, 3))), (1, 8, 6), None),
        (seq(nn.Conv1d(1, 1, 3), nn.Softmax(2)), (1, 9), None),
        (seq(nn.Conv1d(1, 2, 3), nn.Softmax(1)), (1, 9), Field((3,), (1,), (0,))),
        (seq(nn.Conv1d(1, 2, 3), nn.GroupNorm(1, 2)), (1, 9), None),
        (seq(nn.Conv1d(1, 2, 3), nn.InstanceNorm1d(2)), (1, 9), None),
        (
            seq(nn.InstanceNorm1d(1, track_running_stats=True)), (1, 9), Field((1,), (1,), (0,))
        ),
        (seq(nn.BatchNorm1d(1, track_running_stats=False)), (1, 9), None),
        (seq(nn.Flatten(), nn.Linear(9, 4)), (1, 9), None),
        (seq(nn.Linear(9, 4)), (2, 5, 9), None),
    ],
)  # fmt: skip
def test_fields_by_hand(net, shape, field):
    assert measure(net, shape).field == field


class Blocks(nn.Module):
    """Space to depth (2 x 2 cells into channels) or back, by a view alone."""

    def __init__(self, back):
        super().__init__()
        self.back = back
        self.conv = nn.Conv2d(1 if back else 4, 2, 3)

    def forward(self, x):
        b, c, h, w = x.shape
        if self.back:
            y = x.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
            return self.conv(y.reshape(b, c // 4, 2 * h, 2 * w))
        y = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
        return self.conv(y.reshape(b, 4 * c, h // 2, w // 2))


@pytest.mark.parametrize(
    ("net", "shape", "field"),
    [
        # Three cells of a map that has one for two pixels; three of one that has two a pixel.
        (Blocks(back=False), (1, 12, 12), Field((6, 6), (2, 2), (0, 0))),
        (Blocks(back=True), (4, 6, 6), Field((2, 2), (0.5, 0.5), (0, 0))),
        # Pixels by twos, windows of 3 x 2 of those, and three places that touch two windows.
        (Windows(), (1, 12, 16), Field((12, 8), (2, 2), (-6, -4))),
        (Summed(), (2, 8, 9), Field((3, 4), (1, 1), (0, 0))),
        # Windows of 3 every 2 along rows, of 2 every 3 along columns, pooled by two places.
        (Slides(), (1, 12, 15), Field((6, 6), (2, 3), (0, 0))),
    ],
)
def test_fields_through_views_and_products_by_hand(net, shape, field):
    assert measure(net, shape).field == field


def test_a_net_without_a_picture_has_no_fields():
    sheet = measure(nn.Linear(4, 2), (4,))
    assert sheet.layers[0].field is None
    assert sheet.as_dict()["unread"] == {"count": 0, "of": 0}


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2, stride=2)

    def forward(self, x):
        y = self.conv(x)
        rows = y.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(rows, rows, rows).transpose(1, 2).view_as(y)


class Excites(nn.Module):
    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Scans(nn.Module):
    def forward(self, x):
        return torch.histc(x, 4).view(1, 1, 2, 2)


@pytest.mark.parametrize("net", [Attends(), Excites()])
def test_attention_has_no_bound_and_is_not_called_unknown(net):
    run, found = traced(net, (1, 8, 8))
    assert found.of(run.outputs[0]) is None
    assert found.lost == []


def test_a_function_nobody_knows_is_named():
    run, found = traced(Scans(), (1, 8, 8))
    assert [call.op for call in found.lost] == ["histc"]
    assert found.of(run.outputs[0]) is None
    assert found.unread(run.outputs).count is None


@pytest.mark.parametrize(
    ("size", "lost"),
    [(224, ()), (227, (225, 226)), (230, (225, 226, 227, 228, 229))],
)
def test_alexnet_leaves_out_the_last_rows(size, lost):
    unread = measure(conv_stack(*ALEXNET), (1, size, size)).as_dict()["unread"]
    full = {"rows": list(lost), "cols": list(lost)} if lost else {}
    read = size - len(lost)
    assert unread == {"count": size**2 - read**2, "of": size**2} | full


def test_squeezenet_leaves_out_one_row_and_column():
    fire = [(1, 1, 0), (3, 1, 1)]
    pool = [(3, -2, 0)]
    net = seq(
        *conv_stack((3, 2, 0)),
        *[
            nn.MaxPool2d(3, 2, ceil_mode=True) if step == pool[0] else nn.Conv2d(1, 1, *step)
            for step in pool + fire * 2 + pool + fire * 2 + pool + fire * 4
        ],
    )
    unread = measure(net, (1, 224, 224)).as_dict()["unread"]
    assert unread == {"count": 447, "of": 50176, "rows": [223], "cols": [223]}
    assert measure(net, (1, 225, 225)).unread.count == 0


def test_only_rows_of_one_axis_and_gaps():
    net = seq(nn.Conv2d(1, 1, (2, 1), stride=(3, 2)))
    assert measure(net, (1, 6, 3)).as_dict()["unread"] == {
        "count": 18 - 4 * 2, "of": 18, "rows": [2, 5], "cols": [1],
    }  # fmt: skip
    assert measure(seq(nn.Conv1d(1, 1, 2, 2)), (1, 5)).as_dict()["unread"] == {
        "count": 1, "of": 5, "cols": [4],
    }  # fmt: skip


class Joins(nn.Module):
    """Even kernels padded on one side; strided branches beside others."""

    def __init__(self, right, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, stride=stride)
        self.side, self.stride = right, stride

    def forward(self, x):
        return self.conv(x) + self.side(x)


def test_branches_that_look_elsewhere_are_told():
    skewed = Joins(seq(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(1, 1, 2)))
    _, found = traced(skewed, (1, 8, 8))
    first = found.misaligned[0]
    assert (first.call.op, first.axis) == ("add", 0)
    assert first.strides == (1.0, 1.0)
    assert first.centres == (0.0, -0.5)
    coarse = Joins(seq(nn.ZeroPad2d(4)), stride=1)
    coarse.side = seq(nn.Conv2d(1, 1, 1, stride=2), nn.ZeroPad2d(2))
    run, found = traced(coarse, (1, 8, 8))
    assert found.misaligned[0].strides == (1.0, 2.0)
    assert found.of(run.outputs[0]) is None
    _, found = traced(Joins(seq(nn.Conv2d(1, 1, 1, stride=2)), stride=2), (1, 8, 8))
    assert found.misaligned == []
