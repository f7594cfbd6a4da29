"""Other libraries' names for the tensors of our families, turned into ours.

Ours are torchvision's where it has the family, else timm's; what is left are timm's VGG, the first and the last
layer of its pre-activation ResNets, and the names that torchvision's DenseNet files carry from before 2018.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import Tensor, nn

from striate.errors import CheckpointError

# module of the family -> pattern, replacement
RENAMES = {
    "preresnet": ((r"^stem\.conv\.", "conv1."), (r"^head\.fc\.", "fc.")),
    "densenet": ((r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)", r"\1\2"),),
    "vgg": (
        (r"^pre_logits\.fc1\.", "classifier.0."),
        (r"^pre_logits\.fc2\.", "classifier.3."),
        (r"^head\.fc\.", "classifier.6."),
    ),
}
# What DistributedDataParallel, averaged and compiled models put before every name.
WRAPPERS = ("module", "_orig_mod")
AVERAGED = ("ema", "swa", "averag")  # in names of what holds an average of the weights


class Renamed(dict[str, Tensor]):
    """Tensors by the names that a net has; `notes` say what was done to them, a sentence each."""

    def __init__(self, tensors: Mapping[str, Tensor], notes: Sequence[str] = ()) -> None:
        super().__init__(tensors)
        self.notes = tuple(notes)


def renamed(tensors: Mapping[str, Tensor], have: Mapping[str, Tensor], net: nn.Module) -> Renamed:
    """The tensors under the names that `net` has, wherever a rule leads there.

    A net that a training script holds under a name of its own, such as "model." of Lightning, is found there.
    A 4-d kernel that covers its whole input, as timm stores fully connected layers, is flattened.

    Raises:
        CheckpointError: the file holds such a net several times.
    """
    rules = RENAMES.get(type(net).__module__.rpartition(".")[2], ())
    names = {name: _ours(name, rules) for name in tensors}
    before, notes = _before(names, have)
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(before):
            continue
        new = _ours(_unwrapped(name.removeprefix(before)), rules)
        like = have.get(new)
        flat = like is not None and like.ndim == 2 and tensor.numel() == like.numel()
        found[new] = tensor.reshape(like.shape) if flat and like is not None else tensor
    return Renamed(found, [*getattr(tensors, "notes", ()), *notes])


def _unwrapped(name: str) -> str:
    while (parts := name.partition("."))[0] in WRAPPERS:
        name = parts[2]
    return name


def _before(names: Mapping[str, str], have: Collection[str]) -> tuple[str, list[str]]:
    """What stands in a file before the names of a net, and what has to be said of it."""
    if 2 * sum(_unwrapped(name) in have for name in names.values()) >= len(have):
        wrapped = any(name.partition(".")[0] in WRAPPERS for name in names)
        before, others = "", [name for name in names if _unwrapped(name) == name] if wrapped else []
        if not others:
            return "", []
        # An averaged model counts its updates beside the weights.
        return f"{next(n for n in names if n not in others).partition('.')[0]}.", [
            _left_out(others)
        ]
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if _unwrapped(".".join(parts[i:])) in have and parts[i - 1] not in WRAPPERS:
                counts[".".join(parts[:i]) + "."] += 1
    most = max(counts.values(), default=0)
    places = [
        place for place, count in counts.items() if 2 * count >= max(most, len(have)) and most
    ]
    plain = [place for place in places if not any(word in place.lower() for word in AVERAGED)]
    if len(plain or places) > 1:
        raise CheckpointError(
            f"the file holds such a net {len(places)} times, under {' and '.join(places)}: save one of them alone"
        )
    if not places:
        return "", []
    (before,) = plain or places
    others = [name for name in names if not name.startswith(before)]
    return before, [
        f"taken from under {before!r} in the file",
        *([_left_out(others)] if others else []),
    ]


def _left_out(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} other tensors in the file were left out: {', '.join(names[:3])}{more}"


def _ours(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
