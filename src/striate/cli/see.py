"""`striate see WHAT ...`: pictures and numbers from inside a net."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.output import (
    FOLDER,
    Drawn,
    emit,
    read_ints,
    read_numbers,
    read_sizes,
    save,
    seen,
    with_json,
    writing,
)
from striate.cli.pictures import Pictures
from striate.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import nn

    from striate.see import Steps


def _files(*endings: str, said: str) -> Callable[[Any], Any]:
    """The option `--out` of a drawing that can be written several ways."""
    return click.option(
        "--out",
        type=Drawn(*endings),
        multiple=True,
        metavar="FILE",
        help=f"{said}; may be given more than once.",
    )


def _save(drawn: Any, out: Iterable[Path]) -> None:
    for path in out:
        with writing(path):
            drawn.save(path)


@click.group(cls=Pictures)
def see() -> None:
    """Look inside a net."""


@see.command()
@click.argument("name", metavar="NET")
@click.argument("file", type=FOLDER)
@click.option("--layer", required=True, help="By its name in the sheet, such as layer1.0.conv2.")
@click.option(
    "--at", required=True, metavar="C,Y,X", help="Which number of its output, such as 5,0,12."
)
@click.option("--call", type=int, default=0, show_default=True, help="Of a layer called twice.")
@click.option("--input", "shape", help="Such as 3x224x224.")
@click.option("--walk", is_flag=True, help="From the number back to a pixel, one line a step.")
@click.option("--terms", metavar="I,J", help="Terms that the walk follows first.")
@click.option("--out", type=Drawn(".html"), metavar="FILE.html", help="Also as a page.")
@with_json
def arithmetic(  # noqa: PLR0913 - one a setting
    name: str,
    file: Path,
    *,
    layer: str,
    at: str,
    call: int,
    shape: str | None,
    walk: bool,
    terms: str | None,
    out: Path | None,
    json: bool,
) -> None:
    """Show how one number of a layer of NET came about when it reads the picture FILE."""
    from striate.measuring import explain
    from striate.workbench.nets import find, read_picture

    named = find(name, read_sizes(shape) if shape else None, init=True)
    x = read_picture(file, named)
    place = read_ints(at, "--at")
    told = explain(named.net, x, layer=layer, at=place, call=call)
    followed = told.walk(read_ints(terms, "--terms") if terms else ()) if walk or terms else None
    result = followed or told
    if out is not None:
        from striate.workbench.arithmetic_page import page

        save(out, page(f"{name}: {layer} {at}", named.net, x, result))
    document = seen(
        "arithmetic",
        result.as_dict(),
        nets=[name],
        layer=layer,
        items=[file],
        files=[out] if out else [],
    )
    emit(document, result.as_text(), json=json)


@see.command()
@click.option(
    "--input", "size", help="5x5, or 2x5x5 with channels; 7 along one axis. [default: 5x5]"
)
@click.option("--kernel", default="3", show_default=True, help="Such as 3 or 3x3.")
@click.option("--stride", default="1", show_default=True)
@click.option("--pad", default="0", show_default=True)
@click.option("--dilation", default="1", show_default=True)
@click.option("--groups", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--fill", default="zeros", help="zeros, a number, reflect, replicate or circular.")
@click.option("--values", metavar="NUMBERS", help="The input: '1 2 3; 4 5 6' or a file, .npy too.")
@click.option("--weights", metavar="NUMBERS", help="The kernel, likewise; | parts planes.")
@click.option("--turned", is_flag=True, help="Turn the kernel by half first, as textbooks do.")
@click.option("--transposed", is_flag=True, help="A transposed convolution.")
@click.option("--pool", type=click.Choice(["max", "average"]), help="A pooling.")
@click.option("--output-pad", default="0", help="Of a transposed convolution.")
@click.option("--like", metavar="NET:LAYER", help="The window of a layer of a net.")
@click.option("--backward", is_flag=True, help="How the output's error flows back; 1 everywhere.")
@click.option(
    "--error", metavar="NUMBERS", help="That error, as --values; or C,Y,X: 1 there alone."
)
@_files(".svg", ".gif", ".html", said=".html to step through, .gif or .svg")
@with_json
def convolution(
    *,
    size: str | None,
    like: str | None,
    backward: bool,
    error: str | None,
    out: tuple[Path, ...],
    json: bool,
    **settings: Any,
) -> None:
    """Draw every step of a convolution or pooling, or print its numbers."""
    from striate.see import stepper

    shape = read_sizes(size) if size else None
    steps = stepper.like(_layer(like), shape) if like else _steps(shape, **settings)
    shown = stepper.backward(steps, _error(error)) if backward or error else steps
    _save(shown, out)
    name, _, layer = like.rpartition(":") if like else ("", "", "")
    document = seen(
        "convolution",
        shown.as_dict(),
        nets=[name] if name else [],
        layer=layer,
        files=out,
    )
    emit(document, steps.said if out else shown.as_text(), json=json)


@see.command()
@click.argument("name", metavar="NET")
@click.option("--input", "shape", help="Such as 3x224x224.")
@click.option(
    "--detail",
    type=click.Choice(["block", "layer"]),
    default="block",
    show_default=True,
    help="block: what is alike is drawn once; layer: every layer.",
)
@_files(".svg", ".png", ".html", said="The picture: .svg, .png or .html")
@with_json
def architecture(
    *, name: str, shape: str | None, detail: str, out: tuple[Path, ...], json: bool
) -> None:
    """Draw NET as boxes to scale, a box a stage, with what is inside its blocks."""
    import torch

    from striate.see import architecture as draw
    from striate.workbench.nets import find

    named = find(name, read_sizes(shape) if shape else None)
    like = torch.zeros(1, *named.known_shape(), device="meta")
    drawn = draw(named.net, [like], name=named.name, detail=detail)
    _save(drawn, out)
    document = seen("architecture", drawn.as_dict(), nets=[named.name], files=out)
    emit(document, drawn.as_text(), json=json)


@see.command()
@click.argument("what", type=click.Choice(["depth", "cost"]))
@_files(".svg", ".png", ".html", said="The chart: .svg, .png or .html")
@with_json
def history(*, what: str, out: tuple[Path, ...], json: bool) -> None:
    """Chart error and depth by year, or accuracy against multiply-adds and parameters."""
    from striate.see import costs, depths

    chart = depths() if what == "depth" else costs()
    _save(chart, out)
    emit(seen("history", chart.as_dict(), files=out), chart.as_text(), json=json)


def _steps(shape: tuple[int, ...] | None, **settings: Any) -> "Steps":
    from striate.see import stepper

    if settings["transposed"] and settings["pool"]:
        raise UsageError("--transposed and --pool are two operations: name one")
    x, kernel = _given(shape, **settings)
    return stepper.convolution(
        x,
        kernel,
        op="transposed" if settings["transposed"] else settings["pool"] or "convolution",
        stride=_sizes(settings["stride"], "--stride"),
        padding=_sizes(settings["pad"], "--pad", least=0),
        dilation=_sizes(settings["dilation"], "--dilation"),
        groups=settings["groups"],
        fill=_fill(settings["fill"]),
        output_padding=_sizes(settings["output_pad"], "--output-pad", least=0),
        turned=settings["turned"],
    )


def _given(shape: tuple[int, ...] | None, **settings: Any) -> tuple[Any, Any]:
    """Input and kernel: numbers where they are given, else sizes; one row alone is one axis."""
    values, weights = (
        None if (text := settings[key]) is None else read_numbers(text, f"--{key}")
        for key in ("values", "weights")
    )
    if values is not None and shape is not None:
        raise UsageError("--input and --values both say the input: leave one out")
    if weights is not None and settings["pool"]:
        raise UsageError("--weights: a pooling has none; --kernel says its size")
    channels = settings["groups"] if shape is None or len(shape) < 3 else shape[0]
    if values is not None:
        channels = len(values)
    x: Any = (shape or (5, 5)) if values is None else values
    kernel: Any = _sizes(settings["kernel"], "--kernel") if weights is None else weights
    if weights is not None:
        inner = 1 if settings["transposed"] else max(1, channels // settings["groups"])
        lead = (channels, -1) if settings["transposed"] else (-1, inner)
        fits = len(weights) % (channels if settings["transposed"] else inner) == 0
        if not fits:
            raise UsageError(
                f"--weights: {len(weights)} planes do not fit {channels} input channels and groups={settings['groups']}"
            )
        kernel = weights.reshape(*lead, *weights.shape[1:])
    if values is not None and values.shape[1] == 1 and (weights is None or weights.shape[1] == 1):
        x = values[:, 0]
        kernel = kernel[..., 0, :] if weights is not None else kernel
    return x, kernel


def _error(text: str | None) -> Any:
    """The error of an output: numbers, or the place of the one that has any."""
    if text is None:
        return None
    place = re.fullmatch(r"\s*\d+,\d+,\d+\s*", text)
    return read_ints(text, "--error") if place else read_numbers(text, "--error")


def _fill(text: str) -> str | float:
    """A word, or the number that stands for itself."""
    try:
        return float(text)
    except ValueError:
        return text


def _sizes(text: str, option: str, least: int = 1) -> int | tuple[int, ...]:
    sizes = read_sizes(text, option, least=least)
    return sizes[0] if len(sizes) == 1 else sizes


def _layer(text: str) -> "nn.Module":
    from striate.workbench.nets import find

    name, _, path = text.rpartition(":")
    if not name:
        raise UsageError(f"--like {text}: expected NET:LAYER, such as resnet18:conv1")
    layers = dict(find(name).net.named_modules())
    if path not in layers:
        raise UsageError(
            f"--like {text}: {name} has no layer {path!r}; {nearest(path, filter(None, layers))}"
        )
    return layers[path]
