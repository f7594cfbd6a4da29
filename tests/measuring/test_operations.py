"""The one table: an operation has one entry, PyTorch's own marks serve for those that have none."""

from itertools import combinations

import pytest
import torch
from torch import nn

from striate.measuring import measure
from striate.measuring.fields import Field
from striate.measuring.operations import OPERATIONS, operation
from striate.measuring.operations.moves import MOVES
from striate.measuring.operations.pointwise import POINTWISE
from striate.measuring.operations.products import PRODUCTS
from striate.measuring.operations.windows import WINDOWS


class Does(nn.Module):
    def __init__(self, do):
        super().__init__()
        self.conv, self.do = nn.Conv2d(1, 2, 3), do

    def forward(self, x):
        return self.do(self.conv(x))


def test_no_operation_has_two_entries():
    families = [POINTWISE, MOVES, WINDOWS, PRODUCTS]
    assert [set(a) & set(b) for a, b in combinations(families, 2)] == [set()] * 6
    assert len(OPERATIONS) == sum(map(len, families))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_entry_stands_for_an_operation_that_exists(name):
    homes = (torch, torch.Tensor, torch.nn.functional, torch.ops.aten, torch.fft, torch.linalg)
    spelled = (
        name,
        f"__{name}__",
        name.removeprefix("linalg_"),
        name.replace("fft_", ""),
        f"_VF_{name}",
    )
    known = any(hasattr(home, one) for home in homes for one in spelled)
    assert known or name in {"overwritten", "flex_attention"}  # the tracer's own word; a module's


@pytest.mark.parametrize(
    "do", [torch.erfinv, torch.sinc, torch.atanh, lambda x: x.logit(0.1), lambda x: x.erfinv_()],
    ids=["erfinv", "sinc", "atanh", "logit", "in place"],
)  # fmt: skip
def test_what_pytorch_marks_as_pointwise_needs_no_entry(do):
    assert "erfinv" not in OPERATIONS
    sheet = measure(Does(do), (1, 6, 6))
    assert (sheet.counts.uncounted, sheet.findings) == ((), ())
    assert sheet.field == Field((3, 3), (1, 1), (0, 0))


def test_what_pytorch_marks_as_a_reduction_needs_no_entry():
    assert not {"nansum", "var_mean", "logsumexp"} & set(OPERATIONS)
    for do in (torch.nansum, lambda x: torch.var_mean(x, dim=3)[0], lambda x: x.logsumexp((2, 3))):
        sheet = measure(Does(do), (1, 6, 6))
        assert (sheet.counts.uncounted, sheet.findings, sheet.unread.count) == ((), (), 0)
    rows = measure(Does(lambda x: x.logsumexp(3)[:, :, :1]), (1, 6, 6))
    assert rows.unread.lines == ((3, 4, 5), ())


def test_a_function_nobody_knows_is_neither_free_nor_followed():
    sheet = measure(Does(lambda x: torch.histc(x, 4)), (1, 6, 6))
    assert sheet.counts.uncounted == ("histc",)
    assert (sheet.field, sheet.unread.count) == (None, None)


@pytest.mark.parametrize(
    ("name", "as_name"),
    [
        ("relu_", "relu"),
        ("add_", "add"),
        ("max_pool2d_with_indices", "max_pool2d"),
        ("erfinv_", "erfinv"),
    ],
)
def test_other_spellings_are_the_same_operation(name, as_name):
    assert operation(name) is operation(as_name)


def test_a_larger_of_two_tensors_is_no_reduction():
    sheet = measure(Does(lambda x: torch.max(x, -x)), (1, 6, 6))
    assert sheet.field == Field((3, 3), (1, 1), (0, 0))


def test_gradients_stop_where_numbers_do():
    """By type where it is no real number, by entry where it is."""

    class Cut(nn.Module):
        def __init__(self, do):
            super().__init__()
            self.a, self.b, self.do = nn.Linear(4, 4), nn.Linear(4, 4), do

        def forward(self, x):
            return self.b(x) * self.do(self.a(x))

    for do in (
        torch.round,
        torch.sign,
        lambda y: (y > 0).float(),
        lambda y: y.detach(),
        torch.zeros_like,
    ):
        (finding,) = measure(Cut(do), (4,)).findings
        assert (finding.kind, finding.path) == ("gradient", "a")
    assert measure(Cut(torch.tanh), (4,)).findings == ()
