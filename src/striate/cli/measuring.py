"""`striate measure`: the sheet of a net, nets side by side, its cost of training, its maps fully connected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import click

from striate.cli.output import columns, emit, read_sizes, with_json
from striate.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from striate.measuring import Sheet


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NET...")
@click.option(
    "--input",
    "shapes",
    multiple=True,
    help="Such as 3x224x224; once an input of the net, which may have a name and a type: mask=bool:1x224x224.",
)
@click.option(
    "--at", metavar="SIZE,SIZE", help="One net at several inputs, such as 160,224 or 3x96x96."
)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    metavar="N",
    help="Modules N steps below the net stand in one row; all are opened if not given.",
)
@click.option("--to-mlp", is_flag=True, help="The weights of the same maps fully connected.")
@click.option(
    "--training",
    is_flag=True,
    help="What training costs: MACs, memory; catalogue nets narrower and smaller too.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Items a step of training.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "momentum", "adamw"]),
    default="momentum",
    show_default=True,
)
@click.option("--memory", is_flag=True, help="With --training: measure what a forward pass keeps.")
@click.option("--time", is_flag=True, help="With --training: time a step.")
@click.option(
    "--device", default="cpu", show_default=True, help="Where memory and time are measured."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html", "csv"]),
    default="text",
    show_default=True,
)
@with_json
def measure(
    *,
    names: Sequence[str],
    shapes: Sequence[str],
    at: str | None,
    to_mlp: bool,
    form: str,
    json: bool,
    **settings: Any,
) -> None:
    """Count shapes, parameters, connections and multiply-adds of any NET; several stand side by side.

    NET is a catalogue name, a run folder or package.module:factory.
    """
    from striate.measuring import Comparison, page

    if json and form in ("html", "csv"):
        raise UsageError(f"--json and --format {form} are two forms: name one")
    json = json or form == "json"
    found = _nets(names, shapes, at)
    if to_mlp:
        return _dense(found, json=json)
    training = settings["training"] or settings["memory"] or settings["time"]
    costs = [_training(each, settings) if training else None for each in found]
    sheets = [_sheet(each) for each in found]
    documents = [
        sheet.as_dict() | ({"training": cost[0]} if cost else {})
        for sheet, cost in zip(sheets, costs, strict=True)
    ]
    if form == "html":
        return emit({}, page(sheets), json=False)
    if form == "csv":
        if len(sheets) > 1:
            raise UsageError(f"--format csv is the sheet of one net; got {len(sheets)}")
        return emit({}, sheets[0].as_csv().rstrip(), json=False)
    width = columns()
    text = Comparison(tuple(sheets)).as_text(width=width)
    if len(sheets) == 1:
        text = sheets[0].as_text(width=width, depth=settings["depth"])
    texts = [text, *(cost[1] for cost in costs if cost)]
    emit(documents[0] if len(documents) == 1 else documents, "\n\n".join(texts), json=json)
    for sheet in sheets:
        if sheet.unfinished:
            raise UsageError(sheet.unfinished.text)
    return None


@dataclass(frozen=True)
class Fed:
    """A net and what one item of each of its inputs looks like."""

    name: str
    net: "nn.Module"
    shapes: Sequence[Any] | dict[str, Any]


def _nets(names: Sequence[str], shapes: Sequence[str], at: str | None) -> list[Fed]:
    from striate.workbench.nets import find

    if len(shapes) > 1 or any(mark in shape for shape in shapes for mark in "=:"):
        return [_of_own(name, shapes, at) for name in names]
    given = read_sizes(shapes[0]) if shapes else None
    if at is None:
        found = [find(name, given) for name in names]
    else:
        if len(names) != 1:
            raise UsageError(f"--at measures one NET at several inputs; got {len(names)} nets")
        usual = find(names[0], given).shape
        if usual is None:
            raise UsageError(
                f"--at needs --input to know the channels of {names[0]}, such as 3x224x224"
            )
        found = [find(names[0], _scaled(size, usual)) for size in at.split(",")]
    return [Fed(each.name, each.net, [each.known_shape()]) for each in found]


def _of_own(name: str, shapes: Sequence[str], at: str | None) -> Fed:
    """A net of the user's own, whose inputs may be several, and have names and types; all others read one picture."""
    from striate.workbench.nets import find

    if at is not None:
        raise UsageError("--at measures a net of one input at several sizes: give --input once")
    if ":" not in name:
        given = f"--input {len(shapes)} times" if len(shapes) > 1 else f"--input {shapes[0]}"
        raise UsageError(f"{name} reads one input; got {given}")
    return Fed(name, find(name).net, _read_inputs(shapes))


def _read_inputs(texts: Sequence[str]) -> list[Any] | dict[str, Any]:
    """One argument a text in order, or by name; a name that comes again makes a list."""
    from striate.measuring import read_argument

    found: dict[str, Any] = {}
    for i, text in enumerate(texts):
        name, _, rest = text.rpartition("=")
        found.setdefault(name or str(i), []).append(read_argument(rest))
    named = [name for name in found if not name.isdecimal()]
    if not named:
        return [argument for (argument,) in found.values()]
    if len(named) < len(found):
        raise UsageError("give every --input a name, or none: image=3x224x224, mask=bool:1x224x224")
    return {name: items[0] if len(items) == 1 else items for name, items in found.items()}


def _scaled(text: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    """One side stands for all of them; with a side an axis the channels stay; else it is the whole input."""
    sizes = read_sizes(text, "--at")
    if len(sizes) == 1:
        return (usual[0], *sizes * (len(usual) - 1))
    return (usual[0], *sizes) if len(sizes) == len(usual) - 1 else sizes


def _sheet(fed: Fed) -> "Sheet":
    from striate.measuring import measure as count

    return replace(count(fed.net, fed.shapes), net=fed.name)


def _dense(found: Sequence[Fed], *, json: bool) -> None:
    from striate.measuring import to_mlp

    told = [(each, to_mlp(each.net, each.shapes)) for each in found]
    documents = [{"net": each.name} | mlp.as_dict() for each, mlp in told]
    text = "\n\n".join(f"{each.name}\n{mlp.as_text()}" for each, mlp in told)
    emit(documents[0] if len(documents) == 1 else documents, text, json=json)


def _training(fed: Fed, settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The key `training` of one net, and the same as text."""
    from striate.measuring import forecast, training_cost
    from striate.models.catalog import CATALOG

    asked = {key: settings[key] for key in ("batch", "optimizer", "memory", "time", "device")}
    cost = training_cost(fed.net, fed.shapes, **asked)
    if fed.name not in CATALOG:
        return cost.as_dict(), f"{fed.name}: {cost.as_text()}"
    (shape,) = fed.shapes
    other = forecast(fed.name, cost, cast("tuple[int, ...]", shape))
    text = f"{fed.name}: {cost.as_text()}\n\n{other.as_text()}"
    return cost.as_dict() | {"forecast": other.as_list()}, text
