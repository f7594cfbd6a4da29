"""`measure`: any net into its sheet, counted twice.

The net is run once as a copy without numbers (see `probe.trace`); each function it calls becomes a row.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from striate.errors import ShapeError
from striate.measuring.fields import Fields, fields
from striate.measuring.findings import Case, examine
from striate.measuring.inputs import Given, read_shape, templates
from striate.measuring.operations import formula, operation
from striate.measuring.shape_errors import failure, unfinished
from striate.measuring.sheet import Counts, Disagreement, Layer, Sheet, Totals
from striate.probe import Call, settled, trace


def measure(
    net: nn.Module | str,
    shape: Given | None = None,
    *,
    batch: int | None = None,
) -> Sheet:
    """Shapes, parameters, connections, multiply-adds and bytes of every layer, for one item.

    The net is not changed: it is copied without its weights and run in evaluation mode; only a net
    whose control flow depends on numbers is run on the CPU with a copy of its weights. Of a net that
    stops in the middle for another reason than its shapes, the sheet holds what ran, and says what is missing.

    Args:
        net: any module, or a name of the catalogue.
        shape: one input without its batch axis, such as (3, 224, 224), "3x224x224" or with a type "bool:1x224x224";
            a list of them for a net with several inputs, a dictionary for inputs by name. A tensor stands for
            the shape of one of its items and its type, but in a list that is one argument for itself, such as
            [[picture, picture]]; beside shapes numbers, words and None stand for themselves. None is what the net was built for, known for nets of the catalogue.
        batch: items that a step of training will take, for findings alone; all figures are for one item.

    Raises:
        ArgumentError: an unknown name, or no shape where one is needed.
        ShapeError: a layer that does not fit what it gets; the message names it and both sizes.
        UsageError: the net fails before it calls anything.
    """
    module = _named(net, shape) if isinstance(net, str) else getattr(net, "_orig_mod", net)
    fed = templates(module, shape)
    module = settled(module, fed)
    run = trace(module, fed)
    problem = failure(module, run)
    parameters: dict[str, nn.Parameter] = dict(module.named_parameters())
    calls = [call for call in run.calls if call.live or call.flops or formula(call)]
    if problem and (isinstance(problem, ShapeError) or not calls):
        raise problem from run.error
    seen = fields(run)
    layers = _layers(calls, parameters, seen)
    return Sheet(
        net=net if isinstance(net, str) else type(module).__name__,
        inputs=tuple(value.shape[1:] for value in run.inputs),
        layers=layers,
        totals=_totals(layers, parameters),
        counts=_counts(calls, run.flops),
        findings=examine(Case(module, run, seen, batch)),
        ran_on=run.device,
        field=seen.of(run.outputs[0]) if run.outputs else None,
        unread=seen.unread(run.outputs, sure=not (problem or run.unseen)),
        unfinished=unfinished(module, run, problem) if problem else None,
        kinds={path: type(part).__name__ for path, part in module.named_modules()},
    )


def _named(name: str, shape: object) -> nn.Module:
    from striate.models.catalog import outline

    sides = read_shape(shape) if isinstance(shape, str) else shape
    match sides:
        case None:
            return outline(name)
        case [*counts] if all(isinstance(side, int) for side in counts):
            return outline(name, counts)
        case _:
            raise ShapeError(f"{name} reads one input, such as 3x224x224; got {sides}")


def _layers(
    calls: Sequence[Call], parameters: Mapping[str, nn.Parameter], seen: Fields
) -> tuple[Layer, ...]:
    rows: list[Layer] = []
    unread = dict(parameters)
    for call in calls:
        new = [unread.pop(name) for name in call.params if name in unread]
        macs = formula(call)
        shape = call.outputs[0].shape
        rows.append(
            Layer(
                path=call.path,
                op=call.op,
                output=shape[1:] if shape[:1] == (1,) else shape,
                params=sum(p.numel() for p in new),
                trainable=sum(p.numel() for p in new if p.requires_grad),
                connections=_connections(call, parameters, seen),
                # Of what is mapped over a batch a formula sees one item only.
                macs=max(macs or 0, call.flops // 2),
                bytes=call.written,
                field=seen.of(call.outputs[0]),
                label=_label(call),
            )
        )
    return tuple(rows)


def _label(call: Call) -> str:
    """The function in words: `pad` by less than nothing is a crop, and in place or not is the same."""
    if call.op == "pad" and call.inputs and call.outputs[0].count < call.inputs[0].count:
        return "crop"
    return call.op.removesuffix("_") if not call.op.startswith("__") else call.op


def _connections(call: Call, parameters: Mapping[str, nn.Parameter], seen: Fields) -> int:
    if call.module == "TabledConv" and formula(call):
        # The kernel it multiplies with is dense; the connections are those whose kernels are stored.
        places = call.outputs[0].count // call.outputs[0].shape[1]
        return places * sum(parameters[name].numel() for name in call.params)
    rule = operation(call.op).connections
    return rule(call, seen.state) if rule else 0


def _unconnected(call: Call) -> bool:
    """Whether a function multiplies, as a connection does, but no rule counts its connections."""
    return operation(call.op).connections is None and bool(formula(call) or call.flops)


def _totals(layers: Sequence[Layer], parameters: Mapping[str, nn.Parameter]) -> Totals:
    return Totals(
        params=sum(p.numel() for p in parameters.values()),
        trainable=sum(p.numel() for p in parameters.values() if p.requires_grad),
        connections=sum(layer.connections for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=sum(layer.bytes for layer in layers),
    )


def _counts(calls: Sequence[Call], flops: int) -> Counts:
    macs = [(call, formula(call)) for call in calls]
    disagree = [
        Disagreement(call.path, call.op, ours, call.flops // 2)
        for call, ours in macs
        if (ours or 0) != call.flops // 2
    ]
    unseen = flops - sum(call.flops for call in calls)
    if unseen:
        # Compiled or scripted code inside a net: the counter sees through it, the recorder does not.
        disagree.append(Disagreement("", "compiled code", None, unseen // 2))
    return Counts(
        formula=sum(ours or 0 for _, ours in macs),
        flop_counter=flops // 2,
        uncounted=tuple(
            sorted({call.op for call, ours in macs if ours is None and not call.flops})
        ),
        disagree=tuple(disagree),
        unconnected=tuple(sorted({call.op for call in calls if _unconnected(call)})),
    )
