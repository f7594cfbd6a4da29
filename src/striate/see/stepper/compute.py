"""Every step of a convolution, a transposed convolution or a pooling, from its settings or from a layer.

C input channels, O outputs, H W cells, K kernel. Along one axis only, H is 1.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.see.stepper.steps import Plane, Step, Steps, Term
from striate.shapes import Ints, in_group, in_size, out_size, per_axis, spread, transposed_size
from striate.shapes.index_maps import FILLS, sliding
from striate.text import times

WORDS = ("zeros", *FILLS)
OPS = ("convolution", "transposed", "max", "average")
MOST_STEPS, MOST_CELLS = 400, 32  # that a picture can hold; cells an axis


# One axis: a transposed convolution is drawn as the same sliding window over its input, spread by the stride, with the
# kernel turned round: Dumoulin and Visin, arXiv 1603.07285, section 4.


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        sources: for every drawn cell the input cell it holds; None where it holds none.
        marks: for every drawn cell "", "padding", or "gap" between inputs that are spread.
        reads: for every output the drawn cell that each cell of the kernel meets.
    """

    sources: tuple[int | None, ...]
    marks: tuple[str, ...]
    reads: tuple[tuple[int, ...], ...]


def forward(
    n: int, *, kernel: int, stride: int, pad: int, dilation: int, fill: str | float, turned: bool
) -> Axis:
    """The axis of a convolution or pooling; where it is turned the last cell of the kernel comes first.

    Raises:
        ArgumentError: an unknown fill.
        ShapeError: the kernel does not fit, or there are too few cells to reflect or wrap round.
    """
    word = "constant" if isinstance(fill, int | float) else fill
    if word not in (*WORDS, "constant"):
        raise ArgumentError(f"fill={fill!r}: unknown; {nearest(word, WORDS)}")
    most = {"reflect": n - 1, "circular": n}.get(word, pad)
    if pad > most:
        raise ShapeError(f"pad={pad}: {word} padding of {n} cells is at most {most}")
    out = out_size(n, kernel=kernel, stride=stride, padding=pad, dilation=dilation)
    cells = range(-pad, n + pad)
    window = sliding(kernel, stride, 0, dilation)
    return Axis(
        tuple(_source(cell, n, word) for cell in cells),
        tuple("" if 0 <= cell < n else "padding" for cell in cells),
        tuple(read[::-1] if turned else read for read in map(window.at, range(out))),
    )


def _source(cell: int, n: int, fill: str) -> int | None:
    inside = 0 <= cell < n
    return cell if inside else FILLS[fill](cell, n) if fill in FILLS else None


def transposed(n: int, *, kernel: int, stride: int, pad: int, dilation: int, extra: int) -> Axis:
    """The axis of a transposed convolution: output y meets the spread input at y + pad - k dilation.

    Raises:
        ShapeError: nothing is left after `pad` is cut off.
    """
    full = transposed_size(n, kernel=kernel, stride=stride, dilation=dilation, output_padding=extra)
    out = full - 2 * pad  # may be nothing, which is told in words of its own
    if out < 1:
        raise ShapeError(f"pad={pad} cuts all of {out + 2 * pad} cells off; take a smaller one")
    turned = sliding(kernel, 1, spread(kernel, dilation) - 1 - pad, dilation)
    low = min(turned.at(0)[0], 0)
    wide = (n - 1) * stride + 1
    cells = range(low, max(wide, out + pad))
    real = [0 <= cell < wide and cell % stride == 0 for cell in cells]
    return Axis(
        tuple(cell // stride if held else None for cell, held in zip(cells, real, strict=True)),
        tuple(_mark(cell, wide, held=held) for cell, held in zip(cells, real, strict=True)),
        tuple(tuple(cell - low for cell in reversed(turned.at(y))) for y in range(out)),
    )


def _mark(cell: int, wide: int, *, held: bool) -> str:
    if held:
        return ""
    return "gap" if 0 <= cell < wide else "padding"


def worst(marks: Iterable[str]) -> str:
    """The mark of a cell from those of its rows and columns: padding hides a gap."""
    found = set(marks)
    return next((mark for mark in ("padding", "gap") if mark in found), "")


class _Slide(NamedTuple):
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    extra: tuple[int, ...]


def convolution(  # noqa: PLR0913 - every option of the operation
    x: Tensor | Sequence[int] = (5, 5),
    kernel: Tensor | Ints = 3,
    *,
    op: str = "convolution",
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: str | float = "zeros",
    output_padding: Ints = 0,
    turned: bool = False,
) -> Steps:
    """Every step of a window that slides over a small input.

    A "convolution" multiplies as PyTorch does, which mathematics calls a correlation; `turned` turns the kernel by half
    first, which is the convolution of the textbooks.

    Args:
        x: the input [C, H, W] or [C, W], or its size as (W,), (H, W) or (C, H, W), then filled with
            small whole numbers.
        kernel: weights [O, C / groups, K, K] ([C, O / groups, K, K] for "transposed"), or the size of one
            kernel as K or (K, K), or those four sizes. Sizes alone give one output a group.
        op: "convolution", "transposed", "max" or "average"; an average counts its padding.
        stride: of the window, or of the spread input of a transposed convolution.
        padding: cells added at each side; cut off the result of a transposed convolution.
        dilation: steps between the cells of the kernel.
        groups: of channels.
        fill: "zeros", a number, "reflect", "replicate" or "circular"; zeros under a maximum are -inf, as in PyTorch,
            a number is itself.
        output_padding: cells added at the end, for "transposed".
        turned: the kernel of a "convolution" is turned by half before it is laid on.

    Raises:
        ArgumentError: an unknown op or fill, groups that do not divide, or more than can be drawn.
        ShapeError: sizes that do not fit.
    """
    if op not in OPS:
        raise ArgumentError(f"op={op!r}: unknown; {nearest(op, OPS)}")
    if turned and op != "convolution":
        raise ArgumentError(f'turned: only with op="convolution", got op={op!r}')
    x_CHW, flat = _input(x, groups)
    weight = _weight(kernel, x_CHW.shape[0], groups, op, flat=flat)
    slide = _Slide(
        tuple(weight.shape[-2:]),
        _two(stride, "stride", flat=flat),
        _two(padding, "padding", flat=flat, neutral=0),
        _two(dilation, "dilation", flat=flat),
        _two(output_padding, "output_padding", flat=flat, neutral=0),
    )
    rows, columns = _axes(op, x_CHW, slide, fill, turned=turned)
    output = (_outputs(weight, op, x_CHW.shape[0], groups), len(rows.reads), len(columns.reads))
    _check(output, (rows, columns))
    nothing = float(fill) if isinstance(fill, int | float) else -math.inf if op == "max" else 0.0
    made = Steps(
        op=op,
        said=_said(op, x_CHW, slide, groups, fill) + ", kernel turned" * turned,
        inputs=x_CHW.tolist(),
        drawn=[_drawn(plane, rows, columns, nothing) for plane in x_CHW.tolist()],
        marks=[[worst((r, c)) for c in columns.marks] for r in rows.marks],
        kernels=[] if op in ("max", "average") else _kernels(weight, op, groups),
        groups=x_CHW.shape[0] if op in ("max", "average") else groups,
        steps=(),
        output=output,
        sources=(rows.sources, columns.sources),
        turned=turned or op == "transposed",
    )
    places = product(range(output[0]), range(output[1]), range(output[2]))
    return replace(made, steps=tuple(_step(made, rows, columns, at) for at in places))


def _input(x: Tensor | Sequence[int], groups: int) -> tuple[Tensor, bool]:
    if isinstance(x, Tensor):
        if x.ndim not in (2, 3):
            raise ShapeError(f"x: got shape {tuple(x.shape)}, expected (channels, height, width)")
        given = x.detach().double().cpu()
        return (given[:, None] if x.ndim == 2 else given), x.ndim == 2
    size = tuple(x)
    if len(size) not in (1, 2, 3) or min(size) < 1:
        raise ShapeError(
            f"x: got size {size}, expected (width,), (height, width) or (channels, height, width)"
        )
    full = {1: (groups, 1, *size), 2: (groups, *size), 3: size}[len(size)]
    return _whole(full, 0, 6, seed=0), len(size) == 1


def _weight(kernel: Tensor | Ints, channels: int, groups: int, op: str, *, flat: bool) -> Tensor:
    if isinstance(kernel, Tensor):
        given = kernel.detach().double().cpu()
        weight = given[:, :, None] if given.ndim == 3 else given
    elif isinstance(kernel, int) or len(kernel) <= 2:
        size = _two(kernel, "kernel", flat=flat)
        lead = (channels, 1) if op == "transposed" else (groups, in_group(channels, groups, groups))
        weight = _whole((*lead, *size), -2, 3, seed=1)
    else:
        weight = _whole(tuple(kernel), -2, 3, seed=1)
    if op in ("max", "average"):
        return weight
    first = weight.shape[0] if op == "transposed" else weight.shape[1] * groups
    if weight.ndim != 4 or first != channels or weight.shape[0] % groups:
        raise ShapeError(
            f"kernel: got shape {tuple(weight.shape)}, expected "
            + ("[C, O / groups, K, K]" if op == "transposed" else "[O, C / groups, K, K]")
            + f" for {channels} input channels and groups={groups}"
        )
    return weight


def _whole(size: Sequence[int], low: int, high: int, *, seed: int) -> Tensor:
    """Small whole numbers, the same every time: sums can be checked in the head."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, tuple(size), generator=generator).double()


def _two(value: Ints, name: str, *, flat: bool, neutral: int = 1) -> tuple[int, ...]:
    if not flat:
        return per_axis(value, 2, name, least=neutral)
    return (neutral, *per_axis(value, 1, name, least=neutral))


def _axes(
    op: str, x_CHW: Tensor, slide: _Slide, fill: str | float, *, turned: bool
) -> tuple[Axis, Axis]:
    def axis(i: int) -> Axis:
        n, kernel, stride = x_CHW.shape[1 + i], slide.kernel[i], slide.stride[i]
        pad, dilation = slide.pad[i], slide.dilation[i]
        if op == "transposed":
            return transposed(
                n, kernel=kernel, stride=stride, pad=pad, dilation=dilation, extra=slide.extra[i]
            )
        return forward(
            n, kernel=kernel, stride=stride, pad=pad, dilation=dilation, fill=fill, turned=turned
        )

    if op == "transposed" and fill != "zeros":
        raise ArgumentError(f"fill={fill!r}: a transposed convolution only cuts its padding off")
    if any(slide.extra) and op != "transposed":
        raise ArgumentError('output_padding: only with op="transposed"')
    return axis(0), axis(1)


def _check(output: tuple[int, int, int], axes: Sequence[Axis]) -> None:
    steps, widest = math.prod(output), max(len(axis.sources) for axis in axes)
    if steps > MOST_STEPS or widest > MOST_CELLS:
        raise ArgumentError(
            f"{steps} steps over {widest} cells are more than a picture holds ({MOST_STEPS} steps, "
            f"{MOST_CELLS} cells an axis); take a smaller input"
        )


def _outputs(weight: Tensor, op: str, channels: int, groups: int) -> int:
    if op in ("max", "average"):
        return channels
    return weight.shape[1] * groups if op == "transposed" else weight.shape[0]


def _drawn(plane: Plane, rows: Axis, columns: Axis, nothing: float) -> Plane:
    return [
        [nothing if r is None or c is None else plane[r][c] for c in columns.sources]
        for r in rows.sources
    ]


def _kernels(weight: Tensor, op: str, groups: int) -> list[list[Plane]]:
    if op != "transposed":
        return weight.tolist()
    per_group = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return per_group.tolist()


def _said(op: str, x_CHW: Tensor, slide: _Slide, groups: int, fill: str | float) -> str:
    words = [op, f"input {times(x_CHW.shape)}", f"kernel {times(slide.kernel)}"]
    words += [f"stride {times(slide.stride)}", f"padding {times(slide.pad)}"]
    words += [f"dilation {times(slide.dilation)}"] * (max(slide.dilation) > 1)
    words += [f"output padding {times(slide.extra)}"] * any(slide.extra)
    words += [f"groups {groups}"] * (groups > 1) + [f"{fill} fill"] * (
        fill not in ("zeros", "constant")
    )
    return ", ".join(words)


def _step(made: Steps, rows: Axis, columns: Axis, at: tuple[int, int, int]) -> Step:
    o, y, x = at
    per_group = len(made.inputs) // made.groups
    first = o // (made.output[0] // made.groups) * per_group
    planes = made.kernels[o] if made.kernels else [None]
    terms = tuple(
        Term(
            first + i,
            (row, column),
            (r, c),
            made.drawn[first + i][row][column],
            1.0 if plane is None else plane[r][c],
            made.marks[row][column],
        )
        for i, plane in enumerate(planes)
        for r, row in enumerate(rows.reads[y])
        for c, column in enumerate(columns.reads[x])
    )
    if made.op == "max":
        taken = max(range(len(terms)), key=lambda i: terms[i].input)
        return Step(at, terms, terms[taken].input, taken)
    total = math.fsum(term.product for term in terms)
    return Step(at, terms, total / len(terms) if made.op == "average" else total)


WINDOWS: dict[type[nn.Module], str] = {
    nn.Conv1d: "convolution",
    nn.Conv2d: "convolution",
    nn.ConvTranspose1d: "transposed",
    nn.ConvTranspose2d: "transposed",
    nn.MaxPool1d: "max",
    nn.MaxPool2d: "max",
    nn.AvgPool1d: "average",
    nn.AvgPool2d: "average",
}


def like(layer: nn.Module, size: Sequence[int] | None = None) -> Steps:
    """One channel of a layer's window, with small whole numbers in place of its own.

    Args:
        layer: a convolution or pooling of one or two axes.
        size: of the input; by default what gives four steps an axis.

    Raises:
        ArgumentError: the layer has no such window.
    """
    op = next((op for kind, op in WINDOWS.items() if isinstance(layer, kind)), None)
    if op is None:
        raise ArgumentError(
            f"{type(layer).__name__} has no window to step through; name a convolution or a pooling "
            "of one or two axes"
        )
    rank = int(next(c for c in reversed(type(layer).__name__) if c.isdigit()))
    kernel, dilation = _setting(layer, "kernel_size", rank), _setting(layer, "dilation", rank)
    stride, pad = _setting(layer, "stride", rank), _padding(layer, kernel, dilation)
    axes = zip(kernel, stride, pad, dilation, strict=True)
    found = [
        3 if op == "transposed" else max(1, in_size(4, kernel=k, stride=s, padding=p, dilation=d))
        for k, s, p, d in axes
    ]
    return convolution(
        found if size is None else size,
        kernel,
        op=op,
        stride=stride,
        padding=pad,
        dilation=dilation,
        fill=getattr(layer, "padding_mode", "zeros"),
        output_padding=_setting(layer, "output_padding", rank, 0),
    )


def _setting(layer: nn.Module, name: str, rank: int, default: int = 1) -> tuple[int, ...]:
    return per_axis(getattr(layer, name, default), rank, name, least=0)


def _padding(layer: nn.Module, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    given: Any = getattr(layer, "padding", 0)
    if given == "valid":
        return (0,) * len(kernel)
    if given != "same":
        return per_axis(given, len(kernel), "padding", least=0)
    if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
        raise ArgumentError(
            'padding="same" of an even kernel adds more on one side, which is not drawn; name the cells'
        )
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
