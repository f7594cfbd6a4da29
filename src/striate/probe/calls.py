"""What a trace is made of: values, the calls that made them, and the run they belong to. No net is touched here."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import cast

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
    output that could not be followed, such as "numpy.ndarray"; `needs_numbers` says that shapes alone do not lead as far;
    `returned` is what each module gave back, by path, one entry a call of the module.
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
    returned: Mapping[str, Sequence[tuple[Value, ...]]] = field(
        default_factory=dict[str, Sequence[tuple[Value, ...]]], repr=False
    )


def values(value: object) -> list[Value]:
    """Every value in nested lists, tuples and mappings, in order."""
    if isinstance(value, Value):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [v for item in value for v in values(item)] if isinstance(value, list | tuple) else []


# What PyTorch calls the tensor that a function works on, in one place or another; and its NumPy spellings.
FIRST = ("self", "tensor", "a", "x")
SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "x1": "input", "x2": "other", "b": "other"} | dict.fromkeys(
    FIRST, "input"
)  # fmt: skip
LATER = {"axis": "dim", "b": "other", "self": "input"}
# Operators and what stands between brackets have no schema.
BRACKETS = {"getitem": ("input", "index"), "setitem": ("input", "index", "value")}
OPERANDS = ("input", "other")

# Names of the positional parameters, and of them the one that takes all further arguments as a list.
Signature = tuple[tuple[str, ...], str | None]


def bind(
    func: object, op: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Every argument under its name, in the order of the signature; `args` and `kwargs` hold values for tensors.

    The tensor that a function works on is called "input", an axis "dim". Arguments beyond the known ones get their
    number for a name.
    """
    names, rest = _signature(func, op, tuple(map(_kind, args)), frozenset(kwargs))
    given = list(args)
    if rest is not None and (at := names.index(rest)) < len(given):
        tail = given[at:]
        given[at:] = tail if len(tail) == 1 and isinstance(tail[0], list) else [tail]
    bound: dict[str, object] = dict(zip(names, given, strict=False))
    bound.update((str(i), arg) for i, arg in enumerate(given[len(names) :], len(names)))
    if kwargs:
        bound |= {_spelled(key, names): arg for key, arg in kwargs.items()}
        order = [name for name in names if name in bound]
        bound = {
            name: bound[name] for name in (*order, *(key for key in bound if key not in order))
        }
    return bound


def _spelled(key: str, names: Sequence[str]) -> str:
    return key if key in names else SPELLINGS.get(key, key)


def _kind(arg: object) -> str:
    """What tells overloads apart: tensor, list of tensors, text, type, or a number."""
    if isinstance(arg, Value):
        return "Tensor"
    if isinstance(arg, list):
        items = cast("list[object]", arg)
        return "Tensor[]" if items and isinstance(items[0], Value) else "[]"
    if isinstance(arg, str):
        return "str"
    if isinstance(arg, torch.dtype):
        return "dtype"
    if isinstance(arg, bool):
        return "bool"
    return "" if arg is None else "number"


@functools.lru_cache(maxsize=4096)
def _signature(
    func: Callable[..., object], op: str, kinds: tuple[str, ...], keys: frozenset[str]
) -> Signature:
    if op in BRACKETS:
        return BRACKETS[op], None
    code = getattr(inspect.unwrap(func), "__code__", None)
    if code is not None and code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
        return _canonical(code.co_varnames[: code.co_argcount]), None
    packet = getattr(torch.ops.aten, op, None) or getattr(torch.ops.aten, op.rstrip("_"), None)
    if packet is None:
        return OPERANDS, None
    # What an operator declares has no public name: github.com/pytorch/pytorch, issue 65997 and pull request 72729.
    schemas = [getattr(packet, name)._schema for name in packet.overloads()]
    fitting = [schema for schema in schemas if _fits(schema, kinds, keys)]
    schema = min(fitting or schemas, key=lambda each: (_loose(each, kinds), len(each.arguments)))
    positional = [each for each in schema.arguments if not each.kwarg_only]
    names = _canonical(tuple(each.name for each in positional))
    return names, names[-1] if _takes_rest(positional, kinds) else None


def _canonical(names: tuple[str, ...]) -> tuple[str, ...]:
    """The first tensor as "input", and "dim" however it is written."""
    if not names:
        return names
    first = "input" if names[0] in FIRST else names[0]
    return (first, *(LATER.get(name, name) for name in names[1:]))


def _fits(schema: torch.FunctionSchema, kinds: Sequence[str], keys: frozenset[str]) -> bool:
    positional = [each for each in schema.arguments if not each.kwarg_only]
    known = {each.name for each in schema.arguments} | {"input"}
    if any(key not in known and SPELLINGS.get(key) not in known for key in keys):
        return False
    if any(each.name in keys for each in positional[: len(kinds)]):
        return False  # that argument stands there already
    if len(kinds) > len(positional) and not _takes_rest(positional, kinds):
        return False
    return all(map(_matches, kinds, (str(each.type) for each in positional)))


def _matches(kind: str, declared: str) -> bool:
    if kind == "Tensor":
        return "Tensor" in declared
    if kind == "[]" and "List" not in declared:
        return False
    if kind in ("number", "[]"):
        return not any(word in declared for word in ("Tensor", "str", "bool"))
    if kind == "bool":
        return "bool" in declared
    if kind == "dtype":
        return declared in ("int", "Optional[int]")
    return kind == "" or (kind == "str") == ("str" in declared)


def _loose(schema: torch.FunctionSchema, kinds: Sequence[str]) -> int:
    positional = [each for each in schema.arguments if not each.kwarg_only]
    pairs = zip(kinds, positional, strict=False)
    return sum(kind == "number" and "List" in str(each.type) for kind, each in pairs)


def _takes_rest(positional: Sequence[torch.Argument], kinds: Sequence[str]) -> bool:
    """Whether the last parameter is a list that may be written out, as in `x.view(2, 3)`."""
    if len(kinds) < len(positional) or not positional:
        return False
    last = positional[-1]
    listed = str(last.type) in ("List[int]", "List[Tensor]")
    return listed and getattr(last, "N", None) is None  # a list of any length
