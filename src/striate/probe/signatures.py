"""Arguments of any torch function by name, whether they were given by position or by name, in any order.

The names come from the function itself where it is written in Python, else from PyTorch's own schema of it.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch

from striate.probe.calls import Value

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
