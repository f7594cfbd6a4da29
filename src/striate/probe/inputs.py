"""What a net is called with: arguments by position and by name, tensors alone or in lists and dictionaries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from striate.probe.watching import tensors


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call of a net; plain numbers, strings and None stand for themselves."""

    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor among them, in order."""
        return tensors([self.args, self.kwargs])

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Inputs":
        """The same with every tensor changed."""
        return Inputs(
            tuple(_mapped(arg, change) for arg in self.args),
            {key: _mapped(arg, change) for key, arg in self.kwargs.items()},
        )

    def call(self, net: nn.Module) -> object:
        """What the net gives."""
        return net(*self.args, **self.kwargs)


def as_inputs(given: Inputs | Sequence[Tensor]) -> Inputs:
    """One tensor an argument, unless more is said."""
    return given if isinstance(given, Inputs) else Inputs(tuple(given))


def _mapped(given: object, change: Callable[[Tensor], Tensor]) -> object:
    if isinstance(given, Tensor):
        return change(given)
    if isinstance(given, Mapping):
        return {
            key: _mapped(item, change)
            for key, item in cast("Mapping[object, object]", given).items()
        }
    if isinstance(given, list | tuple):
        items = [_mapped(item, change) for item in cast("Sequence[object]", given)]
        return items if isinstance(given, list) else tuple(items)
    return given
