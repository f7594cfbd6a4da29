"""What is measured of training on this machine: the memory that a forward pass keeps, the time of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate import plan as plans
from striate.errors import UsageError
from striate.probe import copied, saved_bytes, tensors

STEPS = 200  # of a training for whose sake the plan is chosen


class _Flat(nn.Module):
    """A net whose outputs are one row of numbers an item, so that it has a loss whatever it gives."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] to [B, numbers]."""
        found = [t.flatten(1) for t in tensors(self.net(x)) if t.is_floating_point()]
        return torch.cat(found, 1)


def _learn(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    outputs = net(x)
    return outputs, (outputs.float() - y[:, None]).square().mean()


def _batch(like: Sequence[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(t.shape, generator=generator).to(t.dtype)
        if t.is_floating_point()
        else torch.zeros(t.shape, dtype=t.dtype)
        for t in like
    ]


def memory(net: nn.Module, like: Sequence[Tensor], device: str) -> int:
    """Bytes that one forward pass in training mode keeps: counted on the CPU, the peak above the weights on CUDA."""
    if not device.startswith("cuda"):
        return saved_bytes(net, _batch(like), device="cpu")
    twin = copied(net, device).train()
    fed = [t.to(device) for t in _batch(like)]
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    outputs = [t for t in tensors(twin(*fed)) if t.requires_grad]
    sum(t.float().sum() for t in outputs).backward()  # pyright: ignore[reportAttributeAccessIssue]
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def plan(net: nn.Module, like: Sequence[Tensor], device: str) -> plans.Plan:
    """The fastest plan of a training step, with its time.

    Raises:
        UsageError: the net has several inputs.
    """
    if len(like) != 1:
        raise UsageError(f"a step of a net with {len(like)} inputs is not timed; drop --time")
    x = _batch(like)[0]
    target = torch.zeros(len(x))
    twin = _Flat(copied(net, "cpu"))
    return plans.choose(twin, x, target, _learn, device=device, steps=STEPS)
