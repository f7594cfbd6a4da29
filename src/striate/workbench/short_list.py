"""`striate nets --for DATA --budget 20m`: which nets suit some pictures, this machine and the time there is.

The order follows from three figures of each net, none of which is an accuracy: how much of an object one value of its
last map sees, how many epochs fit into the time, and what a step takes of memory. It says what to try first, no more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from striate import plan
from striate.data import Data
from striate.data.targets import Boxes
from striate.errors import DataError, StriateError
from striate.inputs.default_net import EFFICIENCY, LEAST, SPEEDS, Fingerprint
from striate.measuring import measure, training_cost
from striate.models import catalog
from striate.models.row_types import Entry
from striate.result import Result, text_table
from striate.tasks import named
from striate.text import compact, duration, rough
from striate.training import Recipe
from striate.training.defaults import with_defaults
from striate.workbench.estimate import free_memory

SIDES = (224, 160, 128, 96, 64)  # of pictures that differ in size or are larger
OWN = 64  # up to which pictures keep their own size
WANTED = 20  # epochs after which more time is no reason for a net
TRIED = 16  # nets that are measured, the largest that fit the time
SHOWN = 8
BATCH = 32  # of the step whose memory is estimated


@dataclass(frozen=True)
class Suggestion:
    """A net for some data.

    Attributes:
        net: its name in the catalogue.
        size: of the pictures it would be given, height and width.
        params: at that size.
        macs: multiply-adds of a picture, forward.
        field: side of what one value of the last map sees, in pixels of the net's input; None without a bound.
        sees: share of an object's side that this is, at most 1.
        epochs: for which there is time.
        epoch_seconds: about, on this machine.
        memory: bytes of a step of 32 pictures, predicted.
        usual: whether `striate train` takes it where no net is named.
        reasons: in words.
    """

    net: str
    size: tuple[int, int]
    params: int
    macs: int
    field: int | None
    sees: float
    epochs: int
    epoch_seconds: float
    memory: int
    usual: bool
    reasons: tuple[str, ...] = ()

    @property
    def merit(self) -> tuple[float, int]:
        """What the order follows from: the share of an object seen times that of the epochs wanted, then the net's size."""
        return round(self.sees * min(1.0, self.epochs / WANTED), 1), self.macs

    def as_dict(self) -> dict[str, Any]:
        """A row of the JSON shape `short list`."""
        return {
            "net": self.net,
            "size": list(self.size),
            "params": self.params,
            "macs": self.macs,
            "field": self.field,
            "sees": round(self.sees, 3),
            "epochs": self.epochs,
            "epoch_seconds": round(self.epoch_seconds, 2),
            "memory": self.memory,
            "usual": self.usual,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class ShortList(Result):
    """Nets for some data, the first to try first.

    Attributes:
        data: where the pictures are.
        task: what is learned.
        pictures: of training.
        object: side of the objects in pixels of the pictures as they are: the median of the boxes, else the pictures'.
        object_from: what says so.
        seconds: of learning that the budget leaves.
        memory: bytes that are free; None where nothing says it.
        nets: at most eight.
        left_out: how many nets of the task were not listed, by why.
    """

    data: str
    task: str
    pictures: int
    object: float
    object_from: str
    seconds: float
    memory: int | None
    nets: tuple[Suggestion, ...]
    left_out: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `short list`."""
        return {
            "data": self.data,
            "task": self.task,
            "pictures": self.pictures,
            "object": self.object,
            "object_from": self.object_from,
            "seconds": self.seconds,
            "memory": self.memory,
            "nets": [each.as_dict() for each in self.nets],
            "left_out": self.left_out,
        }

    def as_text(self) -> str:
        """A row a net, then its reasons."""
        head = (
            f"{self.pictures:,} pictures to {self.task}; objects of about {self.object:.0f} pixels ({self.object_from}); "
            f"{duration(self.seconds)} of learning"
        )
        if not self.nets:
            return f"{head}\nno net fits: {self._left_out() or 'none does this task'}; a larger --budget"
        rows = [
            [
                each.net,
                f"{each.size[0]}x{each.size[1]}",
                compact(each.params),
                compact(each.macs),
                "-" if each.field is None else str(each.field),
                str(each.epochs),
                rough(each.epoch_seconds),
                f"{each.memory / 2**20:.0f} MiB",
            ]
            for each in self.nets
        ]
        names = ["net", "size", "params", "MACs", "field", "epochs", "an epoch", f"step of {BATCH}"]
        why = [f"{each.net}: {'; '.join(each.reasons)}" for each in self.nets]
        foot = (
            "The order is arithmetic on these figures, not a measurement of accuracy; times are estimates from one convolution "
            "timed here."
        )
        left = self._left_out()
        return "\n".join(
            [
                head,
                "",
                text_table(names, rows),
                "",
                *why,
                "",
                *([f"not listed: {left}"] if left else []),
                foot,
            ]
        )

    def _left_out(self) -> str:
        return ", ".join(f"{count} {why}" for why, count in self.left_out.items() if count)


def short_list(
    data: Data,
    budget: float,
    *,
    device: str = "auto",
    say: Callable[[int, int], None] = lambda _done, _total: None,
) -> ShortList:
    """Nets that suit pictures, this machine and a time.

    Args:
        data: opened pictures, split for training.
        budget: seconds that the whole training may take.
        device: on which it would learn.
        say: called with (done, total) while nets are measured.

    Raises:
        DataError: the items are no pictures, or there are none to train on.
    """
    if not data.pictures:
        raise DataError(f"{data.path} holds {data.noun}: nets are listed for pictures")
    if "train" not in data.splits:
        raise DataError(f"{data.path} has no items to train on; it has {', '.join(data.splits)}")
    about = Fingerprint.of(data, Recipe(budget=budget, device=device))
    size, shown = _size(about), _object(data, about)
    free = free_memory(plan.device(device))
    names = catalog.able(named(data.task).name, 3)
    left = {"too slow for 4 epochs": 0, "too large for the memory": 0, "take no such pictures": 0}
    left |= {"of the same family, or further down": 0}
    timely = [row for row in map(catalog.entry, names) if _epochs(row, about, size) >= LEAST]
    left["too slow for 4 epochs"] = len(names) - len(timely)
    best: dict[str, Entry] = {}
    for row in sorted(timely, key=lambda row: row.macs):  # the largest of a family that fits
        best[row.family] = row
    tried = sorted(best.values(), key=lambda row: -row.macs)[:TRIED]
    usual = with_defaults(Recipe(budget=budget, device=device), data).net or ""
    if usual in names and usual not in {row.name for row in tried}:
        tried.append(catalog.entry(usual))
    found: list[Suggestion] = []
    for k, row in enumerate(tried):
        say(k, len(tried))
        one = _suggestion(row, data, about, size, shown[0], usual)
        if one is None:
            left["take no such pictures"] += 1
        elif one.epochs < LEAST and not one.usual:
            left["too slow for 4 epochs"] += 1
        elif free is not None and one.memory > free.bytes:
            left["too large for the memory"] += 1
        else:
            found.append(one)
    found.sort(key=lambda each: each.merit, reverse=True)
    room = free.bytes if free else None
    listed = [replace(each, reasons=tuple(_reasons(each, room))) for each in found[:SHOWN]]
    counts = sum(left.values()) + len(listed)
    left["of the same family, or further down"] = max(0, len(names) - counts)
    seconds = about.seconds
    return ShortList(
        data.path,
        data.task,
        about.items,
        *shown,
        seconds,
        free.bytes if free else None,
        tuple(listed),
        left,
    )


def _size(found: Fingerprint) -> tuple[int, int]:
    """What nets would be given: small pictures as they are, others at the largest of `SIDES` that enlarges none."""
    if found.same and max(found.size) <= OWN:
        return found.size
    side = next((side for side in SIDES if side <= min(found.size)), SIDES[-1])
    return (side, side)


def _object(data: Data, found: Fingerprint) -> tuple[float, str]:
    """The side of what is to be recognised, in pixels of the pictures, and what says so."""
    targets = data.splits["train"].targets
    if isinstance(targets, Boxes) and len(targets.boxes):
        rows = np.concatenate([targets.truth(i).boxes for i in range(len(targets))])
        sides = np.sqrt(np.prod(rows[:, 2:] - rows[:, :2], axis=1))
        return float(np.median(sides)), f"median of {len(rows):,} boxes"
    return float(min(found.size)), "no boxes say how large they are: as large as the pictures"


def _epochs(row: Entry, found: Fingerprint, size: tuple[int, int], macs: int = 0) -> int:
    seconds = _epoch(row, found, size, macs)
    return int(found.seconds / seconds)


def _epoch(row: Entry, found: Fingerprint, size: tuple[int, int], macs: int = 0) -> float:
    """Seconds of an epoch, as the net chosen without a name is timed."""
    scaled = row.macs * size[0] * size[1] / (row.input[-2] * row.input[-1])
    return found.items * (macs or scaled) / (EFFICIENCY * SPEEDS.get(row.name, 1.0) * found.speed)


def _suggestion(
    row: Entry, data: Data, found: Fingerprint, size: tuple[int, int], shown: float, usual: str
) -> Suggestion | None:
    """A net measured at a size, or at its own where it takes no other; None where it takes neither."""
    channels = data.shape(size, found.color)[0]
    task = named(data.task)
    classes = task.of(data, Recipe(size=size, net=row.name)).head().get("num_classes")
    for sides in dict.fromkeys((size, (row.input[-2], row.input[-1]))):
        try:
            net = catalog.build(
                row.name, in_channels=channels, num_classes=classes, size=sides, init=False
            )
            sheet = measure(net, (channels, *sides))
            cost = training_cost(net, (channels, *sides), batch=BATCH, optimizer="adamw")
        except StriateError:
            continue
        macs = sheet.totals.macs
        maps = [each for each in sheet.layers if each.field and len(each.output) == 3]
        wide = [max(each.field.size) for each in maps if each.field and min(each.output[1:]) > 1]
        field = wide[-1] if wide else None
        scaled = shown * min(sides) / min(found.size)
        return Suggestion(
            row.name,
            sides,
            sheet.totals.params,
            macs,
            field,
            1.0 if field is None else min(1.0, field / max(scaled, 1.0)),
            _epochs(row, found, sides, macs),
            _epoch(row, found, sides, macs),
            cost.peak,
            row.name == usual,
        )
    return None


def _reasons(each: Suggestion, free: int | None) -> list[str]:
    """Why a net stands where it does."""
    words: list[str] = []
    if each.field is None:
        words.append("how far one value of its last map sees has no bound")
    elif each.sees >= 1:
        words.append(f"one value of its last map sees {each.field} pixels, a whole object")
    else:
        words.append(
            f"one value of its last map sees {each.field} pixels, {100 * each.sees:.0f} % of an object's side: only pooling "
            "joins the parts"
        )
    if each.epochs >= WANTED:
        words.append(f"time for {each.epochs} epochs, {WANTED} or more do")
    elif each.epochs >= LEAST:
        words.append(f"time for {each.epochs} epochs only, {WANTED} would be better")
    else:
        words.append(f"time for {each.epochs} epochs, fewer than {LEAST}: it would end early")
    if free is not None and each.memory > free / 2:
        words.append(f"a step of {BATCH} takes {100 * each.memory / free:.0f} % of the free memory")
    if each.usual:
        words.append("what striate train takes where no net is named")
    return words
