"""What is said when shapes do not fit: the layer, both numbers, and what to write; every fix is carried out."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ShapeError, StriateError, UsageError
from striate.measuring import measure


def seq(*layers):
    return nn.Sequential(*layers)


def said(net, shape, kind: type[StriateError] = ShapeError):
    with pytest.raises(kind) as caught:
        measure(net, shape)
    return str(caught.value)


def lenet(features=400, last: Callable[[], nn.Module] = nn.Identity):
    return seq(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2),
        last(), nn.Flatten(), nn.Linear(features, 10),
    )  # fmt: skip


def test_features_after_flattening_have_three_ways_out():
    assert said(lenet(), (1, 32, 32)) == (
        "6 (Linear): expects 400 features, got 16x6x6 = 576, at input 1x32x32: build it with "
        "in_features=576, use input 28x28, or pool to 5x5 before it (AdaptiveAvgPool2d(5))"
    )
    measure(lenet(576), (1, 32, 32))
    measure(lenet(), (1, 28, 28))
    measure(lenet(last=lambda: nn.AdaptiveAvgPool2d(5)), (1, 32, 32))


def test_a_size_that_does_not_help_is_not_named():
    # 401 features are 16 maps of no size at all.
    assert said(lenet(401), (1, 32, 32)) == (
        "6 (Linear): expects 401 features, got 16x6x6 = 576, at input 1x32x32: build it with in_features=576"
    )
    assert said(seq(nn.Linear(3, 2), nn.Linear(4, 2)), (3,)) == (
        "1 (Linear): expects 4 features, got 2, at input 3: build it with in_features=2"
    )


class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 16, 5), nn.Linear(400, 10)

    def forward(self, x):
        return self.fc(F.max_pool2d(self.conv(x), 2).view(-1, 400))


def test_a_view_written_for_other_maps():
    assert said(Viewed(), (1, 16, 16)) == (
        "Viewed: view to (-1, 400) needs 400 values an item, got 16x6x6 = 576, at input 1x16x16: "
        "write 576, use input 14x14, or pool to 5x5 before it (AdaptiveAvgPool2d(5))"
    )
    measure(Viewed(), (1, 14, 14))


class Skip(nn.Module):
    """Half the size and back, joined with where it came from."""

    def __init__(self, join):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 1, 2, 2)
        self.join = join

    def forward(self, x):
        return self.join(x, self.up(self.down(x)))


@pytest.mark.parametrize(
    ("join", "name"),
    [(lambda a, b: torch.cat([a, b], 1), "cat"), (lambda a, b: a + b, "add")],
)
@pytest.mark.parametrize(
    ("side", "pad", "better"),
    [((15, 15), "15x15 by 1 cell to 16x16", (16, 16)), ((15, 16), "15x16 to 16x16", (16, 16))],
)
def test_branches_of_unequal_size(join, name, side, pad, better):
    wide = "x".join(map(str, side))
    assert said(Skip(join), (1, *side)) == (
        f"Skip: {name} joins maps of 1x{wide} and 1x16x16, at input 1x{wide}: pad {pad}, or use input 16x16"
    )
    measure(Skip(join), (1, *better))


class Add(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        return x + self.conv(x)


def test_branches_of_unequal_channels():
    assert said(Add(), (3, 8, 8)) == (
        "Add: add joins maps of 3x8x8 and 8x8x8, at input 3x8x8: "
        "bring 3 channels to 8 with a 1x1 convolution"
    )


@pytest.mark.parametrize(
    ("net", "shape", "message", "mended"),
    [
        (
            seq(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)),
            (3, 9, 9),
            "1 (Conv2d): expects 5 channels, got 4 in 4x7x7, at input 3x9x9: build it with 4 channels",
            None,
        ),
        (
            seq(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(3)),
            (1, 8, 8),
            "1 (BatchNorm2d): expects 3 channels, got 4 in 4x6x6, at input 1x8x8: build it with 4 channels",
            None,
        ),
        (
            seq(nn.GroupNorm(1, 3)),
            (4, 8, 8),
            (
                "0 (GroupNorm): expects 3 channels, got 4 in 4x8x8, at input 4x8x8: "
                "build it with 4 channels, or give 3 channels"
            ),
            (3, 8, 8),
        ),
        (
            seq(nn.Conv1d(1, 2, 3, 2), nn.Conv1d(2, 2, 5)),
            (1, 9),
            "1 (Conv1d): its kernel 5 does not fit maps of 4, at input 1x9: use input 11 or more",
            (1, 11),
        ),
        (
            seq(nn.Conv2d(1, 2, 3), nn.MaxPool2d(4)),
            (1, 5, 5),
            "1 (MaxPool2d): its kernel 4x4 does not fit maps of 3x3, at input 1x5x5: use input 6x6 or more",
            (1, 6, 6),
        ),
        # Larger alone does not do: only 28 gives the features that the last layer takes.
        (
            lenet(),
            (1, 4, 4),
            "2 (Conv2d): its kernel 5x5 does not fit maps of 2x2, at input 1x4x4: use input 28x28",
            (1, 28, 28),
        ),
    ],
)
def test_the_layer_the_numbers_and_a_size_that_works(net, shape, message, mended):
    assert said(net, shape) == message
    if mended:
        measure(net, mended)


class Strided(nn.Module):
    """A residual block that halves one branch alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x) + x


class Skips(nn.Module):
    """Up by two from what was pooled by two, beside what was not."""

    def __init__(self):
        super().__init__()
        self.conv, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)

    def forward(self, x):
        return torch.cat([self.up(F.max_pool2d(self.conv(x), 2)), x], 1)


class Placed(nn.Module):
    """Tokens with places that were learnt for 7 x 7 of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.place = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.zeros(1, 49, 8))

    def forward(self, x):
        return self.conv(x).flatten(2).transpose(1, 2) + self.place


class Self(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        return self.attend(x, x, x)[0]


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


TYPICAL = [
    (
        seq(nn.Conv2d(1, 6, 5), nn.Linear(6 * 28 * 28, 10)),
        (1, 32, 32),
        "1 (Linear): expects 4,704 features, got 28, at input 1x32x32: flatten 6x28x28 = 4,704 before it (nn.Flatten())",
        (seq(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.Linear(6 * 28 * 28, 10)), (1, 32, 32)),
    ),
    (
        seq(nn.Conv2d(3, 8, 3)),
        (24, 20, 3),
        (
            "0 (Conv2d): expects 3 channels, got 24 in 24x20x3, at input 24x20x3: "
            "put the channels first: 3x24x20, or give 3 channels"
        ),
        (seq(nn.Conv2d(3, 8, 3)), (3, 24, 20)),
    ),
    (
        seq(nn.Conv2d(3, 8, 3)),
        (1, 3, 28, 28),
        (
            "0 (Conv2d): expects 2 axes after its channels, got 1x3x28x28, at input 1x3x28x28: "
            "leave the axis of items out: give 3x28x28"
        ),
        (seq(nn.Conv2d(3, 8, 3)), (3, 28, 28)),
    ),
    (
        Strided(),
        (3, 32, 32),
        (
            "Strided: add joins maps of 3x16x16 and 3x32x32, at input 3x32x32: "
            "bring 32x32 to 16x16 with stride 2, as a 1x1 convolution or pooling has"
        ),
        None,
    ),
    (
        Skips(),
        (3, 33, 33),
        (
            "Skips: cat joins maps of 4x32x32 and 3x33x33, at input 3x33x33: "
            "pad 32x32 by 1 cell to 33x33, or use input 34x34"
        ),
        (Skips(), (3, 34, 34)),
    ),
    (
        Placed(),
        (3, 32, 32),
        "Placed: add joins maps of 64x8 and 49x8, at input 3x32x32: use input 31x31",
        (Placed(), (3, 31, 31)),
    ),
    (
        Self(16),
        (5, 8),
        (
            "attend (MultiheadAttention): expects 16 values an item along its axis, got 8 in 1x8, at input 5x8: "
            "build it with embed_dim=8"
        ),
        (Self(8), (5, 8)),
    ),
    (
        seq(nn.Linear(8, 4), nn.LayerNorm(8)),
        (8,),
        "1 (LayerNorm): expects 8 values an item along its axis, got 4 in 4, at input 8: build it with normalized_shape=4",
        (seq(nn.Linear(8, 4), nn.LayerNorm(4)), (8,)),
    ),
    (
        seq(nn.Conv2d(3, 6, 3), nn.PReLU(4)),
        (3, 8, 8),
        (
            "1 (PReLU): expects 4 values an item along its axis, got 6 in 6x6x6, at input 3x8x8: "
            "build it with num_parameters=6"
        ),
        (seq(nn.Conv2d(3, 6, 3), nn.PReLU(6)), (3, 8, 8)),
    ),
    (
        Two(),
        (3, 8, 8),
        (
            "Two: Two.forward() missing 1 required positional argument: 'y'; got 1 input: give a list with one shape "
            "for each, such as measure(net, [(3, 32, 32), (3, 32, 32)]), or --input once for each"
        ),
        (Two(), [(3, 8, 8), (3, 8, 8)]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("net", "shape", "message", "mended"), TYPICAL)
def test_typical_mistakes_and_what_mends_them(net, shape, message, mended):
    assert said(net, shape) == message
    if mended:
        measure(*mended)


def test_an_embedding_that_is_given_a_shape_asks_for_whole_numbers():
    assert said(seq(nn.Embedding(10, 4)), (5,), UsageError) == (
        "0 (Embedding): embedding reads whole numbers, got torch.float32; give a tensor of them in place of the shape, "
        "such as torch.zeros(1, 5).long()"
    )
    measure(seq(nn.Embedding(10, 4)), torch.zeros(1, 5).long())


def test_matrices_that_do_not_fit():
    class Product(nn.Module):
        def forward(self, x):
            return x @ torch.ones(5, 3)

    assert said(Product(), (4,)) == (
        "Product: matmul of 1x4 and 5x3 needs as many columns as rows: 4 are not 5, at input 4; "
        "check the input shape or the layer"
    )


class Raises(nn.Module):
    def forward(self, _x):
        raise RuntimeError("no pictures today")


def test_other_failures_keep_what_was_said():
    assert said(seq(Raises()), (2,), UsageError) == (
        "0 (Raises): forward failed: no pictures today, at input 2; check the input shape or the layer"
    )
