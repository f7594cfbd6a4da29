"""Findings: something in a net worth a look, each with what mends it.

A size that a fix names has been tried: the net was traced again at it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Literal

from torch import nn

from striate.measuring.field_axes import Misaligned
from striate.measuring.fields import Fields, Unread, fields
from striate.measuring.operations import operation
from striate.measuring.operations.arguments import kernel_of, setting
from striate.measuring.shape_errors import Tries
from striate.models.backbone import BATCH_NORMS, Backbone
from striate.probe import Call, Trace, Value, copied, trace
from striate.text import counted, times


@dataclass(frozen=True)
class Finding:
    """Something in the net worth a look: what, where, and what to do."""

    kind: str
    path: str
    text: str
    fix: str

    def as_text(self) -> str:
        """One line."""
        return f"{self.path or '(net)'}: {self.text}" + (f"; {self.fix}" if self.fix else "")


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Case:
    """A net, one run of it, and what the run sees.

    `batch` is how many items a step of training takes, if that is known.
    """

    net: nn.Module
    run: Trace
    fields: Fields
    batch: int | None = None

    @cached_property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """By name, shared ones once."""
        return dict(self.net.named_parameters())

    @cached_property
    def training(self) -> Trace:
        """The same run in training mode with two items; with one, if the net does not take two."""
        numbers = self.run.needs_numbers
        two = self.run.fed.mapped(lambda t: t.expand(2, *t.shape[1:]) if t.shape[:1] == (1,) else t)
        found = trace(self.net, two, numbers=numbers, training=True)
        if found.error is None:
            return found
        one = trace(self.net, self.run.fed, numbers=numbers, training=True)
        return found if one.error else one


def examine(case: Case) -> tuple[Finding, ...]:
    """All findings on one net, those of the whole net first.

    Of a run that stopped, or whose outputs cannot be followed, those alone that do not depend on its end.
    """
    ended = case.run.error is None
    known = {"start": True, "end": ended, "outputs": ended and not case.run.unseen}
    return tuple(found for rule, needs in RULES.items() if known[needs] for found in rule(case))


def _softmax(case: Case) -> Findings:
    """A net that ends in probabilities, in training too; probabilities beside other outputs are meant so."""
    ending = _softmax_calls(case.run)
    if ending and _softmax_calls(case.training):
        text = f"the net ends in {ending[0].op}, and cross-entropy applies it once more"
        fix = "return the logits, and apply softmax to predictions only"
        yield Finding("softmax", ending[0].path, text, fix)


def _softmax_calls(run: Trace) -> list[Call]:
    makers = {out.index: call for call in run.calls for out in call.outputs}
    last = [makers.get(out.index) for out in run.outputs]
    found = [call for call in last if call and call.op in ("softmax", "log_softmax")]
    return found if len(found) == len(last) and all(map(_over_classes, found)) else []


def _over_classes(call: Call) -> bool:
    """Classes stand after the items, or last in a row of places; weights of attention are a square table."""
    *_, rows, columns = (0, *call.outputs[0].shape)
    rank, dim = len(call.outputs[0].shape), call.arg("dim")
    return dim in (1, 1 - rank) or (rank == 3 and rows != columns)


def _biases(case: Case) -> Findings:
    readers: dict[int, list[Call]] = {}
    run = case.run
    for call in run.calls:
        for value in call.inputs:
            readers.setdefault(value.index, []).append(call)
    ending = {out.index for out in run.outputs}
    found = [
        call
        for call in run.calls
        if isinstance(call.arg("bias"), Value)
        and (call.op.startswith("conv") or call.op == "linear")
        and call.outputs[0].index not in ending
        and (next_ones := readers.get(call.outputs[0].index))
        and all(reader.op == "batch_norm" for reader in next_ones)
    ]
    if found:
        more = len({call.path for call in found}) - 1
        who, whom = (f"this and {more} more such layers have", "them") if more else ("it has", "it")
        text = f"{who} a bias that the batch normalisation after it takes away"
        yield Finding("bias", found[0].path, text, f"build {whom} with bias=False")


def _single_values(case: Case) -> Findings:
    """Batch normalisation that would see one value a channel."""
    for call in case.run.calls if case.batch == 1 else ():
        value = call.arg("input")
        if call.op != "batch_norm" or not isinstance(value, Value):
            continue
        space, values = value.shape[2:], value.count // value.shape[1]
        if prod(space) == 1 < values:
            continue  # places of one item that stand where items do
        where = f"maps of {times(space)}" if prod(space) > 1 else "one value a channel"
        text = f"at batch 1 batch normalisation learns from {where} of a single item"
        fix = "train with batch=2 or more, or normalise by group"
        yield Finding("batch", call.path, text, fix)
        return


def _frozen(case: Case) -> Findings:
    net = case.net
    found = [
        path
        for path, module in net.named_modules()
        if isinstance(module, BATCH_NORMS)
        and module.training
        and module.track_running_stats
        and module.affine
        and not any(p.requires_grad for p in module.parameters())
    ]
    if found and any(p.requires_grad for p in net.parameters()):
        which = f"{len(found)} frozen batch normalisation{'s are' if len(found) > 1 else ' is'}"
        text = f"{which} in training mode: the statistics still move"
        fix = "call eval() on it after every train(), as it is done for the rest of what is frozen"
        yield Finding("frozen", found[0], text, fix)


def _idle(case: Case) -> Sequence[Finding]:
    """Parameters that no function reads, and those that no output sends a gradient to, in training either.

    Of a net of the catalogue with a loss or a way to learn of its own, nothing: those read what `forward` does not.
    """
    run = case.run
    if isinstance(case.net, Backbone) and type(case.net).objective is not Backbone.objective:
        return []
    read, learning = _read(run), _learning(run)
    trained = {name for name, p in case.parameters.items() if p.requires_grad}
    if set(case.parameters) <= read and trained <= learning:
        return []
    read, learning = read | _read(case.training), learning | _learning(case.training)
    unused = [name for name in case.parameters if name not in read]
    untrained = [name for name in case.parameters if name in (trained & read) - learning]
    doubt = _doubt(case)
    if doubt:
        names = unused if run.unseen else [*unused, *untrained]
        return _by_owner(
            case, "unknown", names, f"were not read or got no gradient here; {doubt}", ""
        )
    return [
        *_by_owner(case, "unused", unused, "are never read", "remove them or use them in forward"),
        *_by_owner(
            case,
            "gradient",
            untrained,
            "never get a gradient: none of their results reaches an output",
            "remove the detach after them, use their result, or freeze them with requires_grad_(False)",
        ),
    ]


def _doubt(case: Case) -> str:
    """Why it proves nothing that these runs did not read a parameter; "" if it does."""
    failed = case.training.failed
    if failed is not None:
        where = f"{failed.path} ({failed.module})" if failed.path else failed.module
        return f"in training mode the net stops at {where}, so whether training does is not known"
    if case.run.unseen or case.training.unseen:
        return "its outputs cannot be followed, so whether training does is not known"
    if case.run.needs_numbers:
        return "the way through the net depends on numbers, so whether others do is not known"
    return ""


def _read(run: Trace) -> set[str]:
    return {name for call in run.calls for name in call.params}


def _learning(run: Trace) -> set[str]:
    reached = {out.index for out in run.outputs}
    learning: set[str] = set()
    for call in reversed(run.calls):
        if not _passes_gradients(call) or not any(out.index in reached for out in call.outputs):
            continue
        reached.update(value.index for value in call.inputs)
        learning.update(call.params)
    return learning


def _passes_gradients(call: Call) -> bool:
    """Nothing flows back through what is cut on purpose, has a slope of zero, or gives no real numbers."""
    real = any(out.dtype.is_floating_point or out.dtype.is_complex for out in call.outputs)
    return real and operation(call.op).gradient


MOST = 3  # findings of one kind that stand one by one


def _by_owner(case: Case, kind: str, names: Sequence[str], what: str, fix: str) -> list[Finding]:
    counts: dict[str, int] = {}
    for name in names:
        owner = _branch(case, name, set(names))
        counts[owner] = counts.get(owner, 0) + case.parameters[name].numel()
    if len(counts) <= MOST:
        return [
            Finding(kind, owner, f"{n:,} parameters {what}", fix) for owner, n in counts.items()
        ]
    first, *others = counts
    whose = f"of this and {len(others)} more modules"
    return [Finding(kind, first, f"{sum(counts.values()):,} parameters {whose} {what}", fix)]


def _branch(case: Case, name: str, among: set[str]) -> str:
    """The module that holds a parameter, or the largest one around it that holds nothing else."""
    owner = best = name.rpartition(".")[0]
    held = sum(other.startswith(f"{owner}.") for other in among)
    while owner:
        owner = owner.rpartition(".")[0]
        inside = [other for other in case.parameters if other.startswith(f"{owner}.")]
        if not owner or not set(inside) <= among:
            return best
        if len(inside) > held:
            best, held = owner, len(inside)
    return best


def _merged(found: Sequence[Finding]) -> list[Finding]:
    if len(found) <= 1:
        return list(found)
    places = ", ".join(each.path or "(net)" for each in found[1:4]) + (
        ", ..." if len(found) > 4 else ""
    )
    more = f"{found[0].text} (and {len(found) - 1} more such: {places})"
    return [replace(found[0], text=more)]


CELLS = {1: "steps", 2: "pixels", 3: "voxels"}  # of an input with so many axes of space


# What a net reads of its picture: pixels left out, branches that miss each other.


def _unread(case: Case) -> Findings:
    lost = case.fields.unread(case.run.outputs)
    if not lost.count:
        return
    names = ("plane", "row", "column")[3 - len(lost.lines) :] if len(lost.lines) > 1 else ("step",)
    lines = [counted(len(line), n) for n, line in zip(names, lost.lines, strict=True) if line]
    what = CELLS.get(len(lost.lines), "cells")
    text = f"{lost.count:,} of {lost.of:,} {what} are read by no output ({' and '.join(lines)})"
    fix = _mend(case.net, case.run, lost) or _gaps(case.net, case.run)
    yield Finding("unread", "", text, fix)


def _gaps(net: nn.Module, run: Trace) -> str:
    """What to do where no size helps: the first window that skips cells, or the cut that is made."""
    for call in run.calls:
        stride, sides = call.arg("stride"), kernel_of(call)
        if call.op.startswith("conv") and "transpose" not in call.op and stride:
            wide = tuple(max(k, setting(stride, axis)) for axis, k in enumerate(sides))
            if wide != sides and _reads_more(net, run, call.path, wide):
                return f"give {call.path or 'the net'} a kernel as wide as its stride, or average before it"
    return "cut the input to what is read, or pad before the layer that cuts it off"


def _reads_more(net: nn.Module, run: Trace, path: str, kernel: tuple[int, ...]) -> bool:
    changed = copied(net, "meta")
    layer = changed.get_submodule(path)
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, nn.Parameter) or not hasattr(layer, "kernel_size"):
        return False
    layer.weight = nn.Parameter(weight.new_empty((*weight.shape[:2], *kernel)))
    setattr(layer, "kernel_size", kernel)  # noqa: B010 - declared by no common class
    again = trace(changed, run.fed, numbers=False)
    before, after = fields(run).unread(run.outputs), fields(again).unread(again.outputs)
    return again.error is None and (after.count or 0) < (before.count or 0)


def _mend(net: nn.Module, run: Trace, lost: Unread) -> str | None:
    """Padding after which the whole picture is read, and the nearest size that is; both tried."""
    picture = next(value for value in run.inputs if len(value.shape) > 2)
    sides = picture.shape[2:]
    tail = [n - len(line) for n, line in zip(sides, lost.lines, strict=True)]
    if any(line and line[0] != end for line, end in zip(lost.lines, tail, strict=True)):
        return None  # gaps, not an end cut off: no size mends them
    tries = Tries(net, run)
    more = [
        tuple(n + p * bool(line) for n, line in zip(sides, lost.lines, strict=True))
        for p in range(1, 33)
    ]
    padded = next((size for size in tries.of(more) if tries.reads(size, sides)), None)
    fuller = next((size for size in more if tries.known(size) and tries.reads(size, size)), None)
    cut = tuple(tail)
    smaller = cut if min(cut) > 0 and tries.allowed(cut) and tries.reads(cut, cut) else None
    sizes = [size for size in (fuller, smaller) if size]
    nearest = min(
        sizes,
        key=lambda size: sum(abs(a - b) for a, b in zip(size, sides, strict=True)),
        default=None,
    )
    return _words(sides, padded, nearest)


def _words(
    sides: Sequence[int], padded: Sequence[int] | None, size: Sequence[int] | None
) -> str | None:
    parts: list[str] = []
    if padded:
        ends = ("behind", "bottom", "right")[3 - len(sides) :]
        by = [(b - a, end) for a, b, end in zip(sides, padded, ends, strict=True) if b > a]
        if len({p for p, _ in by}) == 1:
            where = " and ".join(end for _, end in reversed(by))
            parts.append(f"pad {by[0][0]} {where}")
        else:
            parts.append("pad " + " and ".join(f"{p} {end}" for p, end in reversed(by)))
    if size:
        parts.append(f"use {size[0] if len(set(size)) == 1 else times(size)}")
    return ", or ".join(parts) or None


def _misaligned(case: Case) -> Sequence[Finding]:
    seen = case.fields
    makers = {out.index: call for call in case.run.calls for out in call.outputs}
    found: dict[int, Finding] = {}
    for join in seen.misaligned:
        parts = [makers.get(value.index) for value in join.call.inputs]
        if all(part is None or operation(part.op).selects for part in parts):
            continue  # cut out side by side on purpose, as in space to depth
        axes = sum(other.call is join.call for other in seen.misaligned)
        causal = axes == 1 and len(set(join.ends)) == 1  # all read backwards from one place
        if not causal and _apart(join, seen, makers):
            found.setdefault(id(join.call), _join(join))
    return _merged(list(found.values()))


def _apart(join: Misaligned, seen: Fields, makers: Mapping[int, Call]) -> bool:
    """Whether branches lie so far apart that it is no matter of rounding.

    Within half a cell they are as near as windows allow that move by more than one cell, such as a pooling beside
    a strided convolution.
    """
    stride, other = max(join.strides), min(join.strides)
    apart = max(join.centres) - min(join.centres)
    if (
        stride != other
    ):  # they drift; over the whole map by no more than a cell if sizes were but rounded
        return apart + (stride - other) * (join.cells - 1) > 2 * join.step
    ways = [_before(value.index, makers) for value in join.call.inputs if value.live]
    if any(_period(seen, index, join.axis) > 1 for way in ways for index in way):
        return apart > max(stride, join.step)  # what was resized lies within a cell of what it was
    return apart > stride / 2 or (apart == stride / 2 and not _narrows(join, seen, ways))


def _narrows(join: Misaligned, seen: Fields, ways: Sequence[Sequence[int]]) -> bool:
    shared = set(ways[0]).intersection(*ways[1:]) if ways else set[int]()
    fork = max(shared, default=None)
    axis = seen.state.found[fork][join.axis] if fork in seen.state.found else None
    spans = axis.cells.spans if axis else None
    return spans is not None and float(spans.stride) < max(join.strides)


def _period(seen: Fields, index: int, number: int) -> int:
    """How many cells of a map go by before what they read repeats; more than 1 after resizing."""
    axis = seen.state.found[index][number] if index in seen.state.found else None
    return axis.cells.spans.period if axis and axis.cells.spans else 1


def _before(index: int, makers: Mapping[int, Call]) -> list[int]:
    found, left = {index}, [index]
    while left:
        call = makers.get(left.pop())
        new = [v.index for v in call.inputs if v.live and v.index not in found] if call else []
        found.update(new)
        left += new
    return sorted(found, reverse=True)


def _join(join: Misaligned) -> Finding:
    call = join.call
    if len(set(join.strides)) > 1:
        strides = " and ".join(f"{s:g}" for s in dict.fromkeys(join.strides))
        text = f"{call.op} joins branches of strides {strides} on the input, which drift apart"
        fix = "give the branches the same strides"
    else:
        apart = max(join.centres) - min(join.centres)
        what = CELLS.get(max(len(value.shape) for value in call.inputs) - 2, "cells")
        text = f"{call.op} joins branches whose centres lie {apart:g} {what} apart"
        fix = "pad alike: an odd kernel k with padding k // 2 keeps its centre, an even one cannot"
    return Finding("misaligned", call.path, text, fix)


def _checkerboards(case: Case) -> Sequence[Finding]:
    calls = [call for call in case.run.calls if call.op.startswith("conv_transpose")]
    return _merged([found for call in calls if (found := _checkerboard(call))])


def _checkerboard(call: Call) -> Finding | None:
    kernel = kernel_of(call)
    axes = range(len(kernel))
    stride = [setting(call.arg("stride", 1), axis) for axis in axes]
    if setting(call.arg("dilation", 1), 0) != 1 or all(
        k % s == 0 for k, s in zip(kernel, stride, strict=True)
    ):
        return None
    padding = [setting(call.arg("padding", 0), axis) for axis in axes]
    extra = [setting(call.arg("output_padding", 0), axis) for axis in axes]
    better = [_even(*numbers) for numbers in zip(kernel, stride, padding, extra, strict=True)]
    k, p, e = zip(*better, strict=True)
    text = (
        f"kernel {times(kernel)} is not divisible by stride {times(stride)}: neighbouring outputs are "
        "summed from unequal numbers of inputs"
    )
    same = f" with padding {_one(p)} and output_padding {_one(e)} gives the same size"
    return Finding("checkerboard", call.path, text, f"kernel {_one(k)}" + same * (min(p) >= 0))


def _even(kernel: int, stride: int, padding: int, extra: int) -> tuple[int, int, int]:
    """Kernel, padding and output padding of the next larger kernel that the stride divides."""
    larger = -(-kernel // stride) * stride
    cut = 2 * padding - extra + larger - kernel
    return larger, -(-cut // 2), cut % 2


def _one(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else str(tuple(numbers))


def _unfollowed(case: Case) -> Findings:
    run = case.run
    read = {value.index for call in run.calls for value in call.inputs}
    read.update(out.index for out in run.outputs)
    lost = [call for call in case.fields.lost if any(out.index in read for out in call.outputs)]
    if lost:
        names = ", ".join(dict.fromkeys(call.op for call in lost))
        text = f"what {names} reads is not known, so the layers after it have no field"
        fix = "the other columns hold; measure the part before it by itself"
        yield Finding("unknown", lost[0].path, text, fix)
    if run.unseen:
        text = f"outputs not seen: {run.unseen} cannot be followed, so nothing is said of what they read"
        yield Finding("unknown", "", text, "return tensors, or measure the part that does")


# Every rule in the order in which its findings are shown, and how far the run has to have come for it.
RULES: dict[Callable[[Case], Iterable[Finding]], Literal["start", "end", "outputs"]] = {
    _unread: "outputs",
    _misaligned: "start",
    _checkerboards: "start",
    _unfollowed: "start",
    _softmax: "outputs",
    _biases: "start",
    _single_values: "end",
    _frozen: "start",
    _idle: "end",
}
