"""Patterns of well-known nets, small, on which nothing is found: what is meant so is no fault."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.measuring import measure
from striate.models import catalog


def conv(a, b, k=3, s=1, **options):
    return nn.Sequential(
        nn.Conv2d(a, b, k, s, k // 2, bias=False, **options), nn.BatchNorm2d(b), nn.ReLU()
    )


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def resnet_d():
    """The shortcut averages two by two before it is thinned."""
    down = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), conv(4, 8, 1))
    return nn.Sequential(conv(3, 4, 3, 2), Residual(conv(4, 8, 3, 2), down), Residual(conv(8, 8)))


def resnet():
    stem = nn.Sequential(conv(3, 4, 7, 2), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(stem, Residual(conv(4, 8, 3, 2), conv(4, 8, 1, 2)), Residual(conv(8, 8)))


class Pyramid(nn.Module):
    """FPN: maps to the size of the finer level by nearest neighbours, then added."""

    def __init__(self, mode="nearest"):
        super().__init__()
        self.stages = nn.ModuleList([conv(3, 4, 3, 2), conv(4, 8, 3, 2), conv(8, 16, 3, 2)])
        self.lateral = nn.ModuleList([nn.Conv2d(n, 4, 1) for n in (4, 8, 16)])
        self.mode = mode

    def forward(self, x):
        maps = [x := stage(x) for stage in self.stages]
        top, levels = None, []
        for at, m in list(zip(self.lateral, maps, strict=True))[::-1]:
            y = at(m)
            top = y if top is None else y + F.interpolate(top, size=y.shape[2:], mode=self.mode)
            levels.append(top)
        return levels


class HighResolution(nn.Module):
    """HRNet: four resolutions side by side, each the sum of all."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4, 3, 2)
        self.down = nn.ModuleList(
            [nn.Sequential(*(conv(4, 4, 3, 2) for _ in range(n))) for n in range(4)]
        )
        self.up = nn.ModuleList(
            [nn.Sequential(conv(4, 4, 1), nn.Upsample(scale_factor=2**n)) for n in range(1, 4)]
        )

    def forward(self, x):
        maps = [down(self.stem(x)) for down in self.down]
        fine = maps[0]
        for up, coarse in zip(self.up, maps[1:], strict=True):
            fine = fine + up(coarse)
        return fine


class Aggregation(nn.Module):
    """DLA: a level's root joins what was pooled and what was convolved."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.pool = conv(3, 4, 3, 2), conv(4, 4), nn.MaxPool2d(2)
        self.base, self.project, self.root = conv(3, 3), conv(3, 4, 1), conv(11, 4, 1)

    def forward(self, x):
        x = self.base(x)
        low = self.pool(x)
        a = self.a(x) + self.project(low)
        return self.root(torch.cat([a, self.b(a), low], 1))


class Tokens(nn.Module):
    """LeViT: linear layers with batch normalisation over tokens, and attention with a table of biases."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2))
        self.qkv, self.bn = nn.Linear(8, 24, bias=False), nn.BatchNorm1d(24)
        self.biases = nn.Parameter(torch.zeros(2, 16, 16))
        self.head = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        y = self.qkv(x)
        q, k, v = self.bn(y.flatten(0, 1)).view_as(y).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) + self.biases).softmax(-1) @ v
        return self.head((x + y.transpose(1, 2).flatten(2)).mean(1))


class BesideLogits(nn.Module):
    """Attention weights are given beside the logits."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = conv(3, 8, 3, 2), nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        weights = self.pool(x).softmax(1)
        return {"attention": weights.squeeze(-1), "logits": self.head((weights * x).sum(1))}


class AttentionAlone(nn.Module):
    """A layer whose output is its table of attention."""

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return (tokens @ tokens.transpose(1, 2)).softmax(-1)


class EvaluatedSoftmax(nn.Module):
    """Probabilities in evaluation, logits in training."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(x) if self.training else self.head(x).softmax(1)


class Inception(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.ways = nn.ModuleList([
            conv(a, 4, 1), nn.Sequential(conv(a, 4, 1), conv(4, 4)), nn.Sequential(conv(a, 4, 1), conv(4, 4, 5)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(a, 4, 1)),
        ])  # fmt: skip

    def forward(self, x):
        return torch.cat([way(x) for way in self.ways], 1)


class Reduction(nn.Module):
    """The size is halved by a convolution and a pooling side by side."""

    def __init__(self, a, pool):
        super().__init__()
        self.conv, self.pool = conv(a, 4, 3, 2), pool

    def forward(self, x):
        y = self.conv(x)
        return torch.cat([y, self.pool(x)[..., : y.shape[2], : y.shape[3]]], 1)


class Dense(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.layers = nn.ModuleList([conv(a + 4 * i, 4) for i in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Excite(nn.Module):
    """Squeeze and excitation, with batch normalisation over single values as in some mobile nets."""

    def __init__(self, n):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(n, n, 1, bias=False), nn.BatchNorm2d(n), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.gate(x)


class Causal(nn.Module):
    """TCN: padded on the left only, dilated, added to its input."""

    def __init__(self, n, dilation):
        super().__init__()
        self.conv, self.pad = nn.Conv1d(n, n, 3, dilation=dilation), 2 * dilation

    def forward(self, x):
        return x + F.relu(self.conv(F.pad(x, (self.pad, 0))))


class UNet(nn.Module):
    def __init__(self, *, crop):
        super().__init__()
        self.down, self.deep = nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=0 if crop else 1)
        self.first, self.up, self.last = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ConvTranspose2d(8, 4, 2, 2),
            nn.Conv2d(8, 1, 1),
        )

    def forward(self, x):
        a = self.first(x)
        b = self.up(self.deep(self.down(a)))
        cut = (a.shape[2] - b.shape[2]) // 2
        a = a[:, :, cut : a.shape[2] - cut, cut : a.shape[3] - cut]
        return self.last(torch.cat([a, b], 1))


class Next(nn.Module):
    """ConvNeXt: a wide depthwise kernel, layer normalisation over channels moved last."""

    def __init__(self, n):
        super().__init__()
        self.deep, self.norm = nn.Conv2d(n, n, 7, padding=3, groups=n), nn.LayerNorm(n)
        self.mlp = nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n))
        self.gamma = nn.Parameter(torch.ones(n))

    def forward(self, x):
        y = self.mlp(self.norm(self.deep(x).permute(0, 2, 3, 1))) * self.gamma
        return x + y.permute(0, 3, 1, 2)


class Vision(nn.Module):
    """ViT: a class token before the patches, learned positions."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.zeros(1, 1, 8))
        self.places = nn.Parameter(torch.zeros(1, 17, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.layer(x)[:, 0])


class Pooled(nn.Module):
    """DeepLab: rates side by side, and the mean of the whole map put beside them."""

    def __init__(self):
        super().__init__()
        self.rates = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=r, dilation=r) for r in (1, 2, 4)])
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(3, 4, 1))

    def forward(self, x):
        ways = [rate(x) for rate in self.rates]
        mean = F.interpolate(self.mean(x), size=x.shape[2:], mode="bilinear")
        return torch.cat([*ways, mean], 1)


class Dropped(nn.Module):
    """Stochastic depth: a block is left out of some runs of training."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(conv(3, 3) for _ in range(4))

    def forward(self, x):
        for block in self.blocks:
            if not self.training or torch.rand(()).item() > 0.5:
                x = x + block(x)
        return x


class Auxiliary(nn.Module):
    """GoogLeNet: a second head, of training alone, that needs two items."""

    def __init__(self):
        super().__init__()
        self.body, self.head = conv(3, 4, 3, 2), nn.Linear(4, 2)
        self.aux = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(4, 4, 1), nn.Flatten(), nn.Linear(4, 2)
        )

    def forward(self, x):
        x = self.body(x)
        y = self.head(x.mean((2, 3)))
        return (y, self.aux(x)) if self.training else y


def mobile():
    body = nn.Sequential(
        conv(4, 16, 1),
        conv(16, 16, 3, groups=16),
        Excite(16),
        nn.Conv2d(16, 4, 1, bias=False),
        nn.BatchNorm2d(4),
    )
    return nn.Sequential(conv(3, 4, 3, 2), Residual(body))


def regnet():
    return nn.Sequential(
        conv(3, 8, 3, 2),
        Residual(nn.Sequential(conv(8, 8, 1), conv(8, 8, 3, 2, groups=2)), conv(8, 8, 1, 2)),
    )


NETS = {
    "resnet": (resnet, (3, 32, 32)),
    "resnet at its half": (resnet, (3, 31, 45)),
    "resnet-d": (resnet_d, (3, 32, 32)),
    "fpn": (Pyramid, (3, 32, 32)),
    "fpn of odd sizes": (Pyramid, (3, 50, 68)),
    "fpn bilinear": (lambda: Pyramid("bilinear"), (3, 64, 64)),
    "hrnet": (HighResolution, (3, 64, 64)),
    "dla": (Aggregation, (3, 32, 32)),
    "levit": (Tokens, (3, 16, 16)),
    "attention beside logits": (BesideLogits, (3, 16, 16)),
    "attention alone": (AttentionAlone, (3, 4, 4)),
    "softmax in evaluation": (EvaluatedSoftmax, (8,)),
    "inception": (lambda: nn.Sequential(conv(3, 4), Inception(4)), (3, 16, 16)),
    "reduction": (lambda: Reduction(3, nn.MaxPool2d(3, 2, 1)), (3, 16, 16)),
    "reduction in ceil mode": (lambda: Reduction(3, nn.MaxPool2d(3, 2, ceil_mode=True)), (3, 16, 16)),
    "reduction of two": (lambda: Reduction(3, nn.MaxPool2d(2, 2)), (3, 16, 16)),
    "densenet": (lambda: nn.Sequential(conv(3, 4), Dense(4), nn.AvgPool2d(2), Dense(16)), (3, 16, 16)),
    "mobilenet": (mobile, (3, 32, 32)),
    "regnet": (regnet, (3, 32, 32)),
    "tcn": (lambda: nn.Sequential(*(Causal(2, 2**i) for i in range(4))), (2, 40)),
    "unet": (lambda: UNet(crop=False), (1, 32, 32)),
    "unet that crops": (lambda: UNet(crop=True), (1, 32, 32)),
    "convnext": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 4), Next(4), Next(4)), (3, 32, 32)),
    "vit": (Vision, (3, 32, 32)),
    "deeplab": (Pooled, (3, 16, 16)),
    "stochastic depth": (Dropped, (3, 8, 8)),
    "googlenet": (Auxiliary, (3, 32, 32)),
    "subpixel": (lambda: nn.Sequential(conv(3, 16), nn.PixelShuffle(2), nn.Conv2d(4, 3, 3, padding=1)), (3, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_nothing_is_found_on_a_net_that_is_meant_so(name):
    make, shape = NETS[name]
    sheet = measure(make(), shape)
    assert sheet.unfinished is None
    assert [finding.as_text() for finding in sheet.findings] == []


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "capsnet", "cdbn"])
def test_what_a_loss_or_a_way_to_learn_of_its_own_reads_is_not_called_unread(name):
    net = catalog.build(name, width=0.125 if name in ("googlenet", "inception_v3") else 1)
    found = measure(net, catalog.entry(name).input).findings
    assert [each.kind for each in found if each.kind in ("unused", "gradient", "unknown")] == []


class Exchange(nn.Module):
    """Two units of HRNet: every resolution is the sum of all, again and again."""

    def __init__(self, units=2):
        super().__init__()
        self.stem, self.units = conv(3, 4, 3, 2), units
        self.start = nn.ModuleList(
            [nn.Sequential(*(conv(4, 4, 3, 2) for _ in range(n))) for n in range(3)]
        )
        self.ways = nn.ModuleList(
            nn.Sequential(conv(4, 4, 1), nn.Upsample(scale_factor=2 ** (i - j)))
            if i > j
            else nn.Sequential(*(conv(4, 4, 3, 2) for _ in range(j - i)))
            for _ in range(units)
            for j in range(3)
            for i in range(3)
        )

    def forward(self, x):
        maps = [start(self.stem(x)) for start in self.start]
        for unit in range(self.units):
            ways = self.ways[9 * unit : 9 * unit + 9]
            maps = [sum(ways[3 * j + i](m) for i, m in enumerate(maps)) for j in range(3)]
        return maps


def test_resolutions_that_are_exchanged_again_and_again_are_no_fault():
    assert measure(Exchange(), (3, 64, 64)).findings == ()


def test_one_cause_is_one_finding():
    odd = [nn.ConvTranspose2d(2, 2, 3, 2, 1) for _ in range(6)]
    (finding,) = measure(nn.Sequential(*odd), (2, 4, 4)).findings
    assert (finding.kind, finding.path) == ("checkerboard", "0")
    assert finding.text.endswith("from unequal numbers of inputs (and 5 more such: 1, 2, 3, ...)")


def test_a_branch_that_nobody_reads_is_one_finding():
    net = nn.Sequential(conv(3, 4))
    net.register_module("spare", nn.Sequential(*(conv(4, 4) for _ in range(5))))
    net.forward = net[0].forward
    (finding,) = measure(net, (3, 8, 8)).findings
    assert (finding.kind, finding.path) == ("unused", "spare")


def test_unread_parameters_here_and_there_are_one_finding():
    net = nn.Sequential(*(conv(3, 3) for _ in range(6)))
    for block in net:
        block.register_parameter("scale", nn.Parameter(torch.ones(3)))
    (finding,) = measure(net, (3, 8, 8)).findings
    assert (finding.kind, finding.path) == ("unused", "0")
    assert finding.text == "18 parameters of this and 5 more modules are never read"


def test_a_shift_of_a_whole_cell_is_still_found():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, padding=1)

        def forward(self, x):
            return self.a(x)[..., 2:, 2:] + self.b(x)

    assert [f.kind for f in measure(Shifted(), (1, 12, 12)).findings] == ["misaligned"]
