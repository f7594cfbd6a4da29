"""An index of one layer over the items beside a net, made once as a job, which all that compares items reads.

The mean over places of the layer's maps of each item, the items with the largest values of each channel, and the answers.
N items, C channels, K answers.
"""

import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import ArgumentError
from striate.probe import as_eval, watch
from striate.studio.items import DataItems, Items, TensorItems, picture_of, plane
from striate.studio.routes import Refusal
from striate.studio.session import OpenNet

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
MOST_VALUES = (
    2**27
)  # of an index's features: 512 MB; of more items the first that fit are taken, which is said
TOP = 16  # patches of a channel
STEP = 0.1  # seconds that one step of the job takes at most
KEPT = 6  # indexes of a net
NO_DATA = "this net was opened without data: striate studio RUN, or --data DATA"


@dataclass(frozen=True, eq=False)
class Listed:
    """The items beside a net that can be read; `numbers` [N] are their places among all that are listed."""

    opened: OpenNet
    numbers: I64
    split: str
    labels: I64 | None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def source(self) -> Items:
        """The items of the net."""
        if self.opened.items is None:
            raise Refusal(409, NO_DATA, "net")
        return self.opened.items

    @property
    def classes(self) -> Sequence[str]:
        """Names of the labels and the answers."""
        return self.opened.classes

    def read(self, first: int, count: int) -> Tensor:
        """Items as the net reads them [n, C, H, W]."""
        source, numbers = self.source, self.numbers[first : first + count].tolist()
        stored = torch.from_numpy(np.stack([source.stored(i) for i in numbers]))
        raw = isinstance(source, TensorItems)
        x = stored.float() if raw else self.opened.pre.normalise(stored).float()
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def pictures(self, index: Sequence[int] | I64) -> list[NDArray[np.uint8]]:
        """What the net is shown of items, [H, W, 3] each."""
        source = self.source
        found = [source.stored(int(self.numbers[int(i)])) for i in index]
        if isinstance(source, TensorItems):
            return [plane(each) for each in found]
        return [picture_of(each, self.opened.pre) for each in found]

    def facts(self, i: int) -> dict[str, Any]:
        """Number, name and label of an item."""
        number = int(self.numbers[i])
        label = "" if self.labels is None else self.classes[int(self.labels[i])]
        return {"index": number, "name": self.source.name(number), "label": label}


def items_of(opened: OpenNet) -> Listed:
    """The items of an open net's data.

    Raises:
        Refusal: the net was opened without data.
    """
    items = opened.items
    if items is None or not len(items):
        raise Refusal(409, NO_DATA, "net")
    if isinstance(items, DataItems):
        numbers = items.arrays.numbers
        single = items.data.kind == "label" and len(items.data.classes) == len(opened.classes)
        labels = items.data.splits[items.split].labels[numbers] if single else None
        return Listed(opened, numbers, items.split, labels)
    names = {name: k for k, name in enumerate(opened.classes)}
    known = [names.get(items.label(i) or "", -1) for i in range(len(items))]
    labels = np.array(known, np.int64) if known and min(known) >= 0 else None
    return Listed(opened, np.arange(len(items)), "data", labels)


@dataclass(eq=False)
class Index:
    """What one layer gives of items.

    Attributes:
        layer: its id.
        items: whose.
        features: float32 [N, C].
        values: the largest value of each channel [C, TOP] over the items, the largest first.
        owners: the items that have them [C, TOP].
        places: where in the map [C, TOP], as one number.
        size: of the map, () where it has no places.
        answers: class and probability of each item [N], where the net's answers are classes.
        plane: points [n, 2] and their items by method, once somebody asked.
    """

    layer: str
    items: Listed
    features: F32
    values: F32
    owners: I64
    places: I64
    size: tuple[int, ...]
    answers: tuple[I64, F32] | None
    plane: dict[str, tuple[F32, I64, float]] = field(
        default_factory=dict[str, tuple[F32, I64, float]]
    )


INDEXES: "WeakKeyDictionary[OpenNet, OrderedDict[str, Index]]" = WeakKeyDictionary()


def place_of(layer: str) -> tuple[str, int]:
    """Path and number of the call of a layer's id, PATH@CALL.

    Raises:
        Refusal: it names a step without a module.
    """
    path, _, call = layer.rpartition("@")
    if not path or not call.isdecimal():
        raise Refusal(400, f"layer={layer[:80]}: expected PATH@CALL, of a module", "layer")
    return path, int(call)


def indexing(opened: OpenNet, layer: str) -> Generator[tuple[str, object], None, None]:
    """Make the index of a layer, a batch a step; "part" tells how many items are done, "index" that it is there."""
    path, call = place_of(layer)
    items = items_of(opened)
    size, at, made = 16, 0, _Making(path, call)
    while at < min(len(items), made.room):
        begun = time.perf_counter()
        made.add(opened, items.read(at, size), at)
        at = min(len(items), at + size)
        taken = time.perf_counter() - begun
        size = max(1, min(256, int(size * min(2.0, STEP / max(taken, 1e-4)))))
        yield "part", {"done": at, "of": len(items)}
    index = made.index(layer, items)
    kept = INDEXES.setdefault(opened, OrderedDict())
    kept[layer] = index
    while len(kept) > KEPT:
        kept.popitem(last=False)
    yield "index", {"layer": layer, "n": len(index.features), "dim": index.features.shape[1]}


class _Making:
    """An index that is being made."""

    def __init__(self, path: str, call: int) -> None:
        self.path, self.call = path, call
        self.room = MOST_VALUES  # items that fit, known after the first batch
        self.features: list[Tensor] = []
        self.answers: list[tuple[Tensor, Tensor]] = []
        self.size: tuple[int, ...] = ()
        self.values = self.owners = self.places = torch.empty(0)

    def add(self, opened: OpenNet, x: Tensor, first: int) -> None:
        """A batch of items, of which the first has this number."""
        given, said = layer_of(opened, x, self.path, self.call)
        flat = given.flatten(2) if given.ndim > 2 else given[:, :, None]
        self.size = tuple(given.shape[2:])
        self.features.append(flat.mean(2))
        self.room = max(1, MOST_VALUES // flat.shape[1])
        most = flat.max(2)
        owner = torch.arange(first, first + len(x))[:, None].expand_as(most.indices)
        if not self.owners.numel():
            values, owners, places = most.values, owner, most.indices
        else:
            values = torch.cat([self.values, most.values])
            owners = torch.cat([self.owners, owner])
            places = torch.cat([self.places, most.indices])
        self.values, order = values.topk(min(TOP, len(values)), 0)
        self.owners, self.places = owners.gather(0, order), places.gather(0, order)
        if said is not None:
            share, answer = said.softmax(1).max(1)
            self.answers.append((answer, share))

    def index(self, layer: str, items: Listed) -> Index:
        """The whole."""
        if not self.features:
            raise ArgumentError("there are no items to compare with")
        answers = None
        if self.answers:
            answer, share = (torch.cat(each).numpy() for each in zip(*self.answers, strict=True))
            answers = answer, share
        return Index(
            layer,
            items,
            torch.cat(self.features).numpy(),
            self.values.T.numpy(),
            self.owners.T.numpy(),
            self.places.T.numpy(),
            self.size,
            answers,
        )


def layer_of(opened: OpenNet, x: Tensor, path: str, call: int) -> tuple[Tensor, Tensor | None]:
    """What one call of a module gives of a batch [B, C, ...], and the net's outputs [B, K] where those are classes.

    Raises:
        Refusal: no such layer, or it gives no values an item.
    """
    with as_eval(opened.net), torch.inference_mode(), watch(opened.net, [path]) as seen:
        said = opened.net(x.clone())
    calls = seen.activations[path]
    if call >= len(calls):
        raise Refusal(404, f"{path} ran {len(calls)} times, there is no call {call}", "layer")
    given = calls[call]
    if given.ndim < 2 or len(given) != len(x):
        raise Refusal(400, f"{path} gives {tuple(given.shape)} of {len(x)} items", "layer")
    classes = isinstance(said, Tensor) and said.shape == (len(x), len(opened.classes))
    return given.float(), said.float() if classes else None
