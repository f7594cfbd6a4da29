"""Capsule network: groups of units whose length says that a thing is there and whose direction says how.

B batch, C channels, H W pixels, N primary capsules, K classes, D numbers of a capsule. Sabour, Frosst
and Hinton 2017, arXiv 1710.09829: fig. 1 the net, fig. 2 the decoder, procedure 1 the routing.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.ops.margin import margin_loss

KERNEL = 9  # of both convolutions, the second with stride 2
PRIMARY, DIGIT = 8, 16  # numbers of a capsule of each layer
RECONSTRUCTION = 0.0005  # its weight beside the margin loss, sec. 4.1


class Routed(nn.Module):
    """A layer of capsules that each listen to the lower ones that agree with them: procedure 1.

    Args:
        lower: capsules below, of `PRIMARY` numbers each.
        upper: capsules of this layer, of `DIGIT` numbers each.
        rounds: iterations of routing.
    """

    def __init__(self, lower: int, upper: int, rounds: int) -> None:
        super().__init__()
        self.upper, self.rounds = upper, rounds
        # W_ij of eq. 2 for all j side by side, so that one batched product gives every vote.
        self.weight = nn.Parameter(torch.empty(lower, PRIMARY, upper * DIGIT))

    def forward(self, u: Tensor) -> Tensor:
        """Capsules [B, N, 8] to capsules [B, K, 16]."""
        votes = torch.bmm(u.transpose(0, 1), self.weight).unflatten(2, (self.upper, DIGIT))
        votes = votes.permute(1, 2, 0, 3).contiguous()  # [B, K, N, 16]
        # All couplings begin equal: 1 / K, the softmax of zeros.
        agreement = votes.new_zeros(*votes.shape[:3], 1)
        for _ in range(self.rounds - 1):
            agreement = agreement + votes @ self._outputs(votes, agreement).transpose(2, 3)
        return self._outputs(votes, agreement)[:, :, 0]

    def _outputs(self, votes: Tensor, agreement: Tensor) -> Tensor:
        couplings = agreement.softmax(1).transpose(2, 3)  # [B, K, 1, N], summing to 1 over K
        return squash(couplings @ votes)


def squash(s: Tensor) -> Tensor:
    """Vectors of the same direction and a length below 1: |s|^2 / (1 + |s|^2) s / |s|, eq. 1."""
    length = s.norm(dim=-1, keepdim=True)
    return s * (length / (1 + length.square()))


class CapsNet(Backbone):
    """A convolution, primary capsules, routed capsules of the classes; a decoder that draws what they hold."""

    strides = (1, 2)
    stem = "conv1"
    head = "digits"
    auxiliary_heads = ("decoder.fc1",)

    def __init__(self, request: Request, rounds: int) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (request.scaled(256), request.scaled(32) * PRIMARY)
        height, width = (_out(_out(side, 1), 2) for side in request.size)
        self.conv1 = nn.Conv2d(request.in_channels, self.widths[0], KERNEL)
        self.drop = dropout(request.number("drop_rate"))
        self.primary = nn.Conv2d(self.widths[0], self.widths[1], KERNEL, stride=2)
        lower = self.widths[1] // PRIMARY * height * width
        self.digits = Routed(lower, request.num_classes, rounds)
        hidden = request.scaled(512), request.scaled(1024)
        self.decoder = (
            _decoder((request.num_classes * DIGIT, *hidden, prod(self.input_shape)))
            if request.flag("decoder")
            else None
        )
        if self.decoder is None:
            self.auxiliary_heads = ()

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default; capsules' matrices normal with deviation 0.1. The paper says nothing of it."""
        init.as_torch(self, generator)
        init.normal(self.digits.weight, 0.1, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The first maps [B, 256, H - 8, W - 8], and those that the primary capsules are cut from."""
        first = F.relu(self.conv1(x))
        return [first, self.primary(self.drop(first))]

    def capsules(self, x: Tensor) -> Tensor:
        """Pictures to the capsules of the classes [B, K, 16]."""
        maps = self.features(x)[1]
        # Type t of the primary capsules is the eight channels from 8t on.
        u = maps.unflatten(1, (-1, PRIMARY)).movedim(2, -1).flatten(1, 3)
        return self.digits(squash(u))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to the lengths of the capsules [B, K], each from 0 to 1."""
        return self.capsules(x).norm(dim=-1)

    def reconstruct(self, capsules: Tensor, label: Tensor | None = None) -> Tensor:
        """The pictures that one capsule each stands for, with intensities from 0 to 1.

        Args:
            capsules: [B, K, 16].
            label: the class whose capsule counts [B]; the longest if not given.

        Returns:
            [B, C, H, W].

        Raises:
            ArgumentError: the net was built without its decoder.
        """
        if self.decoder is None:
            raise ArgumentError("this net draws no pictures: it was built with decoder=False")
        label = capsules.norm(dim=-1).argmax(1) if label is None else label
        kept = F.one_hot(label, capsules.shape[1]).to(capsules.dtype)[:, :, None]
        return self.decoder((capsules * kept).flatten(1)).unflatten(1, self.input_shape)

    def objective(
        self,
        x: Tensor,
        target: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],  # noqa: ARG002 - its own stands in its place
    ) -> tuple[Tensor, Tensor]:
        """The margin loss and 0.0005 times the squared error of the picture drawn from the right capsule."""
        capsules = self.capsules(x)
        lengths = capsules.norm(dim=-1)
        value = margin_loss(lengths, target)
        if self.decoder is not None:
            error = self.reconstruct(capsules, target) - intensities(x)
            value = value + RECONSTRUCTION * error.square().flatten(1).sum(1).mean()
        return lengths, value

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """Capsules for `num_classes`, and a first layer of the decoder that reads them.

        Raises:
            ArgumentError: 0, for without capsules of classes there is nothing to draw from.
        """
        if num_classes == 0:
            raise ArgumentError(
                "num_classes=0: the capsules are the answer; take net.features(x) instead"
            )
        generator = generator or torch.Generator()
        old = self.digits
        self.digits = Routed(old.weight.shape[0], num_classes, old.rounds).to(old.weight)
        init.normal(self.digits.weight, 0.1, generator)
        if self.decoder is not None:
            with init.skipped():
                units = self.decoder.get_submodule("fc2").get_parameter("weight").shape[1]
                first = nn.Linear(num_classes * DIGIT, units)
            init.as_torch(first, generator)
            self.set_submodule("decoder.fc1", first.to(old.weight))


def intensities(x: Tensor) -> Tensor:
    """Pictures as the decoder draws them, from 0 to 1 in every channel of a batch.

    Pictures come with mean and deviation taken off; black and white are where they were in the batch.
    """
    low, high = x.amin((0, 2, 3), keepdim=True), x.amax((0, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp_min(1e-6)


def _decoder(sizes: tuple[int, ...]) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module]()
    for i in range(1, len(sizes)):
        layers[f"fc{i}"] = nn.Linear(sizes[i - 1], sizes[i])
        layers[f"act{i}"] = nn.Sigmoid() if i == len(sizes) - 1 else nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def _out(side: int, stride: int) -> int:
    return (side - KERNEL) // stride + 1


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: pictures on which the second convolution does not fit.
        ArgumentError: routing= is more than one number.
    """
    request.check_least(2 * KERNEL - 1, "two convolutions of 9x9 need", enough=28)
    rounds = request.counts("routing")
    if len(rounds) != 1:
        raise ArgumentError(f"{request.name}: routing takes one number, got {list(rounds)}")
    return CapsNet(request, rounds[0])
