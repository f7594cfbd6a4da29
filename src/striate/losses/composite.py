"""Sums of losses: weighted, spelled in a recipe, each part known; and losses seen through a net.

A loss is spelled as terms joined by +, each a name, with a factor before it and options behind it as needed:
`cross_entropy`, `0.5*dice+bce`, `focal(gamma=1.5)+0.1*margin(present=0.8)`. Nothing of it is executed.
`perceptual:NET=WEIGHTS@LAYER` is a loss seen through a net of the catalogue; whoever has pictures to compare puts it in
the place of the word by `seen_through`.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, nearest
from striate.losses import classification, grid, maps, yolo
from striate.ops import boxes
from striate.probe import layer_outputs

Loss = Callable[..., Any]  # a value, or a value and its named parts
Decode = Callable[..., tuple[Tensor, Tensor]]

LABELS: dict[str, Loss] = {
    "cross_entropy": classification.cross_entropy,
    "focal": classification.focal,
    "margin": classification.margin,
}
MAPS: dict[str, Loss] = {
    name: getattr(maps, name) for name in ("l1", "l2", "huber", "bce", "iou", "dice", "edge")
}
BOXES: dict[str, Loss] = {"grid": grid.grid_loss, "yolo": yolo.yolo_from_objects}
# How the answer of a net is read that learned by a loss of boxes.
DECODE: dict[str, Decode] = {"grid": boxes.decode_logits, "yolo": boxes.decode_cells}
SHARES = ("cross_entropy",)  # of the losses of labels those that take shares of classes too
_CONTEXT = (
    "smoothing",
    "class_weights",
    "positive_weights",
    "boxes",
)  # settings of their own in a recipe or of the net
PERCEPTUAL = "perceptual"
_FACTOR = r"((?:\d+\.?\d*|\.\d+)(?:e-?\d+)?)"
RANDOM = "random"  # weights= of a net that was not trained
_LOOK = re.compile(rf"(?:{_FACTOR}\s*\*\s*)?{PERCEPTUAL}(?::([^=@]*)(?:=(.*?))?(?:@([^@]*))?)")
_SEEN = re.compile(rf"\s*(?:{_FACTOR}\s*\*\s*)?{PERCEPTUAL}:")
_TERM = re.compile(rf"(?:{_FACTOR}\*)?([a-z_][a-z_0-9]*)(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Look:
    """A net through which pictures are compared, in words.

    Attributes:
        net: its name in the catalogue.
        weights: a file, a run folder, a published name, or `RANDOM`; "" where none are named.
        layer: whose outputs are compared.
    """

    net: str
    weights: str
    layer: str


@dataclass(frozen=True)
class Term:
    """One part of a sum; `look` of one that is seen through a net."""

    name: str
    loss: Loss
    weight: float = 1.0
    look: Look | None = None


@dataclass(frozen=True)
class Composite:
    """A weighted sum of losses. Called with an answer and a target it gives the sum."""

    terms: tuple[Term, ...]

    def __call__(self, answer: Any, target: Any) -> Tensor:
        """The sum alone."""
        return self.measured(answer, target)[0]

    def measured(self, answer: Any, target: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, and each part as it enters it; a single term has only those that its loss gives."""
        parts: dict[str, Tensor] = {}
        for term in self.terms:
            for name, part in _parts(term, answer, target).items():
                value = term.weight * part
                parts[name] = parts[name] + value if name in parts else value
        values = list(parts.values())
        total = values[0] if len(values) == 1 else sum(values[1:], values[0])
        return total, parts if len(parts) > 1 else {}

    def decode(self, answer: Tensor, *, boxes: int) -> tuple[Tensor, Tensor]:
        """Boxes [B, N, 4] as shares of the picture and scores [B, N, K], of an answer learned by a loss of boxes."""
        return DECODE[self.terms[0].name](answer, boxes=boxes)

    def of_shares(self) -> bool:
        """Whether every part also takes an item's shares of the classes, as mixed pictures have them."""
        return all(term.name in SHARES for term in self.terms)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The nets through which parts of it are seen."""
        return tuple(term.look for term in self.terms if term.look)

    def seen_through(self, made: Callable[[Look], Loss]) -> "Composite":
        """The same with a loss in the place of each word `perceptual`."""
        terms = (replace(t, loss=made(t.look)) if t.look else t for t in self.terms)
        return Composite(tuple(terms))

    def within(self, **context: Any) -> "Composite":
        """The same with settings such as class weights, for the terms that take them."""
        return Composite(tuple(replace(t, loss=_bound(t.loss, context)) for t in self.terms))


def read(text: str) -> Composite:
    """A loss as it is spelled in a recipe.

    Raises:
        ArgumentError: a term that cannot be read, an unknown name, option or value, or factors of 0 alone.
    """
    terms = tuple(_term(term, text) for term in _split(text))
    if not any(term.weight for term in terms):
        raise ArgumentError(
            f"loss={text}: counts nothing, so that nothing would be learned; give one term a factor above 0"
        )
    grids = dict.fromkeys(term.name for term in terms if term.name in BOXES)
    if grids and len({term.name for term in terms}) > 1:
        raise ArgumentError(
            f"loss={text}: {next(iter(grids))} is the whole loss of a detector and is added to no other; "
            f"take one of {', '.join(BOXES)}"
        )
    return Composite(terms)


def _split(text: str) -> list[str]:
    """The terms of a sum, which + joins where it is in no brackets and in no path of weights."""
    terms: list[str] = []
    for word in re.split(r"\+(?![^(]*\))", text):
        if terms and _lacks_layer(terms[-1]) and not _SEEN.match(word):
            terms[-1] += f"+{word}"
        else:
            terms.append(word)
    return terms


def _lacks_layer(term: str) -> bool:
    """Whether it is seen through weights whose path goes on: the layer behind the last @ has no slash."""
    found = _SEEN.match(term)
    return found is not None and "=" in term and not re.search(r"@[^/\\@]+$", term)


def weighted(**parts: tuple[float, Loss]) -> Composite:
    """A sum of any functions of answer and target: `weighted(l1=(1, l1), seen=(0.1, Perceptual(net, "conv3")))`."""
    return Composite(tuple(Term(name, loss, weight) for name, (weight, loss) in parts.items()))


def auxiliary(
    answers: Sequence[Tensor], target: Tensor, loss: Loss, *, weight: float = 0.3
) -> Tensor:
    """The loss of the first answer plus `weight` times that of each other one.

    Szegedy et al. 2014, Going deeper with convolutions, section 5: side classifiers count 0.3.
    """
    total = loss(answers[0], target)
    for answer in answers[1:]:
        total = total + weight * loss(answer, target)
    return total


class Perceptual:
    """How differently a net sees two pictures: a loss between what one of its layers gives to both.

    Gatys et al. 2015, arXiv 1508.06576, equation 1; Johnson et al. 2016, arXiv 1603.08155, section 3.2.
    """

    def __init__(self, net: nn.Module, layer: str, *, loss: Loss = maps.l2) -> None:
        """Take a net that looks; it is used as it stands, its mode included, and its weights are not trained.

        Args:
            net: any net; put it into evaluation mode and onto the pictures' device first. It runs up to the layer.
            layer: its layer, as `named_modules` calls it; of one that runs several times the first is taken.
            loss: between the two outputs of the layer.
        """
        self.net, self.layer, self.loss = net, layer, loss

    def __call__(self, answer: Tensor, target: Tensor) -> Tensor:
        """The loss between pictures [B, C, H, W]; its gradient reaches `answer` through the net."""
        kept = [p for p in self.net.parameters() if p.requires_grad]
        for p in kept:
            p.requires_grad_(False)  # before the forward pass, so that no gradient reaches them
        try:
            with torch.no_grad():
                (wanted,) = layer_outputs(self.net, [self.layer], target)
            (seen,) = layer_outputs(self.net, [self.layer], answer)
            return self.loss(seen, wanted)
        finally:
            for p in kept:
                p.requires_grad_(True)


def _bound(loss: Loss, context: Mapping[str, Any]) -> Loss:
    taken = inspect.signature(loss).parameters
    given = {key: value for key, value in context.items() if key in taken}
    return partial(loss, **given) if given else loss


def _parts(term: Term, answer: Any, target: Any) -> dict[str, Tensor]:
    value = term.loss(answer, target)
    return value[1] if isinstance(value, tuple) else {term.name: value}


def _term(term: str, whole: str) -> Term:
    if look := _LOOK.fullmatch(term.strip()):
        weight, net, weights, layer = look.groups()
        if not layer:
            raise ArgumentError(
                f"loss={whole}: {PERCEPTUAL} compares what a layer gives: {PERCEPTUAL}:NET=WEIGHTS@LAYER, such as "
                "perceptual:vgg16=FILE@features.15"
            )
        return Term(
            PERCEPTUAL,
            _unseen,
            _factor(weight, whole),
            Look(net.strip(), weights or "", layer.strip()),
        )
    found = _TERM.fullmatch(term.replace(" ", ""))
    if found is None:
        raise ArgumentError(
            f"loss={whole}: {term!r} is no term; expected a name such as cross_entropy, with a factor and "
            "options as in 0.5*focal(gamma=2)"
        )
    weight, name, options = found.groups()
    known = LABELS | MAPS | BOXES
    if name == PERCEPTUAL:
        return _term(f"{term}:", whole)
    if name not in known:
        raise ArgumentError(f"loss={whole}: no loss {name!r}; {nearest(name, known)}")
    loss = known[name]
    given = dict(_option(name, loss, word, whole) for word in (options or "").split(",") if word)
    return Term(name, partial(loss, **given) if given else loss, _factor(weight, whole))


def _factor(text: str | None, whole: str) -> float:
    """The weight of a term, 1 where none is given."""
    weight = float(text or 1)
    if not math.isfinite(weight):
        raise ArgumentError(f"loss={whole}: the factor {text} is too large for a number")
    return weight


def _unseen(answer: Any, target: Any) -> Tensor:
    """Stands for a loss that is seen through a net, until there is one."""
    del answer, target
    raise ArgumentError(f"{PERCEPTUAL}: no net to look through yet: see Composite.seen_through")


def _option(name: str, loss: Loss, word: str, whole: str) -> tuple[str, Any]:
    key, _, text = word.partition("=")
    offered = {
        p.name: p.default
        for p in inspect.signature(loss).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in _CONTEXT
    }
    if key not in offered:
        raise ArgumentError(
            f"loss={whole}: {name} has no option {key!r}"
            + (f"; {nearest(key, offered)}" if offered else "")
        )
    default = offered[key]
    try:
        if isinstance(default, bool):
            return key, {"true": True, "false": False}[text.lower()]
        return key, _from_0(text) if isinstance(default, float) else text
    except (KeyError, ValueError):
        wanted = "true or false" if isinstance(default, bool) else "a number from 0 up"
        raise ArgumentError(f"loss={whole}: {key}={text}: expected {wanted}") from None


def _from_0(text: str) -> float:
    """The number that a word is; ValueError of one below 0, which turns a loss round, and of one without an end."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value
