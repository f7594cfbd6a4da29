"""Small nets of every kind that One number has to explain, with seeded weights and inputs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two convolutions and a shortcut, joined by + in the forward, relu in place."""

    def __init__(self, n, groups=1):
        super().__init__()
        self.a = nn.Conv2d(n, n, 3, padding=1, groups=groups, bias=False)
        self.bn, self.b = nn.BatchNorm2d(n), nn.Conv2d(n, n, 1)

    def forward(self, x):
        y = F.relu(self.bn(self.a(x)), inplace=True)
        return torch.relu_(self.b(y) + x)


class UNet(nn.Module):
    """Down, up again by a transposed convolution, joined with what stood before."""

    def __init__(self):
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2)
        self.deep, self.up = nn.Conv2d(4, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 2, 2)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = F.relu(self.first(x))
        b = self.up(F.relu(self.deep(self.down(a))))
        return self.last(torch.cat([a, b], 1)).softmax(1)


class Twice(nn.Module):
    """One module that is called twice, and is followed by a relu that works in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.conv(self.act(self.conv(x))))


class Causal(nn.Module):
    """Padded on one side alone, dilated, over time."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix = nn.Conv1d(2, 4, 3, dilation=3), nn.Conv1d(4, 2, 1)

    def forward(self, x):
        return x + self.mix(torch.tanh(self.conv(F.pad(x, (6, 0)))))


class Asymmetric(nn.Module):
    """Padding that differs by side, a kernel that differs by axis, a stride that differs by axis."""

    def __init__(self):
        super().__init__()
        self.pad = nn.ZeroPad2d((2, 0, 1, 3))
        self.conv = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(1, 2))
        self.same = nn.Conv2d(4, 4, (2, 3), padding="same")

    def forward(self, x):
        return self.same(F.leaky_relu(self.conv(self.pad(x)), 0.1))


class Outside(nn.Module):
    """What leaves PyTorch and comes back."""

    def forward(self, x):
        return torch.from_numpy(x.detach().numpy() * 2.0)


class Opaque(nn.Module):
    """A module that nobody can look into, and functions whose derivatives are all that is known."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.outside = nn.Conv2d(1, 2, 3), nn.LayerNorm(6), Outside()

    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.normalize(self.outside(y).round(decimals=1) - y, dim=1)


class Gated(nn.Module):
    """Squeeze and excitation: a product of two numbers that both depend on the picture."""

    def __init__(self, n):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(n, n, 1), nn.Sigmoid())

    def forward(self, x):
        return 2 * x * self.gate(x) - x.mean((2, 3), keepdim=True)


class Attention(nn.Module):
    """Tokens of a picture, and products of matrices between them."""

    def __init__(self):
        super().__init__()
        self.patch, self.mix = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8, bias=False)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        q = self.mix(tokens)
        return (q @ tokens.transpose(1, 2)).softmax(-1) @ tokens


def wide(n):
    return nn.Sequential(nn.Conv2d(3, n, 1), nn.BatchNorm2d(n, track_running_stats=False), nn.AdaptiveMaxPool2d(1),
                         nn.Flatten(), nn.Linear(n, 3))  # fmt: skip


class Spoilt(nn.Module):
    """Maps of NaN, of infinities, and one that is the same everywhere."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.last = (
            nn.Conv2d(1, 3, 3),
            nn.AvgPool2d(2),
            nn.Conv2d(3, 2, 3, padding=1),
        )

    def forward(self, x):
        y = self.conv(x)
        holes = torch.tensor([float("nan"), float("inf"), 0.0]).view(1, 3, 1, 1)
        ends = torch.where(y > 0, holes, -holes)
        return self.last(F.max_pool2d(self.pool(ends), 2, padding=1))


Made = tuple[Callable[[], nn.Module], tuple[int, ...]]
NETS: dict[str, Made] = {
    "lenet": (lambda: nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, padding=1), nn.Conv2d(4, 6, 5),
              nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(24, 10), nn.Softmax(1)), (1, 14, 14)),
    "three channels": (lambda: nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                       nn.MaxPool2d(3, 2, 1)), (3, 16, 16)),
    "sound": (lambda: nn.Sequential(nn.Conv1d(1, 4, 9, 4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(4, 4, 1), nn.Conv1d(4, 4, 3),
              nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, 3)), (1, 128)),
    "volume": (lambda: nn.Sequential(nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), nn.ReLU(), nn.AvgPool3d(2, padding=1),
               nn.ConvTranspose3d(3, 2, 3, 2)), (2, 4, 6, 6)),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.Conv2d(8, 4, 1), nn.Hardswish()), (4, 8, 8)),
    "grouped": (lambda: Residual(8, groups=2), (8, 6, 6)),
    "dilated": (lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=4, dilation=4), nn.GELU(), nn.LPPool2d(2, 2)), (3, 10, 10)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2, dilation=2),
                   nn.ConvTranspose2d(4, 2, 4, stride=3, bias=False)), (4, 4, 4)),
    "asymmetric": (Asymmetric, (3, 11, 9)),
    "residual": (lambda: nn.Sequential(Residual(3), Residual(3)), (3, 7, 7)),
    "concat": (UNet, (3, 8, 8)),
    "shared": (Twice, (3, 6, 6)),
    "causal": (Causal, (2, 24)),
    "opaque": (Opaque, (1, 8, 8)),
    "gated": (lambda: Gated(3), (3, 5, 5)),
    "attention": (Attention, (3, 12, 12)),
    "upsampled": (lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
                  nn.PixelShuffle(1), nn.GroupNorm(1, 2), nn.ReLU6()), (2, 4, 4)),
    "2,048 channels": (lambda: wide(2048), (3, 3, 3)),
    "4,096 channels": (lambda: wide(4096), (3, 2, 2)),
    "no numbers": (Spoilt, (1, 12, 12)),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, Tensor]:
    """A net in evaluation mode with seeded numbers, also in its statistics, and an input [1, ...]."""
    build, shape = NETS[name]
    net, seeded = build().eval(), torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for path, held in [*net.named_parameters(), *net.named_buffers()]:
            if held.is_floating_point():
                spread = max(1, held[0].numel()) ** 0.5 if held.ndim > 1 else 2.0
                held.copy_(torch.randn(held.shape, generator=seeded) / spread)
                if path.endswith("running_var"):
                    held.abs_().add_(0.5)
    return net, torch.randn(1, *shape, generator=seeded)
