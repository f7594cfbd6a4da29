"""What a trace is made of: values, the calls that made them, and the run they belong to. No net is touched here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch

from striate.probe.inputs import Inputs


@dataclass(frozen=True)
class Value:
    """A tensor as one call saw it.

    Attributes:
        index: its number; the output of one call and the input of another are the same value
            where the numbers agree, and an in-place function gives its tensor a new one.
        shape: its shape, batch axis included.
        dtype: its type.
        live: whether it depends on an input of the net; else it is made of weights and constants.
        params: the parameters it is, or is made of, if it is not live.
    """

    index: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    live: bool
    params: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class Call:
    """One call of a torch function, tensors replaced by values.

    Attributes:
        path: the module that called it; "" is the net itself.
        module: the type of that module.
        op: name of the function, such as conv2d, add or relu_.
        args: positional arguments.
        kwargs: arguments by name.
        outputs: the tensors it gave; empty if it failed.
        written: bytes of those outputs that share no memory with an input.
        flops: what torch.utils.flop_counter counted meanwhile (two a multiply-add).
        bound: all arguments by name, in the order of the function's signature (see `signatures`).
    """

    path: str
    module: str
    op: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    outputs: tuple[Value, ...] = ()
    written: int = 0
    flops: int = 0
    bound: Mapping[str, object] = field(default_factory=dict[str, object])

    @cached_property
    def inputs(self) -> list[Value]:
        """Every tensor it was given, in the order of the signature, however it was given."""
        return values(tuple(self.bound.values()) or (*self.args, *self.kwargs.values()))

    @property
    def live(self) -> bool:
        """Whether it depends on an input of the net."""
        return any(value.live for value in self.inputs)

    @property
    def params(self) -> tuple[str, ...]:
        """The parameters it reads, directly or through functions of parameters alone."""
        return tuple(dict.fromkeys(name for value in self.inputs for name in value.params))

    def arg(self, name: str, default: object = None) -> object:
        """One argument by the name it has in the signature; "input" is the tensor that the function works on."""
        return self.bound.get(name, default)


@dataclass(frozen=True)
class Trace:
    """One run of a net: its calls in order, and where it stopped if it did.

    `device` is "meta", where shapes are computed without numbers, or "cpu" for a net that needs numbers;
    `entered` holds the paths of the modules that ran, `fed` what the net was called with; `unseen` names a kind of
    output that could not be followed, such as "numpy.ndarray"; `needs_numbers` says that shapes alone do not lead as far.
    """

    device: str
    inputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Value, ...]
    flops: int
    entered: frozenset[str] = frozenset()
    fed: Inputs = field(default_factory=Inputs)
    unseen: str = ""
    needs_numbers: bool = False
    failed: Call | None = None
    error: Exception | None = None


def values(value: object) -> list[Value]:
    """Every value in nested lists, tuples and mappings, in order."""
    if isinstance(value, Value):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [v for item in value for v in values(item)] if isinstance(value, list | tuple) else []
