"""Which layer runs: for the message of an error that does not say where it was raised."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from torch import nn

from striate.probe.watching import tensors


@dataclass
class Running:
    """The layer that runs now, or ran last: its path, and its kind."""

    layers: list[tuple[str, str]] = field(default_factory=lambda: [("", "")])

    @property
    def path(self) -> str:
        """Path of the layer; "" is the net itself."""
        return self.layers[-1][0]

    @property
    def kind(self) -> str:
        """Name of its class."""
        return self.layers[-1][1]


@contextmanager
def running(net: nn.Module) -> Generator[Running]:
    """Know at any time which layer of a net runs, forward or backward; hooks are gone afterwards.

    Backward it is the layer whose output had its gradient last, so code between two layers counts as the later
    of the two.
    """
    at = Running([("", type(net).__name__)])
    with ExitStack() as hooks:
        for path, module in net.named_modules():
            layer = (path, type(module).__name__)
            hooks.callback(module.register_forward_pre_hook(_enter(at, layer)).remove)
            hooks.callback(module.register_forward_hook(_leave(at, layer)).remove)
        yield at


def _enter(at: Running, layer: tuple[str, str]) -> Callable[..., None]:
    def enter(_module: nn.Module, _inputs: object) -> None:
        at.layers.append(layer)

    return enter


def _leave(at: Running, layer: tuple[str, str]) -> Callable[..., None]:
    def here(_gradients: object) -> None:
        at.layers.append(layer)

    def leave(_module: nn.Module, _inputs: object, output: object) -> None:
        del at.layers[-1]
        for tensor in tensors(output):
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(here)

    return leave
