"""A few numbers of every layer while a net trains: how large its output is, how much of it is dead."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.probe.watching import tensors


@dataclass(frozen=True)
class Scale:
    """One layer's output over a batch, as tensors that nobody has waited for yet.

    Attributes:
        size: root of the mean square; no finite number where a value is none.
        dead: share of its channels (axis 1) that are zero everywhere in the batch, or too small to be squared.
    """

    size: Tensor
    dead: Tensor


def leaves(net: nn.Module) -> list[str]:
    """Paths of the layers that hold no others."""
    return [path for path, module in net.named_modules() if path and not any(module.children())]


@contextmanager
def scales(net: nn.Module, paths: list[str] | None = None) -> Generator[dict[str, Scale]]:
    """Fill a table by path, in the order of the calls, while the block runs; hooks are gone afterwards.

    The net computes what it computes without. Of a layer that runs several times the last call counts.

    Args:
        net: any net.
        paths: of the layers; all `leaves` if not given.
    """
    modules = dict(net.named_modules())
    found: dict[str, Scale] = {}
    with ExitStack() as hooks:
        for path in leaves(net) if paths is None else paths:
            handle = modules[path].register_forward_hook(_measuring(found, path))
            hooks.callback(handle.remove)
        yield found


def _measuring(found: dict[str, Scale], path: str) -> Callable[..., None]:
    def measure(_module: nn.Module, _inputs: object, output: object) -> None:
        given = tensors(output)
        if given and given[-1].is_floating_point() and given[-1].ndim > 1:
            with torch.no_grad():
                found[path] = _scale(given[-1].detach())

    return measure


def _scale(output: Tensor) -> Scale:
    others = [axis for axis in range(output.ndim) if axis != 1]
    wide = torch.promote_types(output.dtype, torch.float32)
    channels = torch.linalg.vector_norm(output, dim=others, dtype=wide)
    size = torch.linalg.vector_norm(channels) / max(1, output.numel()) ** 0.5
    return Scale(size, (channels == 0).float().mean())
