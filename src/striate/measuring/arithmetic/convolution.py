"""One number of a convolution, forward or transposed, of any number of axes. d dilation, p padding, s stride.

Output cell y reads input cell y s - p + k d through kernel cell k; a transposed convolution reads input
cell i where i s - p + k d = y, so some kernel cells meet no input at all.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from torch import Tensor

from striate.measuring.arithmetic.parts import Arithmetic, Mark, Place, Step, Term, summed
from striate.probe import Value

Where = Callable[[Sequence[int]], tuple[tuple[int, ...], Mark]]


def convolution(step: Step) -> Arithmetic:
    """conv1d, conv2d, conv3d; grouped, depthwise, dilated, padded by number or by word."""
    source, weight = step.tensor("input", 0), step.tensor("weight", 1)
    kernel = weight.shape[2:]
    axes = len(kernel)
    stride, dilation = step.ints("stride", 3, axes, 1), step.ints("dilation", 5, axes, 1)
    before = _before(step, kernel, dilation)
    out = step.at[-axes - 1]
    per_group = weight.shape[1]
    group = out // (weight.shape[0] // step.ints("groups", 6, 1, 1)[0])
    size = source.shape[-axes:]

    def where(tap: Sequence[int]) -> tuple[tuple[int, ...], Mark]:
        cells = tuple(
            y * s - p + k * d
            for y, s, p, k, d in zip(step.at[-axes:], stride, before, tap, dilation, strict=True)
        )
        inside = all(0 <= cell < n for cell, n in zip(cells, size, strict=True))
        return cells, "" if inside else "padding"

    channels = range(group * per_group, (group + 1) * per_group)
    factors = step.numbers(weight)[out]
    terms = tuple(_terms(step, source, channels, factors, where))
    return _result(step, "convolution", terms, kernel, dilation)


def transposed(step: Step) -> Arithmetic:
    """conv_transpose1d, 2d and 3d."""
    source, weight = step.tensor("input", 0), step.tensor("weight", 1)
    kernel = weight.shape[2:]
    axes = len(kernel)
    stride, padding = step.ints("stride", 3, axes, 1), step.ints("padding", 4, axes, 0)
    dilation = step.ints("dilation", 7, axes, 1)
    groups = step.ints("groups", 6, 1, 1)[0]
    out = step.at[-axes - 1]
    group, column = divmod(out, weight.shape[1])
    per_group = weight.shape[0] // groups
    size = source.shape[-axes:]

    def where(tap: Sequence[int]) -> tuple[tuple[int, ...], Mark]:
        spread = [
            y + p - k * d
            for y, p, k, d in zip(step.at[-axes:], padding, tap, dilation, strict=True)
        ]
        cells = tuple(cell // s for cell, s in zip(spread, stride, strict=True))
        if any(not 0 <= cell < n for cell, n in zip(cells, size, strict=True)):
            return cells, "padding"
        between = any(cell % s for cell, s in zip(spread, stride, strict=True))
        return cells, "gap" if between else ""

    channels = range(group * per_group, (group + 1) * per_group)
    factors = step.numbers(weight)[channels.start : channels.stop, column]
    terms = tuple(_terms(step, source, channels, factors, where))
    return _result(step, "transposed convolution", terms, kernel, dilation)


def _before(step: Step, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    padding = step.call.arg("padding", 4)
    if padding == "same":
        return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    if padding == "valid":
        return (0,) * len(kernel)
    return step.ints("padding", 4, len(kernel), 0)


def _terms(
    step: Step, source: Value, channels: range, factors_CK: Tensor, where: Where
) -> Iterator[Term]:
    lead = step.at[: -factors_CK.ndim]
    numbers = step.numbers(source)[lead].double()
    taps = list(product(*map(range, factors_CK.shape[1:])))
    placed = [where(tap) for tap in taps]
    factors = factors_CK.double().flatten(1).tolist()
    for row, channel in enumerate(channels):
        plane = numbers[channel]
        for tap, (cells, mark), factor in zip(taps, placed, factors[row], strict=True):
            if mark:
                yield Term(0.0, factor, channel=channel, tap=tap, mark=mark)
            else:
                at = Place(source, (*lead, channel, *cells))
                yield Term(float(plane[cells]), factor, at, channel=channel, tap=tap)


def _result(
    step: Step, kind: str, terms: tuple[Term, ...], kernel: Sequence[int], dilation: Sequence[int]
) -> Arithmetic:
    bias = step.value("bias", 2)
    facts = {"bias": float(step.numbers(bias)[step.at[-len(kernel) - 1]])} if bias else {}
    exact, bound = summed(terms, step.unit, list(facts.values()))
    rule = f"the sum of {len(terms):,} products" + (" and a bias" if facts else "")
    return Arithmetic(kind, rule, terms, exact, bound, facts, tuple(kernel), tuple(dilation))
