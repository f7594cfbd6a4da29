"""The one number of each item that a saliency map explains. B batch, K classes, N items.

It is a fixed weighted sum of what a net answers: one class, one class over the places where it was the likeliest, one
number. The weights are chosen once, from the answer to the item itself, and stay while the item is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, nearest

Wanted = (
    str | int | None
)  # a class or a number, by its name or its place; None where the net's own answer decides


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is explained of the answers to some items.

    Attributes:
        weights: of the numbers of an answer, [B, ...] as these are.
        words: what the number of each item is, such as "score of cat".
        shares: whether answers are scores of classes along axis 1, of which probabilities can be made.
    """

    weights: Tensor
    words: tuple[str, ...]
    shares: bool = False


def numbers_of(outputs: object, items: int) -> Tensor:
    """The first floating tensor of a net's outputs with a row an item; the first is what nets with several answer with.

    Raises:
        ShapeError: there is none.
    """
    for tensor in _tensors(outputs):
        if tensor.is_floating_point() and tensor.ndim > 0 and len(tensor) == items:
            return tensor
    raise ShapeError(
        f"the net answers {type(outputs).__name__} to {items} items, expected a tensor of numbers with a row an item"
    )


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in _tensors(part)]
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return []


def by_class(values: Tensor, names: Sequence[str], wanted: Sequence[Wanted]) -> Chosen:
    """One class an item: the wanted one, or the likeliest; of maps [B, K, ...] over the places where it is the likeliest.

    Args:
        values: [B] or [B, 1], a number an item; [B, K] scores; [B, K, ...] maps of scores.
        names: of the classes; without any they go by their numbers.
        wanted: one an item.

    Raises:
        ArgumentError: a class that there is not.
    """
    if values.ndim == 1 or values.shape[1:].numel() == 1:
        _only(wanted, names)
        return Chosen(torch.ones_like(values), ("the value that it answers",) * len(values))
    k = values.shape[1]
    rows = [_of_item(row, names, want, k) for row, want in zip(values, wanted, strict=True)]
    weights = torch.stack([weight for weight, _ in rows])
    return Chosen(weights, tuple(words for _, words in rows), shares=k > 1)


def by_number(values: Tensor, names: Sequence[str], wanted: Sequence[Wanted]) -> Chosen:
    """One number an item of [B, V]: the wanted one, or the first.

    Raises:
        ArgumentError: a number that there is not.
    """
    places = [0 if want is None else place(want, names, values.shape[1]) for want in wanted]
    weights = torch.zeros_like(values)
    weights[torch.arange(len(values)), places] = 1
    return Chosen(weights, tuple(f"value of {_name(at, names)}" for at in places))


def place(wanted: str | int, names: Sequence[str], count: int) -> int:
    """The place of a class or number.

    Raises:
        ArgumentError: there is none of that name or place.
    """
    if isinstance(wanted, str) and wanted in names:
        return list(names).index(wanted)
    if isinstance(wanted, int) or wanted.lstrip("-").isdecimal():
        if 0 <= int(wanted) < count:
            return int(wanted)
        raise ArgumentError(f"target={wanted}: the net answers {count}, numbered 0 to {count - 1}")
    if not names:
        raise ArgumentError(
            f"target={wanted}: this net names no classes; give a number from 0 to {count - 1}"
        )
    raise ArgumentError(f"target={wanted}: no such class; {nearest(wanted, names)}")


def probabilities(values: Tensor) -> Tensor:
    """Of scores of classes along axis 1; values that are probabilities already stay as they are."""
    total = values.sum(1)
    if bool((values >= 0).all()) and bool(((total - 1).abs() < 1e-3).all()):
        return values
    return values.softmax(1)


def _only(wanted: Sequence[Wanted], names: Sequence[str]) -> None:
    for want in wanted:
        if want is not None and want not in (0, "0", *names[:1]):
            raise ArgumentError(f"target={want}: the net answers one number an item; leave it out")


def _name(at: int, names: Sequence[str]) -> str:
    return names[at] if at < len(names) else f"class {at}"


def _of_item(row: Tensor, names: Sequence[str], want: Wanted, k: int) -> tuple[Tensor, str]:
    """Weights of one item's scores [K] or maps [K, ...], and what they are of."""
    weights = torch.zeros_like(row)
    if row.ndim == 1:
        at = int(row.argmax()) if want is None else place(want, names, k)
        weights[at] = 1
        return weights, f"score of {_name(at, names)}"
    likeliest = row.argmax(0)
    if want is None:
        # The first class is what is left over, in most sets of masks: it leads where there is nothing else.
        counts = torch.bincount(likeliest.flatten(), minlength=k)
        at = int(counts[1:].argmax()) + 1 if bool(counts[1:].any()) else 0
    else:
        at = place(want, names, k)
    region = likeliest == at
    everywhere = not bool(region.any())
    weights[at] = torch.ones_like(row[at]) if everywhere else region.to(row.dtype)
    where = (
        f"all {region.numel():,} places, since it is the likeliest at none"
        if everywhere
        else f"the {int(region.sum()):,} places where it is the likeliest"
    )
    return weights, f"score of {_name(at, names)}, summed over {where}"
