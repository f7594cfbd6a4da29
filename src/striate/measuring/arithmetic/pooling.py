"""One number of a pooling: the largest of a window, its average by either convention, its power mean."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from striate.measuring.arithmetic.parts import Arithmetic, Place, Step, Term, gamma, summed
from striate.probe import Value

Windows = list[list[int]]  # the input cells that a window covers, an axis


def maximum(step: Step) -> Arithmetic:
    """max_pool1d, 2d, 3d: padding never wins; the first of equals is taken."""
    axes, kernel, stride, padding = _sizes(step, 1)
    dilation = step.ints("dilation", 4, axes, 1)
    windows = _windows(step.at[-axes:], kernel, stride, padding, dilation)
    return _largest(step, step.tensor("input", 0), windows, kernel, dilation)


def adaptive_maximum(step: Step) -> Arithmetic:
    """adaptive_max_pool1d, 2d, 3d."""
    source = step.tensor("input", 0)
    windows = _adaptive(step, source)
    kernel = tuple(map(len, windows))
    return _largest(step, source, windows, kernel, (1,) * len(kernel))


def average(step: Step) -> Arithmetic:
    """avg_pool1d, 2d, 3d: divided by the cells of the window, with padding or without, or by a given number."""
    axes, kernel, stride, padding = _sizes(step, 1)
    source = step.tensor("input", 0)
    windows = _windows(step.at[-axes:], kernel, stride, padding, (1,) * axes)
    size = source.shape[-axes:]
    given = step.call.arg("divisor_override", 6)
    with_padding = step.flag("count_include_pad", 5, default=True)
    # A last window of ceil mode may reach past the padding; what lies there is never counted.
    limits = [(-p, n + p) if with_padding else (0, n) for p, n in zip(padding, size, strict=True)]
    counted = _count(windows, limits)
    divisor = given if isinstance(given, int) else counted
    terms = tuple(_terms(step, source, windows, 1 / divisor))
    convention = "" if given or not any(padding) else _convention(with_padding=with_padding)
    return _mean(step, terms, divisor, kernel, convention)


def adaptive_average(step: Step) -> Arithmetic:
    """adaptive_avg_pool1d, 2d, 3d: windows from floor(i H / O) to ceil((i + 1) H / O)."""
    source = step.tensor("input", 0)
    windows = _adaptive(step, source)
    kernel = tuple(map(len, windows))
    terms = tuple(_terms(step, source, windows, 1 / math.prod(kernel)))
    return _mean(step, terms, math.prod(kernel), kernel, "")


def power(step: Step) -> Arithmetic:
    """lp_pool1d, 2d, 3d: the p-th root of the sum of p-th powers."""
    axes, kernel, stride, padding = _sizes(step, 2)
    source = step.tensor("input", 0)
    p = float(step.call.arg("norm_type", 1, 2.0))  # pyright: ignore[reportArgumentType]
    windows = _windows(step.at[-axes:], kernel, stride, padding, (1,) * axes)
    inside = _count(windows, [(0, n) for n in source.shape[-axes:]])
    # PyTorch averages the powers and multiplies by the full window, which scales up one that ceil mode cut.
    scale = math.prod(kernel) / inside
    terms = tuple(
        Term(t.input, t.input ** (p - 1) * scale, t.source, None, t.channel, t.tap, t.mark)
        for t in _terms(step, source, windows, 1.0)
    )
    powers, slack = summed(terms, step.unit)
    exact = powers ** (1 / p) if powers > 0 else 0.0
    # The root divides a relative error by p; the powers, the scale and the root round a few times each.
    relative = slack / powers / p + gamma(16, step.unit) if powers > 0 else 0.0
    rule = f"the sum of {len(terms)} powers {p:g}, to the power 1/{p:g}"
    facts = {"p": p, "sum of powers": powers}
    return Arithmetic(
        "power pooling", rule, terms, exact, exact * relative, facts, kernel, (1,) * axes
    )


def _sizes(
    step: Step, position: int
) -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    axes = int(next(letter for letter in step.call.op if letter.isdigit()))
    kernel = step.ints("kernel_size", position, axes, 1)
    given = step.call.arg("stride", position + 1)
    stride = kernel if given in (None, []) else step.ints("stride", position + 1, axes, 1)
    padding = step.ints("padding", 3, axes, 0) if position == 1 else (0,) * axes
    return axes, kernel, stride, padding


def _windows(
    at: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Windows:
    return [
        [y * s - p + k * d for k in range(n)]
        for y, n, s, p, d in zip(at, kernel, stride, padding, dilation, strict=True)
    ]


def _adaptive(step: Step, source: Value) -> Windows:
    axes = int(next(letter for letter in step.call.op if letter.isdigit()))
    sizes = zip(step.at[-axes:], source.shape[-axes:], step.place.value.shape[-axes:], strict=True)
    return [list(range(y * n // m, -(-(y + 1) * n // m))) for y, n, m in sizes]


def _count(windows: Windows, limits: Sequence[tuple[int, int]]) -> int:
    inside = (
        sum(low <= cell < high for cell in cells)
        for cells, (low, high) in zip(windows, limits, strict=True)
    )
    return math.prod(inside)


def _terms(
    step: Step, source: Value, windows: Windows, factor: float, nothing: float = 0.0
) -> Iterator[Term]:
    lead = step.at[: -len(windows)]
    plane = step.numbers(source)[lead].double()
    channel = lead[-1] if lead else None
    for tap in product(*(range(len(cells)) for cells in windows)):
        cells = tuple(axis[k] for axis, k in zip(windows, tap, strict=True))
        if all(0 <= cell < n for cell, n in zip(cells, plane.shape, strict=True)):
            at = Place(source, (*lead, *cells))
            yield Term(float(plane[cells]), factor, at, channel=channel, tap=tap)
        else:
            yield Term(nothing, factor, channel=channel, tap=tap, mark="padding")


def _largest(
    step: Step, source: Value, windows: Windows, kernel: Sequence[int], dilation: Sequence[int]
) -> Arithmetic:
    terms = list(_terms(step, source, windows, 1.0, -math.inf))
    best = max(range(len(terms)), key=lambda i: (math.isnan(terms[i].input), terms[i].input))
    won = terms[best]
    terms = [
        Term(
            t.input,
            float(i == best),
            t.source,
            None,
            t.channel,
            t.tap,
            "taken" if i == best else t.mark,
        )
        for i, t in enumerate(terms)
    ]
    rule = f"the largest of {sum(t.source is not None for t in terms)} numbers"
    return Arithmetic(
        "maximum", rule, tuple(terms), won.input, 0.0, {}, tuple(kernel), tuple(dilation)
    )


def _mean(
    step: Step, terms: tuple[Term, ...], divisor: int, kernel: tuple[int, ...], convention: str
) -> Arithmetic:
    total = math.fsum(term.input for term in terms)
    sizes = math.fsum(abs(term.input) for term in terms) / abs(divisor)
    rule = f"the sum of {len(terms)} numbers, divided by {divisor}{convention}"
    bound = gamma(len(terms) + 2, step.unit) * sizes
    return Arithmetic(
        "average",
        rule,
        terms,
        total / divisor,
        bound,
        {"divisor": float(divisor)},
        kernel,
        (1,) * len(kernel),
    )


def _convention(*, with_padding: bool) -> str:
    return " (padding counted)" if with_padding else " (padding not counted)"
