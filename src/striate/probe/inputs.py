"""What a net is called with and what it gives: tensors alone, or within lists, mappings and objects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn


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
            tuple(mapped(arg, change) for arg in self.args),
            {key: mapped(arg, change) for key, arg in self.kwargs.items()},
        )

    def call(self, net: nn.Module) -> object:
        """What the net gives."""
        return net(*self.args, **self.kwargs)


def as_inputs(given: Inputs | Sequence[Tensor]) -> Inputs:
    """One tensor an argument, unless more is said."""
    return given if isinstance(given, Inputs) else Inputs(tuple(given))


def mapped(given: object, change: Callable[[Tensor], Tensor]) -> object:
    """Nested lists, tuples and mappings with every tensor changed."""
    if isinstance(given, Tensor):
        return change(given)
    if isinstance(given, Mapping):
        return {
            key: mapped(item, change)
            for key, item in cast("Mapping[object, object]", given).items()
        }
    if isinstance(given, list | tuple):
        items = [mapped(item, change) for item in cast("Sequence[object]", given)]
        return items if isinstance(given, list) else tuple(items)
    return given


def tensors_within(value: object, depth: int = 12) -> list[Tensor]:
    """As `tensors`, and in data classes, sets and the attributes of any other object, such as a distribution."""
    if depth == 0 or isinstance(value, str | bytes | nn.Module | type) or callable(value):
        return []
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        parts = list(cast("Mapping[object, object]", value).values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(cast("Iterable[object]", value))
    else:
        slots = [name for name in getattr(value, "__slots__", ()) if hasattr(value, name)]
        parts = [*getattr(value, "__dict__", {}).values(), *(getattr(value, n) for n in slots)]
    found = [tensor for part in parts for tensor in tensors_within(part, depth - 1)]
    return list({id(tensor): tensor for tensor in found}.values())


def tensors(value: object) -> list[Tensor]:
    """Every tensor in nested lists, tuples and mappings, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for item in value for t in tensors(item)] if isinstance(value, list | tuple) else []


def first_non_tensor(value: object) -> object | None:
    """The first number or array in nested lists, tuples and mappings that is no tensor, and may come from one."""
    if isinstance(value, Mapping):
        value = list(cast("Mapping[object, object]", value).values())
    if isinstance(value, list | tuple):
        items = (first_non_tensor(item) for item in cast("Iterable[object]", value))
        return next((item for item in items if item is not None), None)
    return None if value is None or isinstance(value, Tensor | str | bool) else value
