"""The neocognitron: the paper's sizes, its equations cell by cell, one step of learning, and its experiment."""

import csv
import math
from collections import Counter
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from sklearn.datasets import load_digits
from torch import Tensor

import striate
from striate.errors import ArgumentError, ShapeError, UsageError
from striate.models.catalog import build
from striate.models.neocognitron import STAGES, CLayer, Neocognitron, SLayer, Stage

DIGITS = """\
................ ................ ................ ................ ................
................ ................ ................ ................ ................
................ ................ ................ ................ ................
......####...... .......#........ .....#####...... .....#####...... .........#......
.....#....#..... ......##........ ....#.....#..... ....#.....#..... ........##......
....#......#.... .......#........ ...........#.... ...........#.... .......#.#......
....#......#.... .......#........ ...........#.... ...........#.... ......#..#......
....#......#.... .......#........ ..........#..... .......###...... .....#...#......
....#......#.... .......#........ ........##...... ..........#..... ....#....#......
....#......#.... .......#........ ......##........ ...........#.... ....########....
....#......#.... .......#........ .....#.......... ...........#.... .........#......
.....#....#..... .......#........ ....#........... ....#.....#..... .........#......
......####...... .......#........ ....########.... .....#####...... .........#......
................ ................ ................ ................ ................
................ ................ ................ ................ ................
................ ................ ................ ................ ................"""


def made(seed: int = 0, **settings) -> Neocognitron:
    net = build("neocognitron", generator=torch.Generator().manual_seed(seed), **settings)
    assert isinstance(net, Neocognitron)
    return net


def digits() -> Tensor:
    """0 to 4 [5, 1, 16, 16], as dots of 1 on 0."""
    rows = [line.split() for line in DIGITS.split("\n")]
    dots = [[[float(dot == "#") for dot in row[digit]] for row in rows] for digit in range(5)]
    return torch.tensor(dots)[:, None]


def shifted(pictures: Tensor, down: int, right: int) -> Tensor:
    return pictures.roll((down, right), (2, 3))


def presentations(*, times: int, shift: int) -> Tensor:
    """Every digit several times, each time somewhere else."""
    generator = torch.Generator().manual_seed(7)
    moves = torch.randint(-shift, shift + 1, (times, 2), generator=generator).tolist()
    return torch.cat([shifted(digits(), *move) for move in moves])


SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]


def told_apart(net: Neocognitron, variants: list[Tensor]) -> float:
    """Share of pictures whose strongest last cell belongs to their digit: to no other digit more often."""
    with torch.no_grad():
        answers = torch.stack([net(five) for five in variants])
    best, cells = answers.max(2)
    seen = Counter((c, d) for row in cells.tolist() for d, c in enumerate(row))
    owner = {c: max(range(5), key=lambda d, c=c: seen[c, d]) for c, _ in seen}
    right = [[owner[c] == d for d, c in enumerate(row)] for row in cells.tolist()]
    return (torch.tensor(right) & (best > 0)).float().mean().item()


@pytest.mark.parametrize("seed", range(4))
def test_the_digits_come_apart_wherever_they_stand(seed):
    net = made(seed)
    variants = [shifted(digits(), *move) for move in SHIFTS]
    assert told_apart(net, variants) < 0.7
    net.fit(presentations(times=20, shift=2), generator=torch.Generator(), passes=1)
    assert told_apart(net, variants) >= 0.98
    with torch.no_grad():
        cells = net(digits()).argmax(1)
    assert len(set(cells.tolist())) == 5


def test_learned_in_one_place_they_are_known_in_others():
    net = made(2).fit(digits(), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = net(digits())
        cells = answers.argmax(1)
        # As in the paper: one cell a digit, and no other digit moves it as much.
        assert answers[:, cells].argmax(0).tolist() == list(range(5))
        moved = torch.stack([net(shifted(digits(), *move)).argmax(1) for move in SHIFTS])
    assert (moved == cells).float().mean() >= 0.9


def test_a_dot_more_or_less_changes_little():
    net = made().fit(presentations(times=20, shift=2), generator=torch.Generator(), passes=1)
    generator = torch.Generator().manual_seed(3)
    flips = [(torch.rand(5, 1, 16, 16, generator=generator) < 0.01).float() for _ in range(20)]
    assert told_apart(net, [(digits() - flip).abs() for flip in flips]) >= 0.9


def test_the_layers_are_those_of_section_5(shared):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "Neocognitron 1980"]
    net, x = made(), torch.rand(1, 1, 16, 16, generator=torch.Generator())
    sizes = {"U0": "1@16x16"}
    for i, (s, c) in enumerate(((net.s1, net.c1), (net.s2, net.c2), (net.s3, net.c3)), 1):
        for kind, layer in (("S", s), ("C", c)):
            x = layer(x)
            sizes[f"U{kind}{i}"] = f"{x.shape[1]}@{x.shape[2]}x{x.shape[3]}"
    assert sizes == {row["layer"]: f"{row['maps']}@{row['output_size']}" for row in rows}
    # Kernels and one inhibition a plane; the V-cells' and C-cells' weights are fixed.
    assert sum(p.numel() for p in net.parameters()) == 24 * 26 + 2 * 24 * (24 * 25 + 1)
    excited = 256 * 24 * 25 + 64 * 24 * 600 + 4 * 24 * 600
    inhibited = 256 * 25 + 64 * 600 + 4 * 600
    blurred = 24 * (100 * 25 + 36 * 25 + 4)
    assert striate.measure("neocognitron").totals.macs == excited + inhibited + blurred


def read(x: Tensor, plane: int, row: int, column: int) -> float:
    inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
    return x[0, plane, row, column].item() if inside else 0.0


def test_an_s_cell_is_equation_1():
    generator = torch.Generator().manual_seed(1)
    layer = SLayer(2, 3, Stage(1.5, 16.0, 1)).double()
    layer.weight.uniform_(0, 1, generator=generator)
    layer.inhibition.uniform_(0, 2, generator=generator)
    x = torch.rand(1, 2, 8, 8, dtype=torch.float64, generator=generator)
    ours = layer(x)[0]
    near = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    total = 2 * sum(0.9 ** math.hypot(i, j) for i, j in near)
    for k, n, m in [(0, 0, 0), (1, 2, 5), (2, 5, 3)]:
        excited = square = 0.0
        for plane in range(2):
            for i, j in near:
                u = read(x, plane, n + 1 + i, m + 1 + j)
                excited += layer.weight[k, plane, i + 2, j + 2].item() * u
                square += 0.9 ** math.hypot(i, j) / total * u * u
        held = 2 * 1.5 / 2.5 * layer.inhibition[k].item() * math.sqrt(square)
        by_hand = 1.5 * max(0.0, (1 + excited) / (1 + held) - 1)
        assert ours[k, n, m].item() == pytest.approx(by_hand)


def test_a_c_cell_is_equations_4_to_6():
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator())
    ours = CLayer((5, 5), thinned=True).double()(x)[0]
    assert ours.shape == (3, 6, 6)
    near = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    for n, m in [(0, 0), (1, 4), (5, 2)]:
        # Every second cell, the first of them two before the first S-cell.
        reads = [
            sum(0.9 ** math.hypot(i, j) * read(x, k, 2 * n - 2 + i, 2 * m - 2 + j) for i, j in near)
            for k in range(3)
        ]
        for k in range(3):
            y = max(0.0, (1 + reads[k]) / (1 + sum(reads) / 3) - 1)
            assert ours[k, n, m].item() == pytest.approx(y / (0.5 + y))


def test_a_representative_learns_what_it_sees_and_takes_its_plane_along():
    layer = SLayer(1, 2, Stage(4.0, 1.0, 2))
    layer.weight.zero_()
    layer.weight[0] = 0.001
    layer.weight[1] = 0.0005
    layer.inhibition.zero_()
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 4:7, 8] = 1
    x[0, 0, 5, 8] = 2
    before = layer.weight.clone()
    layer.learn(x)
    # The first of the equally strong cells of plane 0 stands for it; plane 1 is weaker everywhere.
    grown = layer.weight[0, 0] - before[0, 0]
    assert torch.equal(layer.weight[1], before[1])
    assert layer.inhibition[1] == 0
    fall = layer.fall[0, 0]
    row, column = (grown / fall).round().amax(1).argmax().item(), grown.amax(0).argmax().item()
    seen = torch.zeros(5, 5)
    seen[int(row) - 1 : int(row) + 2, int(column)] = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(grown, fall * seen)
    present = (fall * seen.square()).sum().sqrt()
    torch.testing.assert_close(layer.inhibition[0], present / 2)


def test_learning_repeats_and_is_kept():
    pictures = presentations(times=4, shift=1)
    before = torch.get_rng_state()
    nets = [made(5).fit(pictures, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    blank = made(6)
    blank.load_state_dict(load(save(nets[0].state_dict())))
    answers = [net(digits()) for net in (*nets, blank)]
    assert answers[0].max() > 0
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_selectivity_is_the_cosine_at_which_a_cell_falls_silent():
    # sec. 2: a cell that has learned much answers where the cosine is above r / (1 + r).
    layer = SLayer(1, 1, STAGES[0])
    fall = layer.fall[0, 0]
    learned, other = torch.zeros(5, 5), torch.zeros(5, 5)
    learned[2, :] = 1
    layer.weight[0, 0] = 1e6 * fall * learned
    layer.inhibition[0] = 0.5e6 * (fall * learned).sum().sqrt()
    for share, answers in ((0.75, True), (1.1, False)):
        other[0, :] = learned[2, :] * share * ((fall[2] / fall[0]).sum() / 5).sqrt()
        seen = learned + other
        cosine = (fall * seen * learned).sum() / (
            (fall * seen**2).sum() * (fall * learned).sum()
        ).sqrt()
        assert (cosine.item() > 0.8) == answers
        x = torch.zeros(1, 1, 5, 5)
        x[0, 0] = seen
        assert (layer(x)[0, 0, 2, 2].item() > 1e-3) == answers


def test_it_cannot_be_trained_with_labels():
    with pytest.raises(UsageError) as error:
        made().objective(digits(), torch.arange(5), torch.nn.functional.cross_entropy)
    assert str(error.value) == (
        "Neocognitron learns without labels and has no loss to descend; "
        "striate train DATA --net teaches it, and in Python net.fit(pictures, generator=torch.Generator())"
    )


def test_a_picture_too_small_is_one_line():
    with pytest.raises(ShapeError) as error:
        build("neocognitron", size=(16, 11))
    assert str(error.value) == (
        "neocognitron: its last S-layer needs pictures of at least 12x12; got 16x11; "
        "enlarge them with size=16"
    )
    assert made(size=(12, 19))(torch.rand(2, 1, 12, 19)).shape == (2, 24)


def embedded(*, enlarged: bool) -> tuple[Tensor, Tensor]:
    """60 of the digits that come with scikit-learn at 16x16: laid on a larger ground, or enlarged."""
    found: Any = load_digits()
    small = torch.tensor(found.images[:60] / 16, dtype=torch.float32)[:, None]
    if enlarged:
        return torch.nn.functional.interpolate(small, (16, 16), mode="bilinear"), torch.tensor(
            found.target[:60]
        )
    return torch.nn.functional.pad(small, (4, 4, 4, 4)), torch.tensor(found.target[:60])


def test_handwritten_digits_move_different_planes():
    x, y = embedded(enlarged=False)
    net = made().fit(x, generator=torch.Generator().manual_seed(0), passes=2)
    with torch.no_grad():
        best, planes = net(x).max(1)
    assert (best > 0).all()
    counts = Counter(planes.tolist())
    assert len(counts) >= 10
    assert max(counts.values()) <= 30
    owner = {c: Counter(y[planes == c].tolist()).most_common(1)[0][0] for c in counts}
    assert sum(owner[c] == d for c, d in zip(planes.tolist(), y.tolist(), strict=True)) >= 36


def test_strokes_as_wide_as_what_a_cell_reads_are_said_to_teach_nothing():
    x, _ = embedded(enlarged=True)
    with pytest.raises(
        ArgumentError, match=r"1 of 24 planes of the first stage learned from 60: a cell reads 5x5"
    ):
        made().fit(x, generator=torch.Generator().manual_seed(0), passes=1)
