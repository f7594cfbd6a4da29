"""What the arithmetic of one number is made of: places, terms, and the bound of their rounding.

u is the unit roundoff of a type (2^-24 for float32). A sum of n products, added in any order, fused or
not, differs from the true one by at most gamma(n) times the sum of their magnitudes, gamma(n) = n u / (1 - n u):
Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, eq. (3.5).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from striate.probe import Call, Recording, Value

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

    def value(self, name: str, position: int) -> Value | None:
        """A tensor argument; None if it is none."""
        found = self.call.arg(name, position)
        return found if isinstance(found, Value) else None

    def tensor(self, name: str, position: int) -> Value:
        """A tensor argument that has to be one.

        Raises:
            TypeError: it is none.
        """
        found = self.value(name, position)
        if found is None:
            raise TypeError(f"{self.call.op}: {name} is no tensor")
        return found

    def ints(self, name: str, position: int, axes: int, default: int) -> tuple[int, ...]:
        """An argument that is one integer or one an axis."""
        given = self.call.arg(name, position)
        if given is None or given == []:
            return (default,) * axes
        if isinstance(given, int):
            return (given,) * axes
        if isinstance(given, Sequence) and all(isinstance(n, int) for n in given):
            sides = tuple(int(n) for n in given)  # pyright: ignore[reportArgumentType] - just seen
            return sides * axes if len(sides) == 1 else sides
        raise TypeError(f"{self.call.op}: {name} is {given!r}, expected integers")

    def flag(self, name: str, position: int, *, default: bool = False) -> bool:
        """An argument that is true or false."""
        return bool(self.call.arg(name, position, default))


def gamma(n: int, unit: float) -> float:
    """The relative rounding error that n operations may add up to."""
    return n * unit / (1 - n * unit) if n * unit < 1 else math.inf


def summed(terms: Sequence[Term], unit: float, extra: Sequence[float] = ()) -> tuple[float, float]:
    """The sum of products and further numbers, correctly rounded to float64, and its bound.

    Products that underflow may each be off by the smallest normal number besides.
    """
    products = [*(term.product for term in terms), *extra]
    total = math.fsum(products) if all(map(math.isfinite, products)) else sum(products)
    least = float(torch.finfo(torch.float32).tiny) if unit else 0.0
    bound = gamma(len(products), unit) * math.fsum(map(abs, products)) + len(products) * least
    return total, bound
