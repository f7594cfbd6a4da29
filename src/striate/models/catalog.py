"""The catalogue: every net by name, with its published facts. Needs torch only once a net is built.

Figures are for one item at `input`; `macs` counts one multiply-add as one and padding cells as read.
"""

import fnmatch
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from striate.errors import ArgumentError, ShapeError, nearest
from striate.models.catalog_rows import ROWS as CATALOG
from striate.models.catalog_rows import TOP1
from striate.models.row_types import Entry, Request, Value
from striate.result import Result, contained, html_table, text_table
from striate.text import SPACE, compact, times, wide, wrapped

if TYPE_CHECKING:
    import torch

    from striate.models.backbone import Backbone


__all__ = ["CATALOG", "NetTable", "able", "backbones", "build", "entry", "nets", "outline"]

AXES = {
    "series": "channels, frames",
    "picture": "channels, height, width",
    "graph": "channels, steps, nodes",
    "volume": "channels, depth, height, width",
}
FREE = (
    "regress",
    "multilabel",
    "localise",
)  # tasks that no row lists: their answers are free numbers
LIBRARIES = ("timm", "torchvision")  # packages whose nets open by name where they are installed


def is_library(name: str) -> bool:
    """Whether a word is `timm/NAME` or `torchvision/NAME`: a net of those packages, or weights of one."""
    return name.partition("/")[0] in LIBRARIES and "/" in name


def entry(name: str) -> Entry:
    """One row of the catalogue, or what corresponds to it of a net of timm or torchvision.

    Raises:
        ArgumentError: no net has this name; the message ends with the nearest.
        MissingExtraError: the package that has it is not installed.
    """
    if is_library(name):
        from striate.models import libraries

        return libraries.entry(name)
    if name not in CATALOG:
        raise ArgumentError(f"no net is called {name!r}; {nearest(name, CATALOG)}")
    return CATALOG[name]


def backbones(*strides: int) -> list[str]:
    """Names of the nets whose maps heads can stand on; if strides are given, of those with a map of one of them."""
    return [
        row.name
        for row in CATALOG.values()
        if row.strides and (not strides or set(strides) & set(row.strides))
    ]


def able(task: str, axes: int) -> list[str]:
    """Names of the nets that can do a task on items of so many axes, channels included: a picture has three.

    What takes free numbers, such as values, is done by the nets that classify, unless their answers are bounded.

    Raises:
        ArgumentError: no net does such a task.
    """
    tasks = {*(task for row in CATALOG.values() for task in row.tasks), *FREE}
    if task not in tasks:
        raise ArgumentError(f"no net does {task!r}; {nearest(task, tasks)}")
    return [row.name for row in CATALOG.values() if does(row, task, axes)]


def does(row: Entry, task: str, axes: int) -> bool:
    """Whether a net can do a task on items of so many axes, channels included."""
    return len(row.input) == axes and _does(row, task)


def _does(row: Entry, task: str) -> bool:
    return "classify" in row.tasks and not row.bounded if task in FREE else task in row.tasks


def build(
    name: str,
    *,
    in_channels: int | None = None,
    num_classes: int | None = None,
    size: int | tuple[int, ...] | None = None,
    width: float = 1.0,
    generator: "torch.Generator | None" = None,
    init: bool = True,
    **options: object,
) -> "Backbone":
    """A net of the catalogue, in training mode on the CPU; whatever is not said is as published.

    A net of timm or torchvision is a plain module, whose first weights PyTorch's global generator draws.

    Args:
        name: a key of `CATALOG`, or `timm/NAME`, `torchvision/NAME`.
        in_channels: channels of a picture.
        num_classes: logits of an item; 0 leaves the head of a classifier out, and what it would have read is
            the answer.
        size: height and width of a picture in pixels, depth, height and width of a volume, or one side of all.
        width: factor on the channels between input and output.
        generator: source of the first weights. None is a new one, so equal calls give equal
            weights; the global random state is neither read nor moved.
        init: False leaves the weights unset, for a net whose weights are loaded next.
        options: settings of the family, such as act="tanh" or drop_rate=0.2; see `Entry.options`.

    Raises:
        ArgumentError: an unknown name or option, or a value out of range.
        ShapeError: a size that the net cannot take; raised before anything is allocated.
    """
    request = _request(
        entry(name),
        in_channels=in_channels,
        num_classes=num_classes,
        size=size,
        width=width,
        options=options,
    )
    if is_library(name):
        from striate.models import libraries

        return cast("Backbone", libraries.build(request, generator))
    import torch

    from striate.models.init import skipped

    with skipped():
        net: Backbone = import_module(f"striate.models.{entry(name).file}").build(request)
    if init:
        net.initialise(torch.Generator() if generator is None else generator)
    if num_classes == 0:
        net.reset_head(0)
    return net


def outline(name: str, shape: Sequence[int] | None = None, *, init: bool = False) -> "Backbone":
    """A net as used for inference, for one shape of input; without weights if only looked at.

    Args:
        name: a key of `CATALOG`.
        shape: (C, H, W) of one item, (C, frames) of a net over time, (C, D, H, W) of one over volumes; None is as published.
        init: whether it gets first weights.

    Raises:
        ArgumentError: an unknown name.
        ShapeError: a shape of another kind, or one that the net cannot take.
    """
    row = entry(name)
    channels, *size = shape or row.input
    if len(size) + 1 != len(row.input):
        axes = AXES[row.kind]
        such = times(row.input)
        raise ShapeError(
            f"{name} reads one {row.kind}, such as {such} ({axes}); got {times(shape or ())}"
        )
    bare: dict[str, Any] = {"auxiliary": False} if "auxiliary" in row.options else {}
    return build(name, in_channels=channels, size=tuple(size), init=init, **bare)


HEADER = ("net", "family", "year", "input", "params", "MACs", "top-1", "tasks", "note")
DROPPED = (
    "note",
    "family",
    "tasks",
    "input",
    "top-1",
    "year",
    "MACs",
)  # in this order, where there is no room


FEW = 8  # nets of which a table also says what courses give otherwise


@dataclass(frozen=True, repr=False)
class NetTable(Result):
    """The nets that a pattern matches, in the order of the catalogue."""

    entries: tuple[Entry, ...]

    def as_list(self) -> list[dict[str, object]]:
        """The JSON shape `nets`: one object a net."""
        return [entry.as_dict() | {"top1": TOP1.get(entry.name)} for entry in self.entries]

    def as_dict(self) -> dict[str, Any]:
        """The same rows under one key, as every result gives a dictionary."""
        return {"nets": self.as_list()}

    def as_text(self, *, width: int | None = None) -> str:
        """One line a net, and what the columns say.

        Args:
            width: columns of a terminal, for which what does not fit is left out; None leaves out nothing.
        """
        rows, kept = self._rows(), list(HEADER)
        table = text_table(HEADER, rows)
        for name in DROPPED if width is not None else ():
            if max(map(wide, table.splitlines())) <= (width or 0):
                break
            kept.remove(name)
            places = [HEADER.index(each) for each in kept]
            table = text_table(kept, [[row[i] for i in places] for row in rows])
        gone = [name for name in HEADER if name not in kept]
        said = f"{SAYS} Left out for want of room: {', '.join(gone)}." if gone else SAYS
        lines = [said, *self._taught()]
        return "\n".join(
            [table, *(line if width is None else wrapped(line, width) for line in lines)]
        )

    def _taught(self) -> list[str]:
        """What courses say otherwise, of a few nets a line each; of many it stands in --json alone."""
        if len(self.entries) > FEW:
            return []
        return [f"{entry.name}: {entry.taught}." for entry in self.entries if entry.taught]

    def _rows(self) -> list[list[str]]:
        return [
            [
                entry.name,
                entry.family,
                str(entry.year),
                times(entry.input),
                compact(entry.params),
                compact(entry.macs),
                f"{TOP1[entry.name]:.1f}{SPACE}%" if entry.name in TOP1 else "-",
                ", ".join(entry.tasks),
                entry.note,
            ]
            for entry in self.entries
        ]

    def __repr__(self) -> str:
        names = ", ".join(entry.name for entry in self.entries[:4])
        return (
            f"NetTable({len(self.entries)} nets: {names}{', ...' if len(self.entries) > 4 else ''})"
        )

    def _repr_html_(self) -> str:
        lines = [SAYS, *self._taught()]
        said = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        return contained(html_table(HEADER, self._rows()) + said)


SAYS = (
    "For one item of the input shown, at inference: params are parameters, MACs multiply-adds (k, M, G: thousand, million, "
    "thousand million; --json has every digit). top-1: percent of ImageNet's validation pictures that the best published "
    "weights answer rightly."
)


def nets(pattern: str | None = None) -> NetTable:
    """The catalogue, or the nets whose name or family contains or matches (*, ?) a pattern.

    Raises:
        ArgumentError: nothing matches.
    """
    wanted = "*" if not pattern else pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    found = tuple(
        row
        for row in CATALOG.values()
        if any(fnmatch.fnmatchcase(word, wanted) for word in (row.name, row.family))
    )
    if not found:
        raise ArgumentError(f"no net matches {pattern!r}; {nearest(str(pattern), CATALOG)}")
    return NetTable(found)


def _request(
    row: Entry,
    *,
    in_channels: int | None,
    num_classes: int | None,
    size: int | tuple[int, ...] | None,
    width: float,
    options: Mapping[str, object],
) -> Request:
    channels, *published = row.input
    sides = (size,) * len(published) if isinstance(size, int) else tuple(size or published)
    if len(sides) != len(published):
        raise ShapeError(
            f"{row.name}: size takes one number or {len(published)}, as in {tuple(published)}; got {sides}"
        )
    names = ("the length",) if len(sides) == 1 else ("the depth", "the height", "the width")
    axes = [f"{name} in size" for name in names[-len(sides) :]]
    headless = num_classes == 0 and "classify" in row.tasks  # built with its head, which then goes
    counts = {
        "in_channels": channels if in_channels is None else in_channels,
        "num_classes": row.classes if num_classes is None or headless else num_classes,
        **dict(zip(axes, sides, strict=True)),
    }
    for what, count in counts.items():
        if count < 1:
            raise ShapeError(f"{row.name}: {what} must be at least 1, got {count}")
    if not (math.isfinite(width) and width > 0):
        raise ArgumentError(f"{row.name}: width must be a factor above 0, got {width}")
    return Request(
        name=row.name,
        in_channels=counts["in_channels"],
        num_classes=counts["num_classes"],
        size=sides,
        width=width,
        options=_settled(row, options),
    )


def _word(value: Value) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _settled(row: Entry, given: Mapping[str, object]) -> dict[str, Value]:
    for key in given:
        if key not in row.options:
            raise ArgumentError(
                f"{row.name} has no option {key!r}; "
                + (nearest(key, row.options) if row.options else "it takes none")
            )
        if given[key] is None:  # what a setting without a value is read as
            default = row.options[key].default
            raise ArgumentError(
                f"{row.name}: {key} has no value: leave it out, which means {key}={_word(default)}, or give it one"
            )
    settled = {
        key: option.read(f"{row.name}: {key}", given[key]) if key in given else option.default
        for key, option in row.options.items()
    }
    if "aux_weights" in given and settled.get("auxiliary") is False:
        raise ArgumentError(
            f"{row.name}: aux_weights weighs the losses of auxiliary classifiers, and auxiliary=false leaves these out; leave "
            "one of the two out"
        )
    return settled
