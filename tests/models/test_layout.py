"""No net turns its maps back: in channels_last, a step of training makes no map of another layout.

A map whose layout changes is copied, there or in the next kernel, where nobody sees it.
"""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.models.catalog import CATALOG, build

TRAINED = [name for name, row in CATALOG.items() if row.tasks != ("unsupervised",)]

# file of the family -> operation -> why it may change the layout.
FLAT = {
    "clone": "the first linear layer reads maps channel by channel, as weights trained elsewhere do"
}
ALLOWED: dict[str, dict[str, str]] = {
    "linear": {"clone": "the picture itself becomes one vector, channel by channel"},
    **dict.fromkeys(("lenet", "alexnet", "vgg", "yolo", "capsnet", "highway"), FLAT),
    "mcdnn": {**FLAT, "tanh_backward": "after it, a step of few numbers"},
    "lenet_1998": {**FLAT, "tanh_backward": "after it, a step of few numbers"},
    "nin": {"permute": "a view: the largest of five maps is taken along an axis of its own"},
    "enet": dict.fromkeys(
        ("add", "_prelu_kernel_backward"), "PyTorch unpools with channels outermost"
    ),
}


def is_map(value: object) -> bool:
    """Whether a tensor has maps whose layout matters: more than one of more than one pixel."""
    return (
        isinstance(value, torch.Tensor)
        and value.ndim == 4
        and value.shape[1] > 1
        and value.shape[2] * value.shape[3] > 1
    )


class Turned(TorchDispatchMode):
    """Counts the operations that read a map with its channels innermost and write one that has them outermost."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        result = func(*args, **(kwargs or {}))
        read = [t for t in tree_leaves((args, kwargs)) if is_map(t)]
        written = [t for t in tree_leaves(result) if is_map(t)]
        if any(t.stride(1) == 1 for t in read) and any(t.stride(1) != 1 for t in written):
            self.operations[func.overloadpacket.__name__] += 1
        return result


def turned(net: Any, x: torch.Tensor) -> Counter[str]:
    """The operations that turn a map in one forward and backward pass of a net in channels_last."""
    net = net.to(memory_format=torch.channels_last).train()
    with Turned() as mode:
        net(x.contiguous(memory_format=torch.channels_last)).sum().backward()
    return mode.operations


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("resnet20_cifar", {"shortcut": "padding"}),
    ("densenet100bc_cifar", {"recompute": True}),
]


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in TRAINED), *OPTIONS])
def test_no_map_changes_its_layout(name, options):
    row = CATALOG[name]
    net = build(name, size=row.small.size, width=row.small.width, in_channels=3, **options)
    if len(net.input_shape) != 3 or row.tasks == ("forecast",):
        pytest.skip("no maps of two axes of space")
    x = torch.rand(2, *net.input_shape, generator=torch.Generator().manual_seed(0))
    assert turned(net, x).keys() <= ALLOWED.get(row.file, {}).keys()


class Turning(torch.nn.Module):
    """Flattens its maps, channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.fc = torch.nn.Linear(36, 2)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))


def test_a_net_that_turns_its_maps_is_seen():
    found = turned(Turning(), torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)))
    assert found == {"clone": 1}
