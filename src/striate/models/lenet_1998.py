"""LeNet-1, LeNet-4 and LeNet-5 as they were built: tabled connections, trained subsampling, RBF outputs.

B batch, C channels, H W pixels, K classes. LeCun, Bottou, Bengio and Haffner 1998, doi 10.1109/5.726791:
LeNet-5 in sec. II-B, the others in sec. III-C; LeNet-1 is the net of LeCun et al. 1990, "Handwritten
digit recognition with a back-propagation network". Pixels run from -0.1 (white) to 1.175 (black) there,
for mean 0 and variance 1; that is left to the data. LeNet-4's tables are a reconstruction from its totals.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.local import TabledConv
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.ops.activation import scaled_tanh

Table = tuple[tuple[int, ...], ...]

# Two separate halves of twenty pairs, each with two maps that read one map and four that read both.
LENET1_C3: Table = (
    *((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1)),
    *((2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3)),
)
# No source prints LeNet-4's tables: these follow the pattern of LeNet-5's (neighbours, then pairs of
# neighbours), and their 60 and 560 pairs give the 17,000 parameters and 260,000 connections printed.
# Hidden units that read all of S4 would make it 51,000.
LENET4_C3: Table = (
    *(tuple(sorted((i + k) % 8 for k in range(3))) for i in (0, 2, 4, 6)),
    *(tuple(sorted((i + k) % 8 for k in range(4))) for i in range(8)),
    *(tuple(sorted((i, i + 1, i + 4, (i + 5) % 8))) for i in range(4)),
)
LENET4_C5: Table = tuple(  # fours and fives in a ring, each from where the last one ended
    tuple(sorted((14 * (i // 3) + (0, 4, 9)[i % 3] + k) % 16 for k in range(5 if i % 3 else 4)))
    for i in range(120)
)
# Table I of the paper: threes, fours, split fours, and one that reads all.
LENET5_C3: Table = (
    *(tuple(sorted((i + k) % 6 for k in range(3))) for i in range(6)),
    *(tuple(sorted((i + k) % 6 for k in range(4))) for i in range(6)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


@dataclass(frozen=True)
class Spec:
    """Maps of the first two layers, what each map of C3 reads, and the side of the pictures."""

    c1: int
    s2: int
    c3: Table
    side: int = 32


SPECS = {
    "lenet1": Spec(c1=4, s2=4, c3=LENET1_C3, side=28),
    "lenet4": Spec(c1=4, s2=8, c3=LENET4_C3),
    "lenet5_1998": Spec(c1=6, s2=6, c3=LENET5_C3),
}


class Subsampling(nn.Module):
    """The sum of each 2x2 window times a coefficient of its map, plus a bias of its map.

    Args:
        in_maps: maps that come in.
        out_maps: maps that go out, as many or a multiple; neighbours share a map that comes in.
    """

    def __init__(self, in_maps: int, out_maps: int) -> None:
        super().__init__()
        self.in_maps = in_maps
        self.weight = nn.Parameter(torch.empty(out_maps, 1, 1, 1))
        self.bias = nn.Parameter(torch.empty(out_maps))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_maps, H, W] to [B, out_maps, H / 2, W / 2]."""
        kernel = self.weight.expand(-1, -1, 2, 2)
        return F.conv2d(x, kernel, self.bias, stride=2, groups=self.in_maps)


class RBF(nn.Module):
    """Minus the squared distances to one fixed code a class: eq. 7, its sign turned so that more is better.

    Args:
        units: numbers of a code.
        classes: codes.
    """

    weight: Tensor

    def __init__(self, units: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", codes(units, classes))

    def forward(self, x: Tensor) -> Tensor:
        """[B, units] to [B, classes]."""
        # |x - w|^2 = |x|^2 - 2 x.w + |w|^2, and every number of w is 1 or -1.
        lengths = x.square().sum(1, keepdim=True) + x.shape[1]
        return 2 * F.linear(x, self.weight) - lengths


class _LeNet(Backbone):
    """C1, S2, C3 and S4, each followed by the scaled tanh; what comes after differs."""

    strides = (2, 4)
    stem = "c1"
    head = "output"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        maps, pairs = request.scaled(spec.c1), spec.s2 // spec.c1
        table = scaled_table(spec.c3, maps * pairs, request.scaled(len(spec.c3)))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (maps * pairs, len(table))
        # The paper's digits of 28x28 stand in pictures of 32x32; here the padding makes them so.
        padding = (spec.side - request.size[0]) // 2
        self.c1 = nn.Conv2d(request.in_channels, maps, 5, padding=padding)
        self.s2 = Subsampling(maps, maps * pairs)
        self.c3 = TabledConv(maps * pairs, table, (5, 5))
        self.s4 = Subsampling(len(table), len(table))
        self.drop = dropout(request.number("drop_rate"))

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in +-2.4 / (inputs of the unit a weight belongs to): app. A of the paper."""
        for layer in self.modules():
            match layer:
                case TabledConv():
                    kernels = layer.weight.split([len(maps) for maps in layer.table])
                    biases = () if layer.bias is None else layer.bias.split(1)
                    for kernel, bias in zip(kernels, biases, strict=True):
                        _begin(kernel, bias, kernel.numel(), generator)
                case nn.Conv2d() | nn.Linear():
                    _begin(layer.weight, layer.bias, layer.weight[0].numel(), generator)
                case Subsampling():
                    _begin(layer.weight, layer.bias, 4, generator)
                case _:
                    pass

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps after S2 and S4, such as [B, 6, 14, 14] and [B, 16, 5, 5]."""
        s2 = scaled_tanh(self.s2(scaled_tanh(self.c1(x))))
        return [s2, scaled_tanh(self.s4(scaled_tanh(self.c3(s2))))]


class LeNet1(_LeNet):
    """Ten units on the twelve maps of 4x4."""

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__(spec, request)
        self.output = nn.Linear(self.widths[1] * 16, request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, 28, 28] to logits [B, K]."""
        return self.output(self.drop(self.features(x)[-1].flatten(1)))


class LeNet4(_LeNet):
    """A layer of 120 units between the maps and the output."""

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__(spec, request)
        table = scaled_table(LENET4_C5, self.widths[1], request.scaled(len(LENET4_C5)))
        self.c5 = TabledConv(self.widths[1], table, (5, 5))
        self.output = nn.Linear(len(table), request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, 32, 32], or 28x28 as built, to logits [B, K]."""
        x = scaled_tanh(self.c5(self.features(x)[-1]).flatten(1))
        return self.output(self.drop(x))


class LeNet5(_LeNet):
    """C5, F6, and one fixed code a class that F6 is compared with."""

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__(spec, request)
        # A code has one number a unit of F6, and tells the classes apart.
        units = max(request.scaled(84), code_bits(request.num_classes))
        self.competing = request.number("j")
        self.c5 = nn.Conv2d(self.widths[1], request.scaled(120), 5)
        self.f6 = nn.Linear(self.c5.out_channels, units)
        self.output = RBF(units, request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, 32, 32], or 28x28 as built, to minus squared distances [B, K]."""
        x = scaled_tanh(self.c5(self.features(x)[-1]).flatten(1))
        return self.output(scaled_tanh(self.f6(self.drop(x))))

    def objective(
        self,
        x: Tensor,
        target: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],  # noqa: ARG002 - its own stands in its place
    ) -> tuple[Tensor, Tensor]:
        """The paper's criterion, eq. 9: the distance to the right code, and log(e^-j + sum of e^-distance).

        The second part pushes codes away that are nearer than about j; the paper gives j no value.
        """
        answer = self(x)
        rubbish = answer.new_full((len(answer), 1), -self.competing)
        rivals = torch.cat((answer, rubbish), 1).logsumexp(1)
        return answer, (rivals - answer.gather(1, target[:, None])[:, 0]).mean()

    def reset_head(self, num_classes: int, *, generator: object = None) -> None:  # noqa: ARG002
        """Codes for `num_classes`, of which nothing is drawn.

        Raises:
            ShapeError: codes of F6's length cannot tell so many classes apart.
        """
        if num_classes == 0:
            self.leave_out_head()
            return
        units = self.f6.out_features
        if code_bits(num_classes) > units:
            raise ShapeError(
                f"codes of {units} numbers tell {2**units} classes apart, not {num_classes}; "
                "build with a larger width="
            )
        self.output = RBF(units, num_classes).to(self.f6.weight)


def codes(units: int, classes: int) -> Tensor:
    """One code of 1 and -1 a class [K, units], all different.

    Up to ten classes at 84 units are the paper's: bitmaps of the digits, 7x12. Others come from the bits
    of the class: number i of a code is the parity of the bits that a mask m(i) picks. The first masks
    pick one bit each, so that no two codes are the same; the others run through all of them.
    """
    if units == 84 and classes <= 10:
        rows = [line.split() for line in DIGITS.split("\n")]
        drawn = ["".join(row[digit] for row in rows) for digit in range(classes)]
        return torch.tensor([[1.0 if dot == "#" else -1.0 for dot in digit] for digit in drawn])
    bits = code_bits(classes)
    single = [1 << bit for bit in range(min(bits, units))]
    # An odd step visits every mask, high bits as often as low ones.
    spread = [1 + (i * (2 * (1 << bits) // 3 | 1)) % ((1 << bits) - 1 or 1) for i in range(units)]
    masks = (single + spread)[:units]
    parity = [[(k & mask).bit_count() % 2 for mask in masks] for k in range(classes)]
    return 1.0 - 2.0 * torch.tensor(parity, dtype=torch.float32)


def code_bits(classes: int) -> int:
    """Bits that number the classes, at least one."""
    return max(1, (classes - 1).bit_length())


def scaled_table(table: Table, inputs: int, outputs: int) -> Table:
    """A table for other numbers of maps: every map stands in for the one as far along in the original.

    With very few maps a row may be left with none and reads all; what no row reads the last one does.
    """
    before = max(max(maps) for maps in table) + 1
    stands = [i * before // inputs for i in range(inputs)]
    reads = (table[o * len(table) // outputs] for o in range(outputs))
    rows = [{i for i in range(inputs) if stands[i] in maps} or set(range(inputs)) for maps in reads]
    rows[-1] |= set(range(inputs)).difference(*rows)
    return tuple(tuple(sorted(row)) for row in rows)


def _begin(weight: Tensor, bias: Tensor | None, inputs: int, generator: torch.Generator) -> None:
    for parameter in (weight,) if bias is None else (weight, bias):
        init.uniform(parameter, 2.4 / inputs, generator)


NETS = {"lenet1": LeNet1, "lenet4": LeNet4, "lenet5_1998": LeNet5}


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for.

    Raises:
        ShapeError: a size that the last maps do not come out of.
    """
    spec = SPECS[request.name]
    if request.size not in ((28, 28), (spec.side, spec.side)):
        height, width = request.size
        fits, last = ("28x28", 4) if spec.side == 28 else ("28x28 or 32x32", 5)
        raise ShapeError(
            f"{request.name}: its last maps are {last}x{last}, which come from pictures of {fits}; "
            f"got {height}x{width}; resize with size={spec.side}"
        )
    return NETS[request.name](spec, request)


DIGITS = """\
..###.. ...#... ..###.. ####### ....##. ####### ..####. ####### ..###.. ..###..
.#...#. ..##... .#...#. .....#. ....##. #...... .#..... ......# .#...#. .#...#.
#.....# .#.#... #.....# ....#.. ...#.#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# ...#... ...#.#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# ..###.. ..#..#. #.###.. #.###.. ....#.. .#...#. #.....#
#.....# ...#... .....#. .....#. ..#..#. ##...#. ##...#. ....#.. ..###.. .#...##
#.....# ...#... ....#.. ......# .#...#. ......# #.....# ...#... .#...#. ..###.#
#.....# ...#... ...#... ......# .#...#. ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# ####### ......# #.....# ..#.... #.....# ......#
#.....# ...#... .#..... #.....# .....#. #.....# #.....# ..#.... #.....# ......#
.#...#. ...#... #...... .#...#. .....#. .#...#. .#...#. .#..... .#...#. .....#.
..###.. .#####. ####### ..###.. .....#. ..###.. ..###.. .#..... ..###.. .####.."""
