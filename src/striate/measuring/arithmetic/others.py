"""Functions without a rule of their own: those that only move numbers, act on single ones, or are smooth."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from striate.measuring.arithmetic.parts import Arithmetic, Place, Step, Term, gamma
from striate.probe import Value, tensors


def moved(step: Step) -> Arithmetic | None:
    """A number that came from elsewhere unchanged, or from padding: found by moving numbered cells.

    The function runs again, twice, on tensors whose cells hold their own number, counted over all of them:
    a number that moved differs between the two by as much as the numbering does, one that was written in
    by the function does not.
    """
    values = [value for value in dict.fromkeys(step.call.inputs) if value.dtype.is_floating_point]
    total = sum(value.count for value in values)
    first, second = (
        float(_again(step, _numbered(values, start))[step.at]) for start in (1, 1 + total)
    )
    number = float(step.numbers(step.place.value)[step.at])
    if second - first != total:
        term = Term(number, mark="padding")
        return Arithmetic("moved", "padding", (term,), number, 0.0)
    found = int(first) - 1
    for value in values:
        if found < value.count:
            place = Place(value, _unravel(found, value.shape))
            term = Term(float(step.numbers(value)[place.at]), 1.0, place)
            rule = "a number from elsewhere, unchanged"
            return Arithmetic("moved", rule, (term,), term.input, 0.0)
        found -= value.count
    return None


def _numbered(values: Sequence[Value], start: int) -> dict[Value, Tensor]:
    cells: dict[Value, Tensor] = {}
    for value in values:
        numbers = torch.arange(start, start + value.count, dtype=torch.float64)
        cells[value] = numbers.view(value.shape)
        start += value.count
    return cells


def _unravel(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    at: list[int] = []
    for side in reversed(shape):
        index, rest = divmod(index, side)
        at.append(rest)
    return tuple(reversed(at))


def pointwise(step: Step) -> Arithmetic | None:
    """A function of one number, such as an activation, computed again in float64."""
    source = step.call.inputs[0]
    if source.shape != step.place.value.shape:
        return None
    x = float(step.numbers(source)[step.at])
    wide = {value: step.numbers(value).double() for value in step.call.inputs}
    exact = float(_again(step, wide)[step.at])
    # Eight units in the last place of the larger of both numbers: the functions are correct to
    # about one, formulas such as GELU's add a few roundings.
    straight = step.call.op.rstrip("_") in STRAIGHT
    bound = 0.0 if straight else 8 * step.unit * max(abs(x), abs(exact))
    term = Term(x, 1.0, Place(source, step.at))
    return Arithmetic(
        "activation", f"{step.call.op.rstrip('_')} of one number", (term,), exact, bound
    )


STRAIGHT = frozenset({"relu", "relu6", "hardtanh", "clamp", "clip", "abs", "neg", "threshold"})


def smooth(step: Step) -> Arithmetic | None:
    """Any other function: what it reads by its gradient, computed again in float64.

    A function that is linear in what it reads is shown as the sum it is; of others the factors are the
    derivatives at this point, and no bound of the rounding is known.
    """
    if not step.place.value.dtype.is_floating_point:
        return None
    wide = {
        value: step.numbers(value).double().requires_grad_(value.live)
        for value in step.call.inputs
        if value.dtype.is_floating_point
    }
    try:
        with torch.enable_grad():
            out = _again(step, wide)[step.at]
        live = [value for value in wide if value.live]
        # torch declares that each is a tensor; one that is not used has none.
        slopes = cast(
            "tuple[Tensor | None, ...]",
            torch.autograd.grad(out, [wide[value] for value in live], allow_unused=True),
        )
    except (RuntimeError, TypeError, NotImplementedError):
        return None  # no gradient, or none in float64
    terms = tuple(
        term
        for value, slope in zip(live, slopes, strict=True)
        if slope is not None
        for term in _sloped(step, value, slope)
    )
    exact = float(out.detach())
    total = math.fsum(term.product for term in terms)
    sizes = math.fsum(abs(term.product) for term in terms)
    if abs(total - exact) > 1e-12 * sizes:
        rule = f"{step.call.op} of {len(terms):,} numbers; factors are its derivatives there"
        return Arithmetic("function", rule, terms, exact, None)
    bound = gamma(len(terms) + 8, step.unit) * sizes
    rule = f"the weighted sum of {len(terms):,} numbers"
    return Arithmetic("weighted sum", rule, terms, exact, bound)


def unknown(step: Step) -> Arithmetic:
    """A function that none of these explains: its number as it is."""
    number = float(step.numbers(step.place.value)[step.at])
    return Arithmetic("unknown", f"how {step.call.op} computes is not known here", (), number, None)


def _sloped(step: Step, value: Value, slope: Tensor) -> list[Term]:
    numbers = step.numbers(value).double()
    places: list[list[int]] = slope.nonzero().tolist()
    return [
        Term(float(numbers[tuple(at)]), float(slope[tuple(at)]), Place(value, tuple(at)))
        for at in places
    ]


def _again(step: Step, replaced: Mapping[Value, Tensor]) -> Tensor:
    """What the call gives on other tensors; those not named stand as they were."""

    def filled(given: object) -> Any:
        if isinstance(given, Value):
            found = replaced.get(given)
            # In-place functions may not write into what is kept.
            return step.numbers(given).clone() if found is None else found.clone()
        return [filled(item) for item in given] if isinstance(given, list) else given

    function: Callable[..., object] = step.recording.functions[step.index]
    args = [filled(arg) for arg in step.call.args]
    kwargs = {key: filled(arg) for key, arg in step.call.kwargs.items()}
    result = function(*args, **kwargs)
    given = tensors(args[:1] if step.call.op == "setitem" else result)
    return given[step.call.outputs.index(step.place.value)]
