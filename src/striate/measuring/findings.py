"""Findings: something in a net worth a look, each with what mends it.

A size that a fix names has been tried: the net was traced again at it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.measuring.axes import Misaligned
from striate.measuring.fields import Field, Fields, Unread
from striate.measuring.inputs import counted, times
from striate.measuring.misfits import Tries
from striate.measuring.operations import operation
from striate.measuring.operations.arguments import kernel_of, setting
from striate.probe import Call, Trace, Value, as_eval, trace, watch


@dataclass(frozen=True)
class Finding:
    """Something in the net worth a look: what, where, and what to do."""

    kind: str
    path: str
    text: str
    fix: str

    def as_text(self) -> str:
        """One line."""
        return f"{self.path or '(net)'}: {self.text}; {self.fix}"


@dataclass(frozen=True)
class Case:
    """A net, one run of it, and what the run sees.

    `batch` is how many items a step of training takes, if that is known.
    """

    net: nn.Module
    run: Trace
    fields: Fields
    batch: int | None = None

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """By name, shared ones once."""
        return dict(self.net.named_parameters())


def examine(case: Case) -> tuple[Finding, ...]:
    """All findings on one net, those of the whole net first; of a run that stopped, those that need no end."""
    if case.run.error is not None:
        return (*_geometry(case.net, case.run, case.fields), *_biases(case.run), *_frozen(case.net))
    return (
        *_geometry(case.net, case.run, case.fields),
        *_softmax(case.run),
        *_biases(case.run),
        *_single_values(case),
        *_frozen(case.net),
        *_idle(case),
    )


def _softmax(run: Trace) -> list[Finding]:
    """A net that ends in probabilities."""
    ending = {out.index for out in run.outputs}
    last = [c for c in run.calls if ending & {out.index for out in c.outputs}]
    return [
        Finding(
            "softmax",
            call.path,
            f"the net ends in {call.op}, and cross-entropy applies it once more",
            "return the logits, and apply softmax to predictions only",
        )
        for call in last
        if call.op in ("softmax", "log_softmax")
    ]


def _biases(run: Trace) -> list[Finding]:
    """Biases that batch normalisation subtracts again."""
    readers: dict[int, list[Call]] = {}
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
    if not found:
        return []
    paths = list(dict.fromkeys(call.path for call in found))
    more = len(paths) - 1
    who = f"this and {more} more such layers have" if more else "it has"
    return [
        Finding(
            "bias",
            paths[0],
            f"{who} a bias that the batch normalisation after it takes away",
            "build them with bias=False" if more else "build it with bias=False",
        )
    ]


def _single_values(case: Case) -> list[Finding]:
    """Batch normalisation that would see one value a channel."""
    found: list[Finding] = []
    for call in case.run.calls:
        value = call.arg("input")
        if call.op != "batch_norm" or not isinstance(value, Value):
            continue
        space = value.shape[2:]
        if case.batch == 1 or (case.batch is None and prod(space) == 1):
            where = f"maps of {times(space)}" if prod(space) > 1 else "one value a channel"
            found.append(
                Finding(
                    "batch",
                    call.path,
                    f"at batch 1 batch normalisation learns from {where} of a single item",
                    "train with batch=2 or more, or normalise by group",
                )
            )
    return found[:1]


def _frozen(net: nn.Module) -> list[Finding]:
    """Normalisation whose weights are frozen and whose statistics are not."""
    found = [
        path
        for path, module in net.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
        and module.training
        and module.track_running_stats
        and module.affine
        and not any(p.requires_grad for p in module.parameters())
    ]
    if not found or not any(p.requires_grad for p in net.parameters()):
        return []
    return [
        Finding(
            "frozen",
            found[0],
            f"{len(found)} frozen batch normalisation{'s are' if len(found) > 1 else ' is'} in training mode: "
            "the statistics still move",
            "call eval() on it after every train(), as it is done for the rest of what is frozen",
        )
    ]


def _idle(case: Case) -> list[Finding]:
    """Parameters that no function reads, and those that no output sends a gradient to, in training either."""
    read, learning = _read(case.run), _learning(case.run)
    trained = {name for name, p in case.parameters.items() if p.requires_grad}
    if not set(case.parameters) <= read or not trained <= learning:
        run = _in_training(case)  # heads that only training uses
        read, learning = read | _read(run), learning | _learning(run)
    unused = _owners(case, [name for name in case.parameters if name not in read])
    untrained = _owners(case, sorted(trained & read - learning))
    return [
        *(
            Finding(
                "unused",
                owner,
                f"{count:,} parameters are never read",
                "remove them or use them in forward",
            )
            for owner, count in unused.items()
        ),
        *(
            Finding(
                "gradient",
                owner,
                f"{count:,} parameters never get a gradient: none of their results reaches an output",
                "remove the detach after them, use their result, or freeze them with requires_grad_(False)",
            )
            for owner, count in untrained.items()
        ),
    ]


def _in_training(case: Case) -> Trace:
    like = [torch.empty(v.shape, dtype=v.dtype, device="meta") for v in case.run.inputs]
    numbers = case.run.device == "cpu"
    return trace(case.net, like, numbers=numbers, training=True)


def _read(run: Trace) -> set[str]:
    return {name for call in run.calls for name in call.params}


def _learning(run: Trace) -> set[str]:
    """Parameters from which a way leads to an output that gradients can go back."""
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


def _owners(case: Case, names: Sequence[str]) -> dict[str, int]:
    """Parameters by the module that holds them."""
    owners: dict[str, int] = {}
    for name in names:
        owner = name.rpartition(".")[0]
        owners[owner] = owners.get(owner, 0) + case.parameters[name].numel()
    return owners


# What a net reads of its picture: pixels left out, fields too large, branches that miss each other.


def _geometry(net: nn.Module, run: Trace, seen: Fields) -> list[Finding]:
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
        stride = call.arg("stride")
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
        if all(part is None or operation(part.op).selects for part in parts):
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
    stride = [setting(call.arg("stride", 1), axis) for axis in axes]
    if setting(call.arg("dilation", 1), 0) != 1 or all(
        k % s == 0 for k, s in zip(kernel, stride, strict=True)
    ):
        return None
    padding = [setting(call.arg("padding", 0), axis) for axis in axes]
    extra = [setting(call.arg("output_padding", 0), axis) for axis in axes]
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


# What only data shows.

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Threshold)
APART = (
    0.25  # black or white further off than this, in units of the net's input, is another scaling
)


def dead_units(net: nn.Module, x: Tensor) -> tuple[Finding, ...]:
    """Channels after a rectifier that are zero everywhere for every item; the net is as before afterwards.

    Args:
        net: any net whose rectifiers are modules.
        x: items as the net takes them; the more, the surer. None of them moves a statistic.
    """
    paths = [path for path, module in net.named_modules() if isinstance(module, RECTIFIERS)]
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        as_eval(net),
        watch(net, paths) as seen,
    ):
        net(x)
    found: list[Finding] = []
    for path in paths:
        # A module that is called several times has units of its own at every call.
        for call, maps in enumerate(seen.activations[path]):
            dead = int((maps.movedim(1, 0).flatten(1) == 0).all(1).sum())
            if dead:
                which = f" at call {call + 1}" if len(seen.activations[path]) > 1 else ""
                found.append(
                    Finding(
                        "dead",
                        path,
                        f"{dead} of {maps.shape[1]} channels are zero for all {len(x)} items{which}",
                        "train with a smaller rate or warm up longer, or use a leaky rectifier",
                    )
                )
    return tuple(found)


def wrong_normalisation(
    given: tuple[Sequence[float], Sequence[float]],
    expected: tuple[Sequence[float], Sequence[float]],
) -> Finding | None:
    """Whether pictures are scaled otherwise than those that the weights were trained on.

    Compared is what becomes of black and of white, channel by channel.

    Args:
        given: mean and standard deviation a channel that the pictures are normalised with, of values 0..1.
        expected: those of the weights, as `striate.weights` states them.

    Raises:
        ArgumentError: unequal numbers of channels.
    """
    if len({len(numbers) for pair in (given, expected) for numbers in pair}) != 1:
        raise ArgumentError(
            f"the pictures have {len(given[0])} means and the weights {len(expected[0])}; "
            "give one mean and one deviation a channel for both"
        )
    off = max(
        abs((value - m) / s - (value - em) / es)
        for m, s, em, es in zip(*given, *expected, strict=True)
        for value in (0.0, 1.0)
    )
    if off <= APART:
        return None
    mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in expected)
    return Finding(
        "normalisation",
        "",
        f"black or white is off by {off:.2g} from what the weights were trained on",
        f"normalise with mean {mean} and standard deviation {std}",
    )
