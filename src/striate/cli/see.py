"""`striate see WHAT ...`: pictures and numbers from inside a net."""

from pathlib import Path

import click

from striate.cli.output import FOLDER, emit, read_ints, read_sizes, with_json


@click.group()
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
@click.option("--out", type=FOLDER, metavar="FILE.html", help="Also as a page.")
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
    from striate.report import html_page
    from striate.workbench import pictures
    from striate.workbench.nets import find

    named = find(name, read_sizes(shape) if shape else None, init=True)
    x = pictures.read(file, named)
    place = read_ints(at, "--at")
    told = explain(named.net, x, layer=layer, at=place, call=call)
    followed = told.walk(read_ints(terms, "--terms") if terms else ()) if walk or terms else None
    result = followed or told
    if out is not None:
        out.write_text(html_page(f"{name}: {layer} {at}", result.as_html()), encoding="utf-8")
    emit(result.as_dict(), result.as_text(), json=json)
