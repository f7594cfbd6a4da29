"""The capsule network: its sizes, procedure 1 capsule by capsule, its loss and its decoder."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import ArgumentError, ShapeError
from striate.models.capsnet import CapsNet, intensities, squash
from striate.models.catalog import build
from striate.ops.margin import margin_loss


def made(**settings) -> CapsNet:
    net = build("capsnet", generator=torch.Generator().manual_seed(3), **settings)
    assert isinstance(net, CapsNet)
    return net


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def count(module: nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module else 0


def test_the_sizes_are_those_of_figures_1_and_2():
    net = build("capsnet", init=False)
    assert isinstance(net, CapsNet)
    # 9x9 on 28 leaves 20, with stride 2 then 6; 32 types of 8 numbers are 1,152 capsules of 6x6.
    assert count(net.conv1) == 256 * 81 + 256
    assert count(net.primary) == 32 * 8 * (256 * 81) + 32 * 8
    assert count(net.digits) == 1_152 * 10 * 8 * 16
    assert count(net.decoder) == 160 * 512 + 512 + 512 * 1024 + 1024 + 1024 * 784 + 784
    sheet = striate.measure("capsnet")
    maps = {row.path: row.output for row in sheet.layers if row.op == "conv2d"}
    assert maps == {"conv1": (256, 20, 20), "primary": (256, 6, 6)}
    # Sec. 5: 8.2M with the decoder, 6.8M without.
    assert round(count(net), -5) == 8_200_000
    assert round(count(build("capsnet", decoder=False, init=False)), -5) == 6_800_000
    votes, sums = 1_152 * 10 * 8 * 16, 1_152 * 10 * 16
    convolutions = 400 * 256 * 81 + 36 * 256 * 256 * 81
    assert sheet.totals.macs == convolutions + votes + (3 + 2) * sums


def squashed(s):
    square = (s * s).sum()
    return square / (1 + square) * s / square.sqrt()


def routed(u, weight, *, upper, rounds):
    """Procedure 1 for the capsules [N, 8] of one picture; weight [N, 8, K x 16]."""
    votes = [
        [u[i] @ weight[i, :, 16 * j : 16 * j + 16] for j in range(upper)] for i in range(len(u))
    ]
    b = torch.zeros(len(u), upper, dtype=u.dtype)
    v = []
    for _ in range(rounds):
        c = b.softmax(1)
        v = [squashed(sum(c[i, j] * votes[i][j] for i in range(len(u)))) for j in range(upper)]
        b = b + torch.stack(
            [torch.stack([votes[i][j] @ v[j] for j in range(upper)]) for i in range(len(u))]
        )
    return torch.stack(v)


@pytest.mark.parametrize("rounds", [1, 3])
def test_it_computes_what_the_paper_says(rounds):
    net = made(size=(19, 20), width=0.03, num_classes=3, routing=rounds).double()
    x = normal(2, 1, 19, 20)
    s = net.state_dict()
    maps = F.conv2d(
        F.relu(F.conv2d(x, s["conv1.weight"], s["conv1.bias"])),
        s["primary.weight"],
        s["primary.bias"],
        stride=2,
    )
    with torch.no_grad():
        ours = net.capsules(x)
        for item, own in zip(maps, ours, strict=True):
            # Capsule (type, y, x) is the eight channels of its type there.
            cells = item.reshape(-1, 8, 2, 2).permute(0, 2, 3, 1).reshape(-1, 8)
            u = torch.stack([squashed(cell) for cell in cells])
            plain = routed(u, s["digits.weight"], upper=3, rounds=rounds)
            torch.testing.assert_close(own, plain)
        torch.testing.assert_close(net(x), ours.norm(dim=2))


def test_squashing_keeps_directions_and_bounds_lengths():
    s = torch.tensor([[3.0, 4.0], [0.0, 0.0], [300.0, -400.0]], requires_grad=True)
    v = squash(s)
    torch.testing.assert_close(v[0], torch.tensor([0.6, 0.8]) * 25 / 26)
    assert v[2].norm() < 1
    v.sum().backward()
    assert s.grad is not None
    assert s.grad.isfinite().all()


def test_the_margin_loss_is_equation_4():
    lengths = torch.tensor([[0.95, 0.3, 0.05], [0.2, 0.5, 0.1]])
    # First: the right one is long enough, 0.3 is 0.2 too long. Second: 0.4 is missing, 0.1 too much.
    by_hand = (0.5 * 0.2**2 + (0.4**2 + 0.5 * 0.1**2)) / 2
    assert margin_loss(lengths, torch.tensor([0, 1])).item() == pytest.approx(by_hand)


def test_the_objective_adds_the_error_of_the_picture_of_the_right_capsule():
    net = made(width=0.03).double()
    x, target = 2 + 5 * normal(3, 1, 28, 28), torch.tensor([1, 9, 4])
    answer, loss = net.objective(x, target, F.cross_entropy)
    capsules = net.capsules(x)
    torch.testing.assert_close(answer, net(x))
    masked = torch.zeros(3, 10, 16, dtype=torch.float64)
    masked[range(3), target] = capsules[range(3), target]
    assert net.decoder is not None
    drawn = net.decoder(masked.flatten(1))
    wanted = ((x - x.min()) / (x.max() - x.min())).flatten(1)
    error = ((drawn - wanted) ** 2).sum() / 3
    torch.testing.assert_close(loss, margin_loss(answer, target) + 0.0005 * error)


def test_pictures_come_back_from_the_longest_capsule_or_the_one_asked_for():
    net = made(width=0.03, in_channels=2, num_classes=4)
    capsules = torch.zeros(1, 4, 16)
    capsules[0, 1, 0], capsules[0, 2, 0] = 0.9, 0.5
    drawn = net.reconstruct(capsules)
    assert drawn.shape == (1, 2, 28, 28)
    assert ((drawn > 0) & (drawn < 1)).all()
    assert torch.equal(drawn, net.reconstruct(capsules, torch.tensor([1])))
    assert not torch.equal(drawn, net.reconstruct(capsules, torch.tensor([2])))
    with pytest.raises(ArgumentError) as error:
        made(width=0.03, decoder=False).reconstruct(capsules)
    assert str(error.value) == "this net draws no pictures: it was built with decoder=False"


def test_intensities_undo_a_normalisation():
    x = torch.rand(4, 2, 5, 5, generator=torch.Generator())
    x[0, :, 0, 0], x[1, :, 0, 0] = 0, 1
    torch.testing.assert_close(intensities((x - 0.13) / 0.31), x)
    assert intensities(torch.full((1, 1, 2, 2), 3.0)).abs().max() == 0


def test_a_new_head_draws_too():
    net = made(width=0.03)
    net.reset_head(4)
    assert net.reconstruct(net.capsules(torch.rand(2, 1, 28, 28))).shape == (2, 1, 28, 28)


def test_more_routing_sharpens_the_couplings():
    once, often = made(width=0.1, routing=1), made(width=0.1, routing=6)
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator())
    with torch.no_grad():
        spread = [net(x).std(1).mean() for net in (once, often)]
    assert spread[1] > spread[0]


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"size": (28, 16)},
            ShapeError,
            (
                "capsnet: two convolutions of 9x9 need pictures of at least 17x17; got 28x16; "
                "enlarge them with size=28"
            ),
        ),
        ({"routing": [2, 3]}, ArgumentError, "capsnet: routing takes one number, got [2, 3]"),
    ],
)
def test_a_mistake_is_one_line(settings, kind, message):
    with pytest.raises(kind) as error:
        build("capsnet", **settings)
    assert str(error.value) == message
