"""num_classes=0 and reset_head(0): the answer is what the last layer would have read."""

from typing import Any

import pytest
import torch
from torch import nn

from striate.errors import ArgumentError
from striate.models.catalog import CATALOG, build

# The first of every family, and those whose last layer is something of its own.
FIRST = {row.family: name for name, row in reversed(CATALOG.items()) if "classify" in row.tasks}
CLASSIFIERS = sorted({*FIRST.values(), "bn_nin", "lenet5_1998"})


def small(name: str, **settings: Any):
    form = CATALOG[name].small
    given: dict[str, Any] = {"size": form.size, "width": form.width, **settings}
    return build(name, generator=torch.Generator().manual_seed(0), **given).eval()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_without_a_head_a_net_gives_what_it_would_have_read(name):
    if name == "capsnet":
        with pytest.raises(
            ArgumentError, match=r"^num_classes=0: .* take net\.features\(x\) instead$"
        ):
            small(name, num_classes=0)
        return
    whole, bare = small(name), small(name, num_classes=0)
    x = torch.rand((2, *whole.input_shape), generator=torch.Generator().manual_seed(1))
    read: list[torch.Tensor] = []
    head = whole.get_submodule(whole.head)
    head.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with torch.no_grad():
        whole(x)
        answer = bare(x)
        whole.reset_head(0)
        again = whole(x)
    assert answer.shape[:2] == read[0].shape[:2]
    assert torch.equal(answer, again)
    if isinstance(head, nn.Linear):
        assert torch.equal(answer, read[0])
    heads = tuple(f"{path}." for path in (bare.head, *bare.auxiliary_heads))
    assert not [path for path in bare.state_dict() if path.startswith(heads)]


@pytest.mark.parametrize("name", ["unet_same", "cdbn", "stgcn"])
def test_only_a_classifier_is_built_without_a_head(name):
    with pytest.raises(ArgumentError, match=rf"^{name}: num_classes must be at least 1, got 0$"):
        build(name, num_classes=0)


def test_a_head_that_was_left_out_is_not_made_again():
    net = small("lenet5", num_classes=0)
    with pytest.raises(
        ArgumentError, match=r"^the head was left out; build the net with the classes"
    ):
        net.reset_head(3)
