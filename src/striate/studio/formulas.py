"""How a function computes, in symbols that need no language: `{x}` stands for a number that goes with it.

The page writes the Greek letter for `alpha`, `beta`, `gamma`, `eps`, `mean` and `var`.
"""

from collections.abc import Callable, Mapping

import torch

from striate.measuring.explain import Explanation
from striate.probe import Call

Formula = tuple[str, dict[str, float]]

# Functions of one number. {x} is the number; a name after it is an argument of the call with its default.
ACTIVATIONS = {
    "relu": "max(0, {x})",
    "relu6": "min(max(0, {x}), 6)",
    "sigmoid": "1 / (1 + exp(-{x}))",
    "tanh": "tanh({x})",
    "gelu": "{x} · Φ({x})",
    "silu": "{x} / (1 + exp(-{x}))",
    "mish": "{x} · tanh(log(1 + exp({x})))",
    "softplus": "log(1 + exp({x}))",
    "hardswish": "{x} · min(max({x} + 3, 0), 6) / 6",
    "hardsigmoid": "min(max({x} + 3, 0), 6) / 6",
    "softsign": "{x} / (1 + |{x}|)",
    "exp": "exp({x})",
    "log": "log({x})",
    "sqrt": "√{x}",
    "abs": "|{x}|",
    "neg": "-{x}",
    "square": "{x}²",
}
SUMS = {
    "convolution": "Σa·w",
    "transposed convolution": "Σa·w",
    "linear layer": "Σa·w",
    "matrix product": "Σa·b",
    "weighted sum": "Σa·w",
}


def unit(dtype: str) -> float:
    """The unit roundoff of a type by its name, such as 2^-24 of "float32"; 0 for whole numbers."""
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        return 0.0
    return torch.finfo(found).eps / 2


def of(call: Call, told: Explanation) -> Formula:
    """The formula of one number, and what its symbols stand for."""
    rule = RULES.get(told.done.kind)
    if told.done.kind in SUMS:
        return _sum(told)
    return rule(call, told) if rule else (f"{told.op.rstrip('_')}(…)", {})


def _sum(told: Explanation) -> Formula:
    name, facts = SUMS[told.done.kind], told.done.facts
    products = told.done.exact - facts.get("bias", 0.0)
    symbols = {name: products}
    if "bias" not in facts:
        return f"{{{name}}}", symbols
    return f"{{{name}}} + {{b}}", {**symbols, "b": facts["bias"]}


def _maximum(_call: Call, told: Explanation) -> Formula:
    return "max({a}, …)", {"a": told.done.exact}


def _average(_call: Call, told: Explanation) -> Formula:
    divisor = told.done.facts["divisor"]
    return "{Σa} / {n}", {"Σa": told.done.exact * divisor, "n": divisor}


def _power(_call: Call, told: Explanation) -> Formula:
    facts = told.done.facts
    return "{Σaᵖ} ^ (1 / {p})", {"Σaᵖ": facts["sum of powers"], "p": facts["p"]}


def _addition(_call: Call, told: Explanation) -> Formula:
    first, second = told.done.terms
    text, symbols = "{a}", {"a": first.input, "b": second.input}
    if first.factor != 1:
        text, symbols = (
            "{alpha}·{a}" if first.factor != -1 else "-{a}",
            {**symbols, "alpha": first.factor},
        )
    if second.factor == 1:
        return text + " + {b}", symbols
    if second.factor == -1:
        return text + " - {b}", symbols
    return text + " + {alpha2}·{b}", {**symbols, "alpha2": second.factor}


def _multiplication(_call: Call, told: Explanation) -> Formula:
    (term,) = told.done.terms
    return "{a} · {b}", {"a": term.input, "b": term.factor}


def _normalisation(_call: Call, told: Explanation) -> Formula:
    facts = told.done.facts
    return "({x} - {mean}) / √({var} + {eps}) · {gamma} + {beta}", {
        "x": told.done.terms[0].input,
        "mean": facts["mean"],
        "var": facts["variance"],
        "eps": facts["eps"],
        "gamma": facts["weight"],
        "beta": facts["bias"],
    }


def _softmax(_call: Call, told: Explanation) -> Formula:
    facts = told.done.facts
    x = told.done.terms[told.done.main or 0].input
    return "exp({x} - {m}) / {Σ}", {
        "x": x,
        "m": facts["largest"],
        "Σ": facts["sum of exponentials"],
    }


def _activation(call: Call, told: Explanation) -> Formula:
    op, x = told.op.rstrip("_"), told.done.terms[0].input
    if op == "leaky_relu" and x < 0:
        slope = call.arg("negative_slope", 0.01)
        return "{s} · {x}", {"s": float(slope), "x": x} if isinstance(slope, int | float) else {}
    if op == "leaky_relu":
        return "{x}", {"x": x}
    if op in ("hardtanh", "clamp", "clip"):
        names = ("min_val", "max_val") if op == "hardtanh" else ("min", "max")
        low, high = (call.arg(n, d) for n, d in zip(names, (-1.0, 1.0), strict=True))
        if isinstance(low, int | float) and isinstance(high, int | float):
            return "min(max({l}, {x}), {h})", {"l": float(low), "x": x, "h": float(high)}
    return ACTIVATIONS.get(op, f"{op}({{x}})"), {"x": x}


def _moved(_call: Call, told: Explanation) -> Formula:
    return "{x}", {"x": told.done.exact}


RULES: Mapping[str, Callable[[Call, Explanation], Formula]] = {
    "maximum": _maximum,
    "average": _average,
    "power pooling": _power,
    "addition": _addition,
    "multiplication": _multiplication,
    "batch normalisation": _normalisation,
    "softmax": _softmax,
    "activation": _activation,
    "moved": _moved,
}
