"""Weights by name or file into a net, with every difference said.

Nothing is loaded in part without a word: a tensor that is missing, left over or of another shape stops the
loading, except where the difference has one meaning (other classes, other input channels, heads that only
training uses, a classifier's weights below another head), and then the result says what was done.

Other libraries' names for the tensors of our families are turned into ours, which are torchvision's where it has the
family, else timm's; what is left are timm's VGG, the first and the last layer of its pre-activation ResNets, and the
names that torchvision's DenseNet files carry from before 2018.
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, CheckpointError, nearest
from striate.models import catalog, libraries
from striate.models.backbone import Backbone, last_layer
from striate.result import Result
from striate.text import some, times
from striate.weights import published
from striate.weights.files import read

WORD = "published"  # for the best published weights of a net
BELOW = "backbone."  # what the names of a net begin with on which another stands
COUNT = "num_batches_tracked"  # which files from before 2018 lack
SPELT_OUT = 4  # tensors that a message names
_log = logging.getLogger("striate")

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


@dataclass(frozen=True)
class Loaded(Result):
    """What went into a net.

    Attributes:
        source: the file or name.
        tensors: how many were loaded.
        notes: what was done where net and file differ, a sentence each.
    """

    source: str
    tensors: int
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"source": self.source, "tensors": self.tensors, "notes": list(self.notes)}

    def as_text(self) -> str:
        """One line, and one a note."""
        return "\n".join([f"{self.tensors} tensors from {self.source}", *self.notes])


def build(name: str, *, weights: str | Path | None = None, **settings: Any) -> Backbone:
    """A net of the catalogue, with weights if asked for; see `models.catalog.build` for the other settings.

    Args:
        name: a key of the catalogue.
        weights: a file (safetensors, or a PyTorch state dict), a run folder, a published name such as
            "torchvision/resnet50.IMAGENET1K_V2", or "published" for the best that there are of this net. What was
            adapted is logged as a warning of "striate".
        settings: in_channels, num_classes, size, width, generator, init, and the family's own.

    Raises:
        ArgumentError: an unknown net, setting or published name.
        ShapeError: a size that the net cannot take.
        CheckpointError: weights that do not fit, or a file that is not what it should be.
        DataError: a download that failed.
    """
    if weights is None:
        return catalog.build(name, **settings)
    catalog.entry(name)  # a wrong name must not wait for a download
    weights = of_net(name, weights)
    published.found(weights)
    settings.setdefault("init", False)
    net = catalog.build(name, **settings)
    library = catalog.is_library(name)
    loaded = load(net, weights, generator=settings.get("generator"), adapt=library)
    for note in loaded.notes:
        _log.warning("%s: %s", name, note)
    return net


def of_net(name: str, weights: str | Path) -> str | Path:
    """The weights that a word means for a net: of `published` their name, else as they were given.

    Raises:
        ArgumentError: none are published for this net.
    """
    if weights != WORD:
        return weights
    found = published.best(name)
    if found is None:
        nets = sorted({row.net for row in published.PUBLISHED.values()})
        raise ArgumentError(
            f"weights={WORD}: none are known for {name}; there are for {', '.join(nets)}, and for "
            "timm/NAME and torchvision/NAME where those are installed"
        )
    return found


def load(
    net: nn.Module,
    weights: str | Path,
    *,
    generator: torch.Generator | None = None,
    source: str | None = None,
    head: bool = True,
    adapt: bool = False,
) -> Loaded:
    """Put weights into a net, in place.

    Args:
        net: any net; of one of the catalogue the head and the input channels may differ from the file's, and
            one that stands on a backbone takes the weights of that net alone too.
        weights: a file, a run folder or a published name.
        generator: source of the first weights of what the file does not hold.
        source: what messages call the weights; as given if not said.
        head: False where the file's classes are others, so that the heads of a net of ours start anew.
        adapt: whether the last layer and the input channels of a net that is not ours may differ from the file's too; with
            a published name they always may.

    Raises:
        CheckpointError: a tensor missing, left over or of another shape, or a value that is no number.
            The net is as before.
        ArgumentError: no file and no published name.
        DataError: a download that failed.
    """
    path, source = published.found(weights), source or str(weights)
    have: dict[str, Tensor] = net.state_dict()
    tensors = _published_tensors(str(weights), path) or read(path)
    if isinstance(net, Backbone) and net.backbone_name and not _own(tensors):
        fit = _below(net, tensors)
    else:
        fit = _Fit(have, renamed(tensors, have, net))
    fit.kinds(source)
    if isinstance(net, Backbone):
        fit.auxiliary({path.partition(".")[0] for path in type(net).auxiliary_heads})
        fit.headless(net.head)
        fit.classes((net.head, *net.auxiliary_heads), keep=head)
        fit.channels(f"{net.stem}.weight")
    elif adapt or published.known(str(weights)):
        fit.auxiliary(libraries.AUXILIARY_HEADS)
        fit.classes((last_layer(net),))
        fit.channels(f"{libraries.first_convolution(net)}.weight")
    fit.check(source)
    if fit.anew and isinstance(net, Backbone):
        net.initialise(generator or torch.Generator())
    with torch.no_grad():
        for name, tensor in fit.given.items():
            have[name].copy_(tensor)
    return Loaded(source, len(fit.given), tuple(fit.notes))


def load_features(net: nn.Module, weights: str | Path) -> Loaded:
    """Put in the weights of a file that holds the first layers alone; the layers behind them keep what they have.

    Args:
        net: any net.
        weights: a file.

    Raises:
        CheckpointError: it holds something else too, or leaves out layers between those that it holds.
        ArgumentError: no such file.
    """
    path = published.found(weights)
    names = list(net.state_dict())
    there = [name for name in names if name in renamed(read(path), net.state_dict(), net)]
    if not there or there != names[: len(there)]:
        raise CheckpointError(
            f"{weights}: holds no unbroken part of the net from its first layer on"
        )
    loaded = load_part(net, weights, there)
    note = f"{len(names) - len(there)} tensors behind them, from {names[len(there)]} on, keep their first weights"
    return Loaded(loaded.source, loaded.tensors, (note,))


def load_part(net: nn.Module, weights: str | Path, names: Collection[str]) -> Loaded:
    """Put weights into some tensors of a net, in place; the others stay, and what else the file holds is left out.

    Args:
        net: any net.
        weights: a file, a run folder or a published name.
        names: of the tensors, as `state_dict` calls them.

    Raises:
        CheckpointError, ArgumentError, DataError: as of `load`, of these tensors.
    """
    path, source = published.found(weights), str(weights)
    have: dict[str, Tensor] = net.state_dict()
    given = renamed(_published_tensors(source, path) or read(path), have, net)
    wanted = {name: have[name] for name in have if name in names}
    fit = _Fit(wanted, Renamed({n: t for n, t in given.items() if n in wanted}))
    fit.kinds(source)
    fit.check(source)
    with torch.no_grad():
        for name, tensor in fit.given.items():
            have[name].copy_(tensor)
    return Loaded(source, len(fit.given))


def _published_tensors(weights: str, path: Path) -> Mapping[str, Tensor] | None:
    """Those of a package whose nets open by name, where it reads its own file; None of any other file."""
    if weights in published.PUBLISHED or Path(weights).exists() or not catalog.is_library(weights):
        return None
    return libraries.own_reading(weights, path)


PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _own(names: Iterable[str]) -> bool:
    return any(BELOW in name for name in names)


def _below(net: Backbone, tensors: Mapping[str, Tensor]) -> "_Fit":
    """Weights of a whole net for the part of it on which another stands; the head starts anew."""
    have: dict[str, Tensor] = net.state_dict()
    part = net.get_submodule(BELOW[:-1])
    given = renamed(tensors, part.state_dict(), part)
    with torch.device("meta"):
        whole = catalog.build(net.backbone_name, init=False).state_dict()
    ends = {name for name in given if name in whole and f"{BELOW}{name}" not in have}
    fit = _Fit(have, {f"{BELOW}{name}": t for name, t in given.items() if name not in ends})
    fit.anew = {name for name in have if not name.startswith(BELOW)}
    fit.notes.append(
        f"the weights of {net.backbone_name} are loaded below the head, {len(ends)} tensors that it does "
        f"not need there are left out; {len(fit.anew)} tensors of the head start anew"
    )
    return fit


@dataclass
class _Fit:
    """The net's tensors, the file's, and what was done to bring them together; `anew` start without the file."""

    have: Mapping[str, Tensor]
    given: dict[str, Tensor]
    anew: set[str] = field(default_factory=set[str])
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """What was done to the names is said too."""
        self.notes += getattr(self.given, "notes", ())

    def kinds(self, source: str) -> None:
        """Refuse numbers of a kind that cannot be copied without being changed: before they are looked at.

        Raises:
            CheckpointError: naming the first such tensor.
        """
        for name, tensor in self.given.items():
            like = self.have.get(name)
            if like is None or tensor.dtype in PLAIN or tensor.dtype == like.dtype:
                continue
            if like.is_floating_point() or tensor.dtype not in WHOLE:
                came, wanted = (str(t.dtype).removeprefix("torch.") for t in (tensor, like))
                raise CheckpointError(
                    f"{source}: {name} holds {came} numbers, expected {wanted}: "
                    "save the weights as float32 (quantised ones first turned back)"
                )

    def auxiliary(self, roots: set[str]) -> None:
        """Heads that only training uses may be on one side alone."""
        extra, lacking = (
            {n for n in one if n not in other and n.partition(".")[0] in roots}
            for one, other in ((self.given, self.have), (self.have, self.given))
        )
        if extra:
            self.notes.append(f"{len(extra)} tensors of auxiliary heads were left out")
            self.given = {name: t for name, t in self.given.items() if name not in extra}
        if lacking:
            self.notes.append(f"{len(lacking)} tensors of auxiliary heads start anew")
            self.anew |= lacking

    def headless(self, head: str) -> None:
        """A head may be on one side alone, where that is the only difference."""
        extra = set(self.given) - set(self.have)
        lacking = {
            name for name in self.have if name not in self.given and not name.endswith(COUNT)
        } - self.anew
        if extra and not lacking and all(name.startswith(f"{head}.") for name in extra):
            self.notes.append(f"the net has no {head}: the file's is left out")
            self.given = {name: t for name, t in self.given.items() if name not in extra}
        if lacking and not extra and all(name.startswith(f"{head}.") for name in lacking):
            self.notes.append(f"the file has no {head}: it starts anew, the rest is loaded")
            self.anew |= lacking

    def classes(self, heads: Iterable[str], *, keep: bool = True) -> None:
        """A head with another number of outputs, or for other classes, starts anew."""
        for head in heads:
            old, new = (side.get(f"{head}.weight") for side in (self.given, self.have))
            if old is None or new is None or old.shape[1:] != new.shape[1:]:
                continue
            if keep and len(old) == len(new):
                continue
            why = (
                f"{head} has {len(new)} outputs, the file's {len(old)}"
                if len(old) != len(new)
                else f"{head} has outputs for other classes than the file's"
            )
            self.notes.append(f"{why}: it starts anew, the rest is loaded")
            self.anew |= {name for name in self.have if name.startswith(f"{head}.")}
            self.given = {name: t for name, t in self.given.items() if name not in self.anew}

    def channels(self, stem: str) -> None:
        """Kernels of the first convolution for another number of input channels."""
        old, new = self.given.get(stem), self.have.get(stem)
        if old is None or new is None or not old.ndim == new.ndim == 4:
            return
        if old.shape[1] == new.shape[1] or old[:, 0].shape != new[:, 0].shape:
            return
        self.given[stem] = adapted(old, new.shape[1])
        self.notes.append(
            f"{stem} reads {new.shape[1]} channels, the file's {old.shape[1]}: adapted, sums kept"
        )

    def check(self, source: str) -> None:
        """Refuse what does not fit, before anything is written."""
        for name, like in self.have.items():
            if name.endswith(COUNT) and name not in self.anew:
                self.given.setdefault(name, like.new_zeros(()))
        missing = sorted(set(self.have) - set(self.given) - self.anew)
        extra = sorted(set(self.given) - set(self.have))
        wrong = [
            n for n, t in self.given.items() if n in self.have and t.shape != self.have[n].shape
        ]
        parts = [
            _part("missing", [f"{n} {_shape(self.have[n])}{_near(n, extra)}" for n in missing]),
            _part("left over", [f"{n} {_shape(self.given[n])}{_near(n, missing)}" for n in extra]),
            _part(
                "of another shape",
                [f"{n} {_shape(self.given[n])}, expected {_shape(self.have[n])}" for n in wrong],
            ),
        ]
        if missing or extra or wrong:
            raise CheckpointError(
                f"{source} does not fit the net: {'; '.join(filter(None, parts))}; "
                "build the net that these weights belong to, with its width and options"
            )
        bad = [n for n, t in self.given.items() if not torch.isfinite(t).all()]
        if bad:
            raise CheckpointError(f"{source}: {bad[0]} holds values that are no finite numbers")


def _part(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}: {some(names, SPELT_OUT)}" if names else ""


def _near(name: str, others: list[str]) -> str:
    guess = nearest(name, others).removeprefix("did you mean ") if others else ""
    return f" (nearest: {guess.split('?')[0].split(';')[0]})" if "?" in guess else ""


def _shape(tensor: Tensor) -> str:
    return times(tensor.shape)


def adapted(kernels: Tensor, channels: int) -> Tensor:
    """Kernels [N, C, H, W] for another number of input channels, with the same sum over channels.

    New channel i takes old channel i modulo C, and what several take is divided among them; of more old
    channels than new ones the rest is added in turn. Grey from colour is the sum over the channels.
    """
    old = kernels.shape[1]
    share = kernels.new_zeros(channels, old)
    for i in range(max(channels, old)):
        share[i % channels, i % old] = 1
    return torch.einsum("nohw,io->nihw", kernels, share / share.sum(0))


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
    return f"{len(names)} other tensors in the file were left out: {some(names, 3)}"


def _ours(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
