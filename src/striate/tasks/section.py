"""What a section of a report is made of: plain values, whoever gives them.

Words are plain text and are escaped by the page; a figure's markup is what `striate.svg` writes, which escapes too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.inputs import Drawn

U8 = NDArray[np.uint8]

# What the cells of a column are, and how they are written. None is a dash everywhere, and text stays as it is.
#   words, name (may be endless), code, wrong (a name in the colour of mistakes)
#   number, share (0..1, as a percentage)
#   interval (value, low, high: drawn on one axis for the column), bar (a share 0..1, drawn)
Kind = Literal["words", "name", "code", "wrong", "number", "share", "interval", "bar"]


class Column(NamedTuple):
    """The heading of a column, and what its cells are; a `minor` heading is left out on a phone."""

    title: str
    kind: Kind = "words"
    minor: bool = False


@dataclass(frozen=True, eq=False)
class Text:
    """Sentences; `soft` are those beside the point."""

    words: str
    soft: bool = False
    part: ClassVar[str] = "text"


@dataclass(frozen=True, eq=False)
class Table:
    """A table.

    Attributes:
        columns: their headings.
        rows: a cell a column; see `Kind`.
        title, note: above it, the note in small letters.
        caption: of a table without a title.
        marked: numbers of the rows that stand out.
        total: a last row.
        first: so many rows are shown, the others are folded; 0 for all.
        rest: what the others are called, plural.
        tall: it scrolls within itself.
        within: values that the axis of intervals holds beside those of the rows, so that two tables have one.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    note: str = ""
    caption: str = ""
    marked: Collection[int] = ()
    total: Sequence[Any] = ()
    first: int = 0
    rest: str = "rows"
    tall: bool = False
    within: Sequence[float] = ()
    part: ClassVar[str] = "table"


@dataclass(frozen=True, eq=False)
class Legend:
    """What colours and lines mean: a name and a colour (r, g, b), or the class of a line in `striate.svg`."""

    entries: Sequence[tuple[str, tuple[int, int, int] | str]]
    part: ClassVar[str] = "legend"


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawing, or a picture of pixels.

    Attributes:
        svg: markup of `striate.svg`.
        caption: below it.
        title: above it.
        picture: uint8 [H, W, C] in place of the drawing; its pixels are enlarged as squares.
        alt: what a reader who cannot see the picture is told.
        widths: the least and the largest width in pixels; it scrolls where there is less room.
        legend: of its lines.
    """

    svg: str = field(repr=False)
    caption: str = ""
    title: str = ""
    picture: U8 | None = field(default=None, repr=False)
    alt: str = ""
    widths: tuple[float, float] | None = None
    legend: Legend | None = None
    part: ClassVar[str] = "figure"


class Bar(NamedTuple):
    """One of the answers below a picture: its name, its share 0..1, and whether it is the truth."""

    name: str
    share: float
    right: bool = False


class Wrong(str):
    """Words in the colour of mistakes."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture of a gallery: uint8 [H, W, C], or how what is no picture is drawn.

    Attributes:
        picture: is made smaller by the page where it is large.
        title: below it, as a whole or in pieces, so that a name does not turn the words around it.
        lines: below the title, in small letters.
        alt: what a reader who cannot see the picture is told; the title if not given.
        code: a last line, such as the name of a file.
        bars: below the title, the likeliest answers.
        hint: shown when the pointer rests on the last line, such as the whole path.
        wrong: the item was answered wrongly, which a small picture says by its frame.
    """

    picture: U8 | Drawn = field(repr=False)
    title: str | Sequence[str] = ""
    lines: Sequence[str] = ()
    alt: str = ""
    code: str = ""
    bars: Sequence[Bar] = ()
    hint: str = ""
    wrong: bool = False


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures.

    Attributes:
        tiles: the worst items first.
        form: cards beside each other; one row, as the views of one item; or small ones without words, of which a strip
            stands beside its title.
        title, lines: above the pictures: what the item is called, and more in small letters.
        caption: below them.
    """

    tiles: Sequence[Tile]
    form: Literal["cards", "row", "small", "channels", "strip"] = "cards"
    title: str = ""
    lines: Sequence[str] = ()
    caption: str = ""
    part: ClassVar[str] = "gallery"


@dataclass(frozen=True, eq=False)
class Facts:
    """Names and values side by side; those that `changed` stand out."""

    values: Mapping[str, Any]
    title: str = ""
    note: str = ""
    changed: Collection[str] = ()
    part: ClassVar[str] = "facts"


@dataclass(frozen=True, eq=False)
class Code:
    """Lines to type."""

    lines: Sequence[str]
    title: str = ""
    part: ClassVar[str] = "code"


@dataclass(frozen=True, eq=False)
class Listing:
    """Names with what is to be said of each."""

    entries: Sequence[tuple[str, str]]
    part: ClassVar[str] = "listing"


@dataclass(frozen=True, eq=False)
class Shares:
    """Parts of a whole as a bar: how many of each."""

    counts: Mapping[str, int]
    part: ClassVar[str] = "shares"


@dataclass(frozen=True, eq=False)
class Scale:
    """The colours of pixels between two values; `ramp` is diverging, sequential or grey."""

    low: str
    high: str
    ramp: Literal["diverging", "sequential", "grey"]
    part: ClassVar[str] = "scale"


@dataclass(frozen=True, eq=False)
class Beside:
    """Columns side by side where there is room; each is one part or several."""

    columns: Sequence["Part | Sequence[Part]"]
    form: Literal["pair", "uneven", "trio", "grid", "item", "stages"] = "pair"
    part: ClassVar[str] = "beside"


@dataclass(frozen=True, eq=False)
class Fold:
    """What is shown when it is asked for."""

    summary: str
    parts: Sequence["Part"]
    open: bool = False
    part: ClassVar[str] = "fold"


@dataclass(frozen=True, eq=False)
class Branch:
    """One row of a tree: a name, its cells (short, and the exact value that is shown when the pointer rests there), and what is below it."""

    name: str
    cells: Sequence[tuple[str, str]]
    children: Sequence["Branch"] = ()
    hint: str = ""


@dataclass(frozen=True, eq=False)
class Tree:
    """Rows within rows, those below a row folded.

    Attributes:
        columns: headings of the cells; `minor` ones are left out on a phone.
        rows: the outermost.
        total: a last row.
    """

    columns: Sequence[Column]
    rows: Sequence[Branch]
    total: Branch | None = None
    part: ClassVar[str] = "tree"


@dataclass(frozen=True, eq=False)
class Links:
    """Pages beside this one: a name and where it lies, relative to this page."""

    entries: Sequence[tuple[str, str]]
    part: ClassVar[str] = "links"


Part = (
    Text
    | Table
    | Figure
    | Gallery
    | Legend
    | Facts
    | Code
    | Listing
    | Shares
    | Scale
    | Beside
    | Fold
    | Tree
    | Links
)


@dataclass(frozen=True, eq=False)
class Section:
    """A titled part of a report.

    Attributes:
        title: its heading.
        text: sentences below it.
        parts: what follows.
        name: in the contents of the page; the title if not given.
    """

    title: str
    text: str = ""
    parts: Sequence[Part] = ()
    name: str = ""


class Headline(NamedTuple):
    """The one result of a training.

    Attributes:
        score: which of the scores it is.
        words: what the value is of.
        meaning: sentences on how it is to be taken, such as what a constant answer would score.
        constant: that score of always giving the same answer, or of another answer without a net; None where not known.
    """

    score: str
    words: str
    meaning: Sequence[str] = ()
    constant: float | None = None


class Measure(NamedTuple):
    """A score in words: its title, what it says, and whether less of it is better."""

    title: str
    says: str = ""
    lower: bool = False
