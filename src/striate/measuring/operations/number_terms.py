"""How one number came about: its terms, the bound of their rounding, and rules that fit any function.

Every rule reads the very tensors that PyTorch read and computes the number again in float64.

u is the unit roundoff of a type (2^-24 for float32). A sum of n products, added in any order, fused or
not, differs from the true one by at most gamma(n) times the sum of their magnitudes, gamma(n) = n u / (1 - n u):
Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, eq. (3.5).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor

from striate.measuring.operations.arguments import tensor
from striate.probe import Call, Recording, Value, tensors

Mark = Literal["", "padding", "gap", "taken"]


@dataclass(frozen=True)
class Place:
    """Where a number stands: a tensor of the recording, and its coordinates there, batch axis included."""

    value: Value
    at: tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One number that went in.

    Attributes:
        input: the number read; what stands for it where nothing is (0, or -inf under a maximum).
        factor: what it was multiplied by.
        source: where it stands; None for padding and for numbers that are no tensor's.
        by: where the factor stands, if it depends on the input of the net too.
        channel: input channel, for windows.
        tap: cell of the kernel, for windows.
        mark: "padding" is outside the input, "gap" between the inputs that a transposed convolution
            spreads, "taken" the one that a maximum chose.
    """

    input: float
    factor: float = 1.0
    source: Place | None = None
    by: Place | None = None
    channel: int | None = None
    tap: tuple[int, ...] = ()
    mark: Mark = ""

    @property
    def product(self) -> float:
        """What it adds; exact in float64 where both are float32."""
        return self.input * self.factor if self.factor and self.input else 0.0


@dataclass(frozen=True)
class Arithmetic:
    """One number computed again.

    Attributes:
        kind: what was done, such as "convolution".
        rule: how, in words.
        terms: what went in.
        exact: the result in float64.
        bound: how far rounding may take PyTorch's number from it; None if no bound is known.
        facts: other numbers of the rule by name, such as a bias or a divisor.
        kernel: cells of the window an axis, for windows.
        dilation: steps between them, an axis.
        main: the term that the number follows, where that is not the one of the largest product.
    """

    kind: str
    rule: str
    terms: tuple[Term, ...]
    exact: float
    bound: float | None
    facts: Mapping[str, float] = field(default_factory=dict[str, float])
    kernel: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    main: int | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a recording and the place in its output that is asked about."""

    recording: Recording
    index: int
    place: Place

    @property
    def call(self) -> Call:
        """The call."""
        return self.recording.calls[self.index]

    @property
    def at(self) -> tuple[int, ...]:
        """Coordinates in its output."""
        return self.place.at

    @property
    def unit(self) -> float:
        """U of the type that it gave."""
        dtype = self.place.value.dtype
        return torch.finfo(dtype).eps / 2 if dtype.is_floating_point else 0.0

    def numbers(self, value: Value) -> Tensor:
        """What a tensor held."""
        return self.recording.numbers[value.index]

    def value(self, name: str) -> Value | None:
        """A tensor argument; None if it is none."""
        found = self.call.arg(name)
        return found if isinstance(found, Value) else None

    def tensor(self, name: str) -> Value:
        """A tensor argument that has to be one (see `tensor`)."""
        return tensor(self.call, name)


def gamma(n: int, unit: float) -> float:
    """The relative rounding error that n operations may add up to."""
    return n * unit / (1 - n * unit) if n * unit < 1 else math.inf


def summed(terms: Sequence[Term], unit: float, extra: Sequence[float] = ()) -> tuple[float, float]:
    """The sum of products and further numbers, correctly rounded to float64, and its bound.

    Products that underflow may each be off by the smallest normal number besides.
    """
    products = [*(term.product for term in terms), *extra]
    least = float(torch.finfo(torch.float32).tiny) if unit else 0.0
    bound = gamma(len(products), unit) * math.fsum(map(abs, products)) + len(products) * least
    return total(products), bound


def total(numbers: Iterable[float]) -> float:
    """The sum, correctly rounded; where some are infinite or no numbers what the plain sum gives, as inf - inf has no exact one."""
    listed = list(numbers)
    return math.fsum(listed) if all(map(math.isfinite, listed)) else sum(listed)


def moved(step: Step) -> Arithmetic | None:
    """A number that came from elsewhere unchanged, or from padding: found by moving numbered cells.

    The function runs again, twice, on tensors whose cells hold their own number, counted over all of them:
    a number that moved differs between the two by as much as the numbering does, one that was written in
    by the function does not.
    """
    values = [value for value in dict.fromkeys(step.call.inputs) if value.dtype.is_floating_point]
    count = sum(value.count for value in values)
    first, second = (
        float(_again(step, _numbered(values, start))[step.at]) for start in (1, 1 + count)
    )
    number = float(step.numbers(step.place.value)[step.at])
    if second - first != count:
        term = Term(number, mark="padding")
        return Arithmetic("moved", "padding", (term,), number, 0.0)
    found = int(first) - 1
    for value in values:
        if found < value.count:
            return unchanged(step, Place(value, _unravel(found, value.shape)))
        found -= value.count
    return None


def stayed(step: Step) -> Arithmetic | None:
    """A number that stands where it stood, unless a dropout draws which."""
    source = step.call.inputs[0]
    if (
        step.call.arg("training", "dropout" in step.call.op)
        or source.shape != step.place.value.shape
    ):
        return moved(step)
    return unchanged(step, Place(source, step.at))


def in_order(step: Step) -> Arithmetic | None:
    """A number of a tensor that was given another shape: cells keep their order, so their count tells which it was."""
    source = step.call.inputs[0]
    if source.count != step.place.value.count or source.dtype != step.place.value.dtype:
        return moved(step)
    flat = 0
    for i, side in zip(step.at, step.place.value.shape, strict=True):
        flat = flat * side + i
    return unchanged(step, Place(source, _unravel(flat, source.shape)))


def unchanged(step: Step, place: Place) -> Arithmetic:
    """A number that is the one at another place."""
    term = Term(float(step.numbers(place.value)[place.at]), 1.0, place)
    return Arithmetic("moved", "a number from elsewhere, unchanged", (term,), term.input, 0.0)


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


def exact_pointwise(step: Step) -> Arithmetic | None:
    """A function of one number that does not round, such as relu."""
    found = pointwise(step)
    return found and replace(found, bound=0.0)


def pointwise(step: Step) -> Arithmetic | None:
    """A function of one number, such as an activation, computed again in float64."""
    source = step.call.inputs[0]
    if source.shape != step.place.value.shape:
        return None
    x = float(step.numbers(source)[step.at])
    alone = len(step.call.inputs) == 1  # then the cell is enough, however large the tensor is
    cell, at = (slice(i, i + 1) for i in step.at), step.at
    wide = {value: step.numbers(value).double() for value in step.call.inputs if not alone}
    if alone:
        wide, at = {source: step.numbers(source)[tuple(cell)].double()}, (0,) * len(step.at)
    exact = float(_again(step, wide)[at])
    # Eight units in the last place of the larger of both numbers: the functions are correct to
    # about one, formulas such as GELU's add a few roundings.
    bound = 8 * step.unit * max(abs(x), abs(exact))
    term = Term(x, 1.0, Place(source, step.at))
    return Arithmetic(
        "activation", f"{step.call.op.rstrip('_')} of one number", (term,), exact, bound
    )


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
    added = total(term.product for term in terms)
    sizes = total(abs(term.product) for term in terms)
    if abs(added - exact) > 1e-12 * sizes:
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


def floats(tensor: Tensor) -> list[float]:
    """The numbers of one axis."""
    numbers: list[float] = tensor.double().tolist()
    return numbers
