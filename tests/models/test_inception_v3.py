"""Inception v3 against the paper: sizes of table 1, a plain functional reading, counts by hand, names of weights."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import build, entry

POOLED = {"5b": 32, "5c": 64, "5d": 64}  # filters of the fourth branch, 35x35
SEVENS = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}  # of the inner 7s, 17x17

# Inputs, filters, kernel cells, and cells of the maps of every convolution, written from figs. 5 to 7 and 10.
STEM = [
    (3, 32, 9, 149**2),
    (32, 32, 9, 147**2),
    (32, 64, 9, 147**2),
    (64, 80, 1, 73**2),
    (80, 192, 9, 71**2),
]


def convolutions():
    found = list(STEM)
    cells, n = 35**2, 192
    for pool in POOLED.values():
        found += [(n, 64, 1, cells), (n, 48, 1, cells), (48, 64, 25, cells)]
        found += [(n, 64, 1, cells), (64, 96, 9, cells), (96, 96, 9, cells), (n, pool, 1, cells)]
        n = 64 + 64 + 96 + pool
    found += [(n, 64, 1, cells), (64, 96, 9, cells)]
    cells = 17**2
    found += [(n, 384, 9, cells), (96, 96, 9, cells)]
    n = 384 + 96 + n
    for c in SEVENS.values():
        found += [(n, 192, 1, cells), (n, c, 1, cells), (c, c, 7, cells), (c, 192, 7, cells)]
        found += [(n, c, 1, cells), *[(c, c, 7, cells)] * 3, (c, 192, 7, cells), (n, 192, 1, cells)]
        n = 4 * 192
    found += [*[(n, 192, 1, cells)] * 2, *[(192, 192, 7, cells)] * 2]
    cells = 8**2
    found += [(192, 320, 9, cells), (192, 192, 9, cells)]
    n = 320 + 192 + n
    for _ in range(2):
        found += [(n, 320, 1, cells), (n, 384, 1, cells), *[(384, 384, 3, cells)] * 2]
        found += [(n, 448, 1, cells), (448, 384, 9, cells), *[(384, 384, 3, cells)] * 2]
        found += [(n, 192, 1, cells)]
        n = 320 + 2 * 384 + 2 * 384 + 192
    return found


def bare(**settings) -> Any:
    with torch.device("meta"):
        return build("inception_v3", init=False, **settings)


def test_counted_by_hand():
    weights = sum(n * maps * kernel for n, maps, kernel, _ in convolutions())
    norms = sum(2 * maps for _, maps, _, _ in convolutions())
    row = entry("inception_v3")
    assert row.params == weights + norms + 2048 * 1000 + 1000
    assert row.macs == sum(n * m * k * cells for n, m, k, cells in convolutions()) + 2048 * 1000
    head = 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000
    assert row.params_train == row.params + head


def test_the_sizes_of_table_1():
    # What each of its rows reads; the table's 3x3 with 80 filters is a 1x1 in the net whose weights people have.
    table = {
        "Conv2d_1a_3x3": (32, 149),
        "Conv2d_2a_3x3": (32, 147),
        "Conv2d_2b_3x3": (64, 147),
        "maxpool1": (64, 73),
        "maxpool2": (192, 35),
        "Mixed_5d": (288, 35),
        "Mixed_6e": (768, 17),
        "Mixed_7a": (1280, 8),
        "Mixed_7c": (2048, 8),
    }
    net = bare().eval()
    maps = net.maps(torch.empty(1, 3, 299, 299, device="meta"), net.chain)
    assert {name: tuple(maps[name].shape[1:3]) for name in table} == table


def names():
    """Torchvision's, written from its convention."""
    blocks = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
    inner = {
        "5": ["1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "_pool"],
        "6": ["1x1", *(f"7x7_{i}" for i in (1, 2, 3)), *(f"7x7dbl_{i}" for i in range(1, 6))],
        "7": ["1x1", "3x3_1", "3x3_2a", "3x3_2b", *(f"3x3dbl_{i}" for i in ("1", "2", "3a", "3b"))],
    }
    inner["6"] += ["_pool"]
    inner["7"] += ["_pool"]
    for name in (*POOLED, *SEVENS, "7b", "7c"):
        blocks += [f"Mixed_{name}.branch{branch}" for branch in inner[name[0]]]
    blocks += [f"Mixed_6a.branch{b}" for b in ("3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3")]
    blocks += [f"Mixed_7a.branch{b}" for b in ("3x3_1", "3x3_2")]
    blocks += [f"Mixed_7a.branch7x7x3_{i}" for i in range(1, 5)]
    blocks += ["AuxLogits.conv0", "AuxLogits.conv1"]
    state = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    found = {f"{block}.conv.weight" for block in blocks}
    found |= {f"{block}.bn.{part}" for block in blocks for part in state}
    return found | {f"{fc}.{part}" for fc in ("fc", "AuxLogits.fc") for part in ("weight", "bias")}


def test_weights_have_the_names_of_torchvision():
    assert set(bare().state_dict()) == names()
    without = {name for name in names() if not name.startswith("AuxLogits")}
    assert set(bare(auxiliary=False).state_dict()) == without


def reference(s, x, *, as_printed):
    """By plain calls: the answer and that of the auxiliary classifier; means come before their 1x1 here."""

    def block(x, name, stride=1, padding=None):
        w = s[f"{name}.conv.weight"]
        padding = tuple(k // 2 for k in w.shape[2:]) if padding is None else padding
        bn = [s[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(F.conv2d(x, w, None, stride, padding), *bn, eps=1e-3))

    def row(x, *names, stride=1):
        for name in names[:-1]:
            x = block(x, name)
        return block(x, names[-1], stride, 0 if stride == 2 else None)

    def mean(x, name):
        return block(F.avg_pool2d(x, 3, 1, 1), name)

    x = block(x, "Conv2d_1a_3x3", 2, 0)
    x = block(block(x, "Conv2d_2a_3x3", 1, 0), "Conv2d_2b_3x3")
    x = block(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1")
    x = F.max_pool2d(block(x, "Conv2d_4a_3x3", 1, 0), 3, 2)
    for name in POOLED:
        b = f"Mixed_{name}.branch"
        five = row(x, f"{b}5x5_1", f"{b}5x5_2")
        double = row(x, *(f"{b}3x3dbl_{i}" for i in (1, 2, 3)))
        x = torch.cat([block(x, f"{b}1x1"), five, double, mean(x, f"{b}_pool")], 1)
    b = "Mixed_6a.branch"
    three = row(x, f"{b}3x3", stride=2)
    double = row(x, *(f"{b}3x3dbl_{i}" for i in (1, 2, 3)), stride=2)
    x = torch.cat([three, double, F.max_pool2d(x, 3, 2)], 1)
    for name in SEVENS:
        b = f"Mixed_{name}.branch"
        seven = row(x, *(f"{b}7x7_{i}" for i in (1, 2, 3)))
        double = row(x, *(f"{b}7x7dbl_{i}" for i in range(1, 6)))
        x = torch.cat([block(x, f"{b}1x1"), seven, double, mean(x, f"{b}_pool")], 1)
    y = F.avg_pool2d(x, 5, 3) if as_printed else F.adaptive_avg_pool2d(x, 5)
    y = block(block(y, "AuxLogits.conv0"), "AuxLogits.conv1", 1, 0).mean((2, 3))
    y = F.linear(y, s["AuxLogits.fc.weight"], s["AuxLogits.fc.bias"])
    b = "Mixed_7a.branch"
    three = row(x, f"{b}3x3_1", f"{b}3x3_2", stride=2)
    seven = row(x, *(f"{b}7x7x3_{i}" for i in range(1, 5)), stride=2)
    x = torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)
    for name in ("7b", "7c"):
        b = f"Mixed_{name}.branch"
        three = block(x, f"{b}3x3_1")
        double = row(x, f"{b}3x3dbl_1", f"{b}3x3dbl_2")
        ends = [block(three, f"{b}3x3_2{i}") for i in "ab"]
        ends += [block(double, f"{b}3x3dbl_3{i}") for i in "ab"]
        x = torch.cat([block(x, f"{b}1x1"), *ends, mean(x, f"{b}_pool")], 1)
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"]), y


@pytest.mark.parametrize(("size", "as_printed"), [((299, 299), True), ((97, 132), False)])
def test_it_computes_what_the_paper_says(size, as_printed):
    generator = torch.Generator().manual_seed(2)
    settings: dict[str, Any] = {"size": size, "width": 1 / 16, "num_classes": 5}
    net = build("inception_v3", generator=generator, **settings).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    target = torch.tensor([1, 4])
    with torch.no_grad():
        answer, head = reference(net.state_dict(), x, as_printed=as_printed)
        torch.testing.assert_close(net(x), answer)
        net.training = True  # the net alone: its dropout and normalisation stay in evaluation
        ours, value = net.objective(x, target, F.cross_entropy)
    torch.testing.assert_close(ours, answer)
    losses = [F.cross_entropy(each, target) for each in (answer, head)]
    torch.testing.assert_close(value, losses[0] + 0.4 * losses[1])


def test_the_auxiliary_classifier_pools_as_printed_from_299_up():
    for size, plain in ((299, True), (298, False), (400, True)):
        pool = bare(size=size).AuxLogits.pool
        assert isinstance(pool, torch.nn.AvgPool2d) is plain, size


def test_first_weights_are_those_of_the_authors_code():
    net = build("inception_v3", width=0.5, generator=torch.Generator().manual_seed(0))
    spreads = {"AuxLogits.conv1.conv.weight": 0.01, "AuxLogits.fc.weight": 0.001}
    for path, parameter in net.named_parameters():
        if parameter.ndim > 1:
            spread = spreads.get(path, 0.1)
            assert abs(parameter.std().item() / spread - 1) < 0.1, path


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    side = 1  # backwards from Mixed_7a: 3x3 windows, two apart or one
    for stride in (2, 2, 2, 1, 2, 1, 2):
        side = (side - 1) * stride + 3
    assert side == 75
    net = build("inception_v3", size=75, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build("inception_v3", size=(74, 299))
    assert str(error.value) == (
        "inception_v3: Mixed_7a needs pictures of at least 75x75; got 74x299; enlarge them with size=75"
    )
