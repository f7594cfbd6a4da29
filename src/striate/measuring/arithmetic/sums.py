"""One number of a linear layer, a matrix product, a sum, a product, a normalisation by channel, a softmax."""

import math

from torch import Tensor

from striate.measuring.arithmetic.parts import Arithmetic, Place, Step, Term, gamma, summed
from striate.probe import Value


def linear(step: Step) -> Arithmetic:
    """A row of the weights times what was read, and a bias."""
    source, weight = step.tensor("input", 0), step.tensor("weight", 1)
    *lead, out = step.at
    row = step.numbers(weight)[out] if len(weight.shape) > 1 else step.numbers(weight)
    read = step.numbers(source)[tuple(lead)]
    terms = tuple(
        Term(x, w, Place(source, (*lead, i)))
        for i, (x, w) in enumerate(zip(_floats(read), _floats(row), strict=True))
    )
    bias = step.value("bias", 2)
    facts = {"bias": float(step.numbers(bias).reshape(-1)[out])} if bias else {}
    exact, bound = summed(terms, step.unit, list(facts.values()))
    rule = f"the sum of {len(terms):,} products" + (" and a bias" if facts else "")
    return Arithmetic("linear layer", rule, terms, exact, bound, facts)


def matrix_product(step: Step) -> Arithmetic | None:
    """A row of one matrix times a column of another, in every batch, broadcast."""
    left, right = step.call.inputs[:2]
    if min(len(left.shape), len(right.shape)) < 2:
        return None
    *lead, row, column = step.at
    a_at, b_at = _within(left, (*lead, row)), _within(right, lead)
    a = _floats(step.numbers(left)[a_at])
    b = _floats(step.numbers(right)[b_at][:, column])
    terms = tuple(
        Term(x, y, Place(left, (*a_at, k)), Place(right, (*b_at, k, column)))
        for k, (x, y) in enumerate(zip(a, b, strict=True))
    )
    exact, bound = summed(terms, step.unit)
    rule = f"the sum of {len(terms):,} products of a row and a column"
    return Arithmetic("matrix product", rule, terms, exact, bound)


def _within(value: Value, at: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Coordinates before the last axes of a factor; an axis of one is used again and again."""
    last = 1 if isinstance(at, tuple) else 2
    kept = at[len(at) - (len(value.shape) - last) :]
    return tuple(0 if n == 1 else i for n, i in zip(value.shape, kept, strict=False))


def addition(step: Step) -> Arithmetic | None:
    """Two tensors, or a tensor and a number; the second may be scaled or taken away."""
    first, second = step.call.arg("input", 0), step.call.arg("other", 1)
    alpha = step.call.arg("alpha", 2, 1)
    if not isinstance(alpha, int | float):
        return None
    factors = (1.0, -alpha if step.call.op.rstrip("_") in ("sub", "subtract") else alpha)
    if _turned(step):
        factors = factors[::-1]
    terms = (_operand(step, first, factors[0]), _operand(step, second, factors[1]))
    exact, bound = summed(terms, step.unit)
    return Arithmetic("addition", "the sum of two numbers", terms, exact, bound)


def product(step: Step) -> Arithmetic:
    """Two tensors, or a tensor and a number."""
    first = _operand(step, step.call.arg("input", 0), 1.0)
    second = _operand(step, step.call.arg("other", 1), 1.0)
    # The tensor stands first, so that the way back to the pixels starts there.
    if first.source is None:
        first, second = second, first
    term = Term(first.input, second.input, first.source, second.source)
    bound = (
        2 * step.unit * abs(term.product)
    )  # a plain number is rounded to the tensor's type first
    return Arithmetic("multiplication", "the product of two numbers", (term,), term.product, bound)


def _turned(step: Step) -> bool:
    """Whether the operands stand the other way round, as in 1 - x."""
    name = getattr(step.recording.functions[step.index], "__name__", "")
    return name in ("__rsub__", "rsub")


def _operand(step: Step, given: object, factor: float) -> Term:
    if not isinstance(given, Value):
        return Term(float(given), factor)  # pyright: ignore[reportArgumentType] - a number
    at = step.at[len(step.at) - len(given.shape) :]
    place = Place(given, tuple(0 if n == 1 else i for n, i in zip(given.shape, at, strict=True)))
    return Term(float(step.numbers(given)[place.at]), factor, place)


def batch_norm(step: Step) -> Arithmetic:
    """(x - mean) / sqrt(variance + eps), scaled and shifted, with the statistics that were used."""
    source = step.tensor("input", 0)
    channel = step.at[1]
    facts = _statistics(step, source, channel)
    place = Place(source, step.at)
    x = float(step.numbers(source)[step.at])
    scale = facts["weight"] / math.sqrt(facts["variance"] + facts["eps"])
    parts = (x * scale, -facts["mean"] * scale, facts["bias"])
    # PyTorch folds mean and deviation into one factor and one shift: about eight roundings in all.
    bound = gamma(8, step.unit) * math.fsum(map(abs, parts))
    rule = "(x - mean) / sqrt(variance + eps) x weight + bias"
    term = Term(x, scale, place, channel=channel)
    return Arithmetic("batch normalisation", rule, (term,), math.fsum(parts), bound, facts)


def _statistics(step: Step, source: Value, channel: int) -> dict[str, float]:
    mean, variance = step.value("running_mean", 1), step.value("running_var", 2)
    if mean is None or variance is None or step.flag("training", 5):
        seen = step.numbers(source)[:, channel].double()
        used = {"mean": float(seen.mean()), "variance": float(seen.var(correction=0))}
    else:
        used = {
            "mean": float(step.numbers(mean)[channel]),
            "variance": float(step.numbers(variance)[channel]),
        }
    weight, bias = step.value("weight", 3), step.value("bias", 4)
    return {
        **used,
        "eps": float(step.call.arg("eps", 7, 1e-5)),  # pyright: ignore[reportArgumentType]
        "weight": float(step.numbers(weight)[channel]) if weight else 1.0,
        "bias": float(step.numbers(bias)[channel]) if bias else 0.0,
    }


def softmax(step: Step) -> Arithmetic | None:
    """exp(x - largest), divided by the sum of all of them."""
    source = step.tensor("input", 0)
    axis = step.call.arg("dim", 1)
    if not isinstance(axis, int):
        return None
    axis %= len(source.shape)
    line = step.numbers(source)[
        tuple(slice(None) if a == axis else i for a, i in enumerate(step.at))
    ]
    logits = _floats(line)
    top = max(logits)
    powers = [math.exp(x - top) for x in logits]
    total = math.fsum(powers)
    here = step.at[axis]
    terms = tuple(
        Term(x, power / total, Place(source, (*step.at[:axis], i, *step.at[axis + 1 :])))
        for i, (x, power) in enumerate(zip(logits, powers, strict=True))
    )
    exact = powers[here] / total
    # Rounding x - largest by u moves its exponential by that many u.
    spread = 2 * step.unit * (top - min(logits))
    bound = exact * (gamma(len(logits) + 4, step.unit) + spread)
    facts = {"largest": top, "sum of exponentials": total, "own exponential": powers[here]}
    rule = f"exp(x - largest) / the sum of {len(logits):,} such; factors are all the shares"
    return Arithmetic("softmax", rule, terms, exact, bound, facts, main=here)


def _floats(tensor: Tensor) -> list[float]:
    numbers: list[float] = tensor.double().tolist()
    return numbers
