"""Why a net could not be run at the shapes it was given: the layer, what it expects, what it got."""

from striate.errors import ShapeError, StriateError, UsageError
from striate.measuring.inputs import times
from striate.probe import Call, Trace, Value


def explain(run: Trace) -> StriateError | None:
    """Why a run is not one that can be measured, to be raised; None if nothing is wrong.

    Sizes that do not fit a convolution or a linear layer are said in its own terms, also where the meta
    device let them pass; of any other failure the first line of what PyTorch said is kept.
    """
    for call in (*run.calls, run.failed):
        problem = call and _misfit(call)
        if call and problem:
            return ShapeError(f"{_where(call)}: {problem}{_ending(run)}")
    if run.failed is None:
        return None
    call = run.failed
    problem = _too_small(call)
    if problem:
        return ShapeError(f"{_where(call)}: {problem}{_ending(run)}")
    said = next(iter(str(run.error).strip().splitlines()), type(run.error).__name__)
    got = (
        f" (it got {', '.join(times(v.shape) for v in call.inputs if v.live)})" if call.live else ""
    )
    return UsageError(f"{_where(call)}: {call.op} failed{got}: {said}{_ending(run)}")


def _where(call: Call) -> str:
    return f"{call.path} ({call.module})" if call.path else call.module


def _ending(run: Trace) -> str:
    fed = " and ".join(times(value.shape[1:]) for value in run.inputs)
    return f", at input {fed}; check the input shape or the layer"


def _misfit(call: Call) -> str | None:
    x, weight = call.arg("input", 0), call.arg("weight", 1)
    if not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    if call.op == "linear" and x.shape[-1] != weight.shape[-1]:
        return f"expects {weight.shape[-1]:,} features, got {x.shape[-1]:,}"
    if not _convolves(call):
        return None
    axes = len(weight.shape) - 2
    if len(x.shape) - axes not in (1, 2):  # channels, and perhaps a batch axis
        return f"expects {axes} axes after its channels, got {times(x.shape[1:])}"
    groups = call.arg("groups", 6, 1)
    per_group = groups if isinstance(groups, int) else 1
    expected = weight.shape[0] if "transpose" in call.op else weight.shape[1] * per_group
    got = x.shape[-axes - 1]
    return (
        None
        if got == expected
        else f"expects {expected} channels, got {got} in {times(x.shape[1:])}"
    )


def _too_small(call: Call) -> str | None:
    x, weight = call.arg("input", 0), call.arg("weight", 1)
    if not (isinstance(x, Value) and isinstance(weight, Value) and _convolves(call)):
        return None
    kernel = weight.shape[2:]
    return f"its kernel {times(kernel)} does not fit maps of {times(x.shape[-len(kernel) :])}"


def _convolves(call: Call) -> bool:
    return call.op.startswith("conv") and call.op.endswith("d")
