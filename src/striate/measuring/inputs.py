"""What a net is fed with while it is measured: shapes without a batch axis, such as 3x224x224, and what else it takes."""

import inspect
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from numbers import Integral, Number
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.probe import Inputs
from striate.text import times

# A shape, as numbers, as text or that of a tensor; or by name, in lists and dictionaries, beside numbers and text.
Shape = Sequence[int] | Tensor | str
Given = Shape | Sequence[Any] | Mapping[str, Any]
INTEGERS = {"int": "int64", "long": "int64", "half": "float16", "double": "float64"}


def read_shape(text: str) -> tuple[int, ...]:
    """A shape as the command line takes it.

    >>> read_shape("3x224x224")
    (3, 224, 224)

    Raises:
        ShapeError: anything but whole numbers from 1 up with x between them.
    """
    parts = text.strip().lower().split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ShapeError(
            f"an input is written like 3x224x224 (channels, height, width); got {text!r}"
        )
    return tuple(int(part) for part in parts)


def read_input(text: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """One input as the command line takes it: a shape, and before it a type if it is no real number.

    >>> read_input("bool:1x8x8").shape, read_input("int:5").dtype
    (torch.Size([1, 1, 8, 8]), torch.int64)

    Raises:
        ShapeError: no shape stands there, or before it no type of PyTorch.
    """
    kind, colon, sides = text.strip().rpartition(":")
    named = dtype if kind in ("", "float") else getattr(torch, INTEGERS.get(kind, kind), None)
    if not isinstance(named, torch.dtype):
        raise ShapeError(
            f"{text!r}: {kind!r} is no type; write int, bool or float before the shape, such as int:1 or bool:1x224x224"
        )
    return _template((), named) if colon and not sides else _template(read_shape(sides), named)


def read_argument(text: str, dtype: torch.dtype = torch.float32) -> object:
    """One argument as the command line takes it: an input, or what is no tensor.

    >>> read_argument("number:0.5"), read_argument("text:fast"), read_argument("none:")
    (0.5, 'fast', None)
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "none":
        return None
    if colon and kind == "text":
        return rest
    if colon and kind == "number":
        try:
            return int(rest) if rest.lstrip("-").isdecimal() else float(rest)
        except ValueError:
            raise ShapeError(f"{text!r}: {rest!r} is no number") from None
    return read_input(text, dtype)


def templates(net: nn.Module, shape: Given | None) -> Inputs:
    """What the net is called with: a meta tensor for each shape, batch of 1 added, of the type of its first weight.

    Raises:
        ArgumentError: no shape was given and the net does not know its own, or what was given is none.
        ShapeError: a shape with a side below 1.
    """
    given: object = getattr(net, "input_shape", None) if shape is None else shape
    if given is None:
        raise ArgumentError(
            "the net does not say what it reads; give the shape of one input without its batch axis, "
            "such as measure(net, (3, 224, 224))"
        )
    floating = (p.dtype for p in net.parameters() if p.is_floating_point())
    dtype = next(floating, torch.float32)
    names = _names(net)
    if isinstance(given, str):
        return Inputs((read_input(given, dtype),))
    if isinstance(given, Mapping):
        return _by_name(cast("Mapping[str, object]", given), names, dtype)
    if isinstance(given, Tensor) or _is_shape(given):
        return Inputs((_argument(given, dtype),))
    if not isinstance(given, list | tuple):
        raise ArgumentError(
            f"got {type(given).__name__} for a shape; give numbers such as (3, 224, 224), a list with one for each "
            "input, or a dictionary of inputs by name"
        )
    items = list(cast("Sequence[object]", given))
    if all(isinstance(item, Number) for item in items):
        raise ShapeError(f"the sides of an input are whole numbers; got {tuple(items)}")
    last = items[-1] if items else None
    if isinstance(last, Mapping) and last and set(cast("Mapping[str, object]", last)) <= set(names):
        named = _by_name(cast("Mapping[str, object]", items.pop()), names, dtype)
        return Inputs(tuple(_argument(item, dtype) for item in items), named.kwargs)
    return Inputs(tuple(_argument(item, dtype) for item in items))


def _names(net: nn.Module) -> Sequence[str]:
    try:
        known = inspect.signature(net.forward).parameters.values()
    except (TypeError, ValueError):  # scripted or built in
        return ()
    return [p.name for p in known if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _by_name(given: Mapping[str, object], names: Sequence[str], dtype: torch.dtype) -> Inputs:
    """Inputs by name; a dictionary that the net takes as one argument, if it knows none of the names."""
    arguments = {str(key): _argument(item, dtype) for key, item in given.items()}
    if names and not set(names) & set(arguments):
        return Inputs((arguments,))
    wrong = next((key for key in arguments if names and key not in names), None)
    if wrong is not None:
        raise ArgumentError(f"forward has no argument {wrong!r}; {nearest(wrong, names)}")
    return Inputs((), arguments)


def _is_shape(given: object) -> bool:
    if not isinstance(given, list | tuple):
        return False
    items = cast("Sequence[object]", given)
    return all(
        isinstance(item, Integral) and item is not True and item is not False for item in items
    )


def _argument(given: object, dtype: torch.dtype) -> object:
    if isinstance(given, str):
        # What looks like a shape and is none is a slip, and no word that the net takes.
        shaped = re.fullmatch(r"(\w+:)?[\dx*,. ]*|(number|text|none):.*", given.strip().lower())
        return read_argument(given, dtype) if shaped and given.strip() else given
    if isinstance(given, Mapping):
        items = cast("Mapping[object, object]", given).items()
        return {key: _argument(item, dtype) for key, item in items}
    if isinstance(given, Tensor) or _is_shape(given):
        return _template(cast("Sequence[int] | Tensor", given), dtype)
    if isinstance(given, list | tuple):
        # Of a list of tensors nobody knows whether items come first, as not in lists of pictures: they stay as they are.
        return [
            torch.empty_like(item, device="meta")
            if isinstance(item, Tensor)
            else _argument(item, dtype)
            for item in cast("Sequence[object]", given)
        ]
    if isinstance(given, AbstractSet):
        raise ArgumentError(f"got {given} for an input; a set has no order: give a list")
    return given


def _template(shape: Sequence[int] | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(shape, Tensor):
        sides = (1, *shape.shape[1:]) if shape.ndim else ()
        return torch.empty(sides, dtype=shape.dtype, device="meta")
    if any(side < 1 for side in shape):
        raise ShapeError(f"every side of an input is at least 1; got {times(shape)}")
    return torch.empty((1, *shape), dtype=dtype, device="meta")
