"""What Striate knows of one function of PyTorch: one entry holds all of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from striate.measuring.field_axes import Axes, Axis, Following
from striate.measuring.operations.number_terms import Arithmetic, Step
from striate.probe import Call

Count = Callable[[Call], int | None]
Reads = Callable[[Call, Following], Axes | list[Axes]]
Connections = Callable[[Call, Following], int]
Explain = Callable[[Step], Arithmetic | None]


def none(_call: Call) -> int:
    """By convention: normalisation, pooling, activations and everything else that is no product."""
    return 0


def uncounted(_call: Call) -> None:
    """A cost that is unknown, not zero."""
    return


def unknown(call: Call, state: Following) -> Axes:
    """All of everything, in no known order; the call is remembered as one of which that is not known."""
    return state.unknown(call)


def everything(call: Call, state: Following) -> Axes:
    """What reads everything by its nature, so that an unbounded field says all there is to say."""
    return state.everything(call)


def of_first(reads: Reads) -> Reads:
    """A rule for the tensor that a function works on; weights that depend on the picture count as read whole."""

    def rule(call: Call, state: Following) -> Axes | list[Axes]:
        axes = reads(call, state)
        weights = [value for value in call.inputs[1:] if state.depends(value)]
        if not weights or isinstance(axes, list):
            return axes
        wholes = [(state.each(value, Axis.as_whole), 0) for value in weights]
        return state.union(call, [(axes, 0), *wholes])

    return rule


@dataclass(frozen=True)
class Operation:
    """One function of PyTorch.

    Attributes:
        macs: multiply-adds of a call; one multiply-add counts one. None from it: not known.
        reads: what each output reads of the picture.
        explain: how one number of an output came about; None where the rules for any function serve.
        connections: (inputs read by one output value + 1 for a bias) x output values, padding cells
            included, as LeCun et al. 1998 counted them; None for a function that has none.
        kind: what it is in words, under which its share of parameters and MACs is added up.
        gradient: whether a gradient goes back through it.
        joins: whether it needs tensors of one size.
        selects: whether it takes a part of a tensor.
        built_with: the argument of its layer that sets the width it expects; "" if there is none.
        backward: MACs of the backward pass for one of the forward pass; None: one a factor that needs a gradient.
        factors: where in its tensors the two that are multiplied begin.
    """

    macs: Count = none
    reads: Reads = unknown
    explain: Explain | None = None
    connections: Connections | None = None
    kind: str = "other"
    gradient: bool = True
    joins: bool = False
    selects: bool = False
    built_with: str = ""
    backward: float | None = None
    factors: int = 0


Table = Mapping[str, Operation]
