"""Findings on what a net reads of its input: pixels left out, fields too large, branches that miss each other."""

from collections.abc import Sequence

from torch import nn

from striate.measuring.fields import Field, Fields, Unread
from striate.measuring.finding import Finding
from striate.measuring.inputs import counted, times
from striate.measuring.sight import Misaligned
from striate.measuring.taps import kernel_of, setting
from striate.measuring.tries import Tries
from striate.probe import Call, Trace

SELECTS = {"getitem", "narrow", "select", "split", "chunk", "unbind", "tensor_split"}


def geometry(net: nn.Module, run: Trace, seen: Fields) -> list[Finding]:
    """All findings of this kind."""
    return [
        *([] if run.error else _unread(net, run, seen)),
        *_too_large(run, seen),
        *_misaligned(run, seen),
        *_checkerboards(run),
        *_unfollowed(seen),
    ]


def _unread(net: nn.Module, run: Trace, seen: Fields) -> list[Finding]:
    lost = seen.unread(run.outputs)
    if not lost.count:
        return []
    lines = [
        counted(len(line), name)
        for name, line in zip(_names(lost), lost.lines, strict=True)
        if line
    ]
    text = f"{lost.count:,} of {lost.of:,} pixels are read by no output ({' and '.join(lines)})"
    return [Finding("unread", "", text, _mend(net, run, lost) or _gaps(run))]


def _names(lost: Unread) -> tuple[str, ...]:
    return ("plane", "row", "column")[3 - len(lost.lines) :]


def _gaps(run: Trace) -> str:
    """What to do where no size helps: the first window that skips cells, or the cut that is made."""
    for call in run.calls:
        stride = call.arg("stride", 3)
        if call.op.startswith("conv") and "transpose" not in call.op and stride:
            sides = kernel_of(call)
            if any(k < setting(stride, axis) for axis, k in enumerate(sides)):
                return f"give {call.path or 'the net'} a kernel as wide as its stride, or average before it"
    return "cut the input to what is read, or pad before the layer that cuts it off"


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


def _too_large(run: Trace, seen: Fields) -> list[Finding]:
    """The first layer whose field is wider than the picture; one finding stands for all after it."""
    if seen.picture is None:
        return []
    sides = seen.picture.shape[2:]
    known = [(call, seen.of(call.outputs[0])) for call in run.calls]
    wide = [
        (call, f)
        for call, f in known
        if f and any(a > b for a, b in zip(f.size, sides, strict=True))
    ]
    if not wide:
        return []
    call, last = wide[0][0], wide[-1][1]
    return [Finding("field", call.path, _wide(wide[0][1], sides), _wider(last))]


def _wide(field: Field, sides: Sequence[int]) -> str:
    return (
        f"from here on a value has a field of {times(field.size)} or more, larger than the input "
        f"{times(sides)}: part of it always lies outside"
    )


def _wider(field: Field | None) -> str:
    size = times(field.size) if field else ""
    return f"inputs from {size} on hold the largest field whole; or take layers away before it"


def _misaligned(run: Trace, seen: Fields) -> list[Finding]:
    makers = {out.index: call for call in run.calls for out in call.outputs}
    found: dict[int, Finding] = {}
    for join in seen.misaligned:
        parts = [makers.get(value.index) for value in join.call.inputs]
        if all(part is None or part.op in SELECTS for part in parts):
            continue  # cut out side by side on purpose, as in space to depth
        found.setdefault(id(join.call), _join(join))
    return list(found.values())


def _join(join: Misaligned) -> Finding:
    call = join.call
    if len(set(join.strides)) > 1:
        strides = " and ".join(f"{s:g}" for s in dict.fromkeys(join.strides))
        text = f"{call.op} joins branches of strides {strides} on the input, which drift apart"
        fix = "give the branches the same strides"
    else:
        apart = max(join.centres) - min(join.centres)
        text = f"{call.op} joins branches whose centres lie {apart:g} pixels apart"
        fix = "pad alike: an odd kernel k with padding k // 2 keeps its centre, an even one cannot"
    return Finding("misaligned", call.path, text, fix)


def _checkerboards(run: Trace) -> list[Finding]:
    return [
        found
        for call in run.calls
        if call.op.startswith("conv_transpose")
        for found in [_checkerboard(call)]
        if found
    ]


def _checkerboard(call: Call) -> Finding | None:
    kernel = kernel_of(call)
    axes = range(len(kernel))
    stride = [setting(call.arg("stride", 3, 1), axis) for axis in axes]
    if setting(call.arg("dilation", 7, 1), 0) != 1 or all(
        k % s == 0 for k, s in zip(kernel, stride, strict=True)
    ):
        return None
    padding = [setting(call.arg("padding", 4, 0), axis) for axis in axes]
    extra = [setting(call.arg("output_padding", 5, 0), axis) for axis in axes]
    better = [_even(*numbers) for numbers in zip(kernel, stride, padding, extra, strict=True)]
    k, p, e = zip(*better, strict=True)
    return Finding(
        "checkerboard",
        call.path,
        f"kernel {times(kernel)} is not divisible by stride {times(stride)}: neighbouring outputs are "
        "summed from unequal numbers of inputs",
        f"kernel {_one(k)} with padding {_one(p)} and output_padding {_one(e)} gives the same size"
        if min(p) >= 0
        else f"kernel {_one(k)}",
    )


def _even(kernel: int, stride: int, padding: int, extra: int) -> tuple[int, int, int]:
    """Kernel, padding and output padding of the next larger kernel that the stride divides."""
    larger = -(-kernel // stride) * stride
    cut = 2 * padding - extra + larger - kernel
    return larger, -(-cut // 2), cut % 2


def _one(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else str(tuple(numbers))


def _unfollowed(seen: Fields) -> list[Finding]:
    names = list(dict.fromkeys(call.op for call in seen.lost))
    if not names:
        return []
    return [
        Finding(
            "unknown",
            seen.lost[0].path,
            f"what {', '.join(names)} reads is not known, so the layers after it have no field",
            "the other columns hold; measure the part before it by itself",
        )
    ]
