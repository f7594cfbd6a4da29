"""One call of a net on its structure: PyTorch's own function with one channel, ones for weights, sums for the rest.

Axes along which all values are alike are kept with one cell (`Broadcast`), so the channels of a wide
net cost nothing.
"""

from torch import Tensor

from striate.errors import ArgumentError
from striate.probe import Call
from twins.fields.broadcast import Made, Step
from twins.fields.moves import MOVES
from twins.fields.sums import SUMS

STEPS: dict[str, Step] = {**SUMS, **MOVES}


def run_call(call: Call, made: Made) -> list[Tensor]:
    """The outputs of one call, given the structure of its inputs.

    Raises:
        ArgumentError: a function that has no counterpart here.
    """
    step = STEPS.get(call.op) or STEPS.get(call.op.removesuffix("_"))
    if step is None:
        where = f"{call.path}: " if call.path else ""
        raise ArgumentError(
            f"{where}the structure of {call.op} is not known, so no path can be followed through it; "
            "choose a layer before it"
        )
    out = step(call, made)
    return out if isinstance(out, list) else [out] * len(call.outputs)
