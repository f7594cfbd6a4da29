"""What annotation files say of pictures: objects with a box or an outline, and what was wrong with them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from striate.data.files import shown
from striate.data.index import Fault
from striate.data.masks import Outline

DETECT, SEGMENT = "detect", "segment"
BACKGROUND = "background"
Corners = tuple[float, float, float, float]

FLAT = "boxes without area"
OUTSIDE = "boxes outside the picture"
BACKWARDS = "boxes drawn backwards"
CUT = "boxes that reach outside the picture"
TWICE = "boxes given twice"
NO_PICTURE = "annotations of no picture"
NUMBERED_TWICE = "annotations with a number given twice"
LISTED_TWICE = "pictures listed twice"
OTHER_SHAPES = "points and lines"
NO_OUTLINE = "objects without an outline"
_DONE = {
    FLAT: "left out",
    OUTSIDE: "left out",
    BACKWARDS: "turned round",
    CUT: "cut at its edge",
    TWICE: "used once",
    NO_PICTURE: "left out",
    NUMBERED_TWICE: "used where they differ",
    LISTED_TWICE: "taken as one",
    OTHER_SHAPES: "left out",
    NO_OUTLINE: "the pixels of their boxes count nowhere",
}
_NAMED = 20  # places of each fault that are remembered


class Shape(NamedTuple):
    """One object as its file has it.

    Attributes:
        label: the name of its class; "" for a region that counts nowhere in a mask.
        place: where it stands in the file, such as "line 12".
        box: its corners; None where it has an outline alone.
        outline: its area; None where it has a box alone.
        crowd: whether it is neither learned nor missed.
    """

    label: str
    place: str
    box: Corners | None = None
    outline: Outline | None = None
    crowd: bool = False

    def corners(self, *, drawn: bool) -> Corners:
        """Its box, or the extent of its outline, which comes first where it is to be drawn."""
        if self.outline is not None and (drawn or self.box is None):
            return self.outline.box()
        return self.box or (0.0, 0.0, 0.0, 0.0)


@dataclass
class Annotation:
    """What is known of one picture.

    Attributes:
        picture: its name relative to the root.
        file: of the annotation, relative to the root; "" where there is none.
        shapes: its objects.
        size: height and width as the annotation states them.
        shares: whether coordinates are shares of the width and height, not pixels.
        fault: why the annotation cannot be used.
    """

    picture: str
    file: str = ""
    shapes: list[Shape] = field(default_factory=list[Shape])
    size: tuple[int, int] | None = None
    shares: bool = False
    fault: str = ""

    def at(self, place: str) -> str:
        """A place in its file, for messages."""
        return f"{shown(self.file)} {place}".strip()


class Slips:
    """What was wrong with single objects: counted by kind, the first places remembered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Count one."""
        self.counts[kind] += 1
        places = self._places.setdefault(kind, [])
        if len(places) < _NAMED:
            places.append(place)

    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return tuple(
            Fault(kind, _DONE[kind], self.counts[kind], tuple(places))
            for kind, places in self._places.items()
        )


@dataclass
class Reading:
    """What a layout found.

    Attributes:
        layout: in words.
        parts: the annotations of each split.
        classes: their names in the order of their numbers; () where those that occur are meant.
        named_by: the file that names the classes.
        ignored: what was not used, counted by kind.
        notes: how things were understood.
        slips: what was wrong with single objects.
    """

    layout: str
    parts: dict[str, list[Annotation]]
    classes: tuple[str, ...] = ()
    named_by: str = ""
    ignored: Counter[str] = field(default_factory=Counter[str])
    notes: list[str] = field(default_factory=list[str])
    slips: Slips = field(default_factory=Slips)
