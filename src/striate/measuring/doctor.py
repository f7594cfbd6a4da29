"""What is wrong with the geometry and the making of a net, each finding with what mends it.

A size that a fix names has been tried: the net was traced again at it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import nn

from striate.measuring.fields import Fields
from striate.measuring.finding import Finding
from striate.measuring.geometry import geometry
from striate.measuring.inputs import times
from striate.probe import Call, Trace, Value


@dataclass(frozen=True)
class Case:
    """A net, one run of it, and what the run sees.

    `batch` is how many items a step of training takes, if that is known.
    """

    net: nn.Module
    run: Trace
    fields: Fields
    batch: int | None = None

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """By name, shared ones once."""
        return dict(self.net.named_parameters())


def examine(case: Case) -> tuple[Finding, ...]:
    """All findings on one net, those of the whole net first; of a run that stopped, those that need no end."""
    if case.run.error is not None:
        return (*geometry(case.net, case.run, case.fields), *_biases(case.run), *_frozen(case.net))
    return (
        *geometry(case.net, case.run, case.fields),
        *_softmax(case.run),
        *_biases(case.run),
        *_single_values(case),
        *_frozen(case.net),
        *_unused(case),
        *_untrained(case),
    )


def _softmax(run: Trace) -> list[Finding]:
    """A net that ends in probabilities."""
    ending = {out.index for out in run.outputs}
    last = [c for c in run.calls if ending & {out.index for out in c.outputs}]
    return [
        Finding(
            "softmax",
            call.path,
            f"the net ends in {call.op}, and cross-entropy applies it once more",
            "return the logits, and apply softmax to predictions only",
        )
        for call in last
        if call.op in ("softmax", "log_softmax")
    ]


def _biases(run: Trace) -> list[Finding]:
    """Biases that batch normalisation subtracts again."""
    readers: dict[int, list[Call]] = {}
    for call in run.calls:
        for value in call.inputs:
            readers.setdefault(value.index, []).append(call)
    ending = {out.index for out in run.outputs}
    found = [
        call
        for call in run.calls
        if isinstance(call.arg("bias", 2), Value)
        and (call.op.startswith("conv") or call.op == "linear")
        and call.outputs[0].index not in ending
        and (next_ones := readers.get(call.outputs[0].index))
        and all(reader.op == "batch_norm" for reader in next_ones)
    ]
    if not found:
        return []
    paths = list(dict.fromkeys(call.path for call in found))
    more = len(paths) - 1
    who = f"this and {more} more such layers have" if more else "it has"
    return [
        Finding(
            "bias",
            paths[0],
            f"{who} a bias that the batch normalisation after it takes away",
            "build them with bias=False" if more else "build it with bias=False",
        )
    ]


def _single_values(case: Case) -> list[Finding]:
    """Batch normalisation that would see one value a channel."""
    found: list[Finding] = []
    for call in case.run.calls:
        value = call.arg("input", 0)
        if call.op != "batch_norm" or not isinstance(value, Value):
            continue
        space = value.shape[2:]
        if case.batch == 1 or (case.batch is None and prod(space) == 1):
            where = f"maps of {times(space)}" if prod(space) > 1 else "one value a channel"
            found.append(
                Finding(
                    "batch",
                    call.path,
                    f"at batch 1 batch normalisation learns from {where} of a single item",
                    "train with batch=2 or more, or normalise by group",
                )
            )
    return found[:1]


def _frozen(net: nn.Module) -> list[Finding]:
    """Normalisation whose weights are frozen and whose statistics are not."""
    found = [
        path
        for path, module in net.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
        and module.training
        and module.track_running_stats
        and module.affine
        and not any(p.requires_grad for p in module.parameters())
    ]
    if not found or not any(p.requires_grad for p in net.parameters()):
        return []
    return [
        Finding(
            "frozen",
            found[0],
            f"{len(found)} frozen batch normalisation{'s are' if len(found) > 1 else ' is'} in training mode: "
            "the statistics still move",
            "call eval() on it after every train(), as it is done for the rest of what is frozen",
        )
    ]


def _unused(case: Case) -> list[Finding]:
    """Parameters that no function reads."""
    read = {name for call in case.run.calls for name in call.params}
    lost = [name for name in case.parameters if name not in read]
    return [
        Finding(
            "unused",
            owner,
            f"{count:,} parameters are never read",
            "remove them or use them in forward",
        )
        for owner, count in _owners(case, lost).items()
    ]


# Nothing flows back through these: they cut the graph or give whole numbers and truth values.
CUTS = frozenset(
    [
        "detach",
        "data",
        "argmax",
        "argmin",
        "argsort",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "isnan",
        "isinf",
        "isfinite",
        "sign",
        "floor",
        "ceil",
        "round",
        "trunc",
        "logical_and",
        "logical_or",
        "logical_not",
        "logical_xor",
        "bool",
        "int",
        "long",
        "one_hot",
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "rand_like",
        "randn_like",
    ]
)


def _untrained(case: Case) -> list[Finding]:
    """Parameters that are read, but that no output sends a gradient to."""
    reached = {out.index for out in case.run.outputs}
    learning: set[str] = set()
    for call in reversed(case.run.calls):
        if call.op in CUTS or not any(out.index in reached for out in call.outputs):
            continue
        reached.update(value.index for value in call.inputs)
        learning.update(call.params)
    read = {name for call in case.run.calls for name in call.params}
    lost = [
        name
        for name, parameter in case.parameters.items()
        if name in read and name not in learning and parameter.requires_grad
    ]
    return [
        Finding(
            "gradient",
            owner,
            f"{count:,} parameters never get a gradient: none of their results reaches an output",
            "remove the detach after them, use their result, or freeze them with requires_grad_(False)",
        )
        for owner, count in _owners(case, lost).items()
    ]


def _owners(case: Case, names: Sequence[str]) -> dict[str, int]:
    """Parameters by the module that holds them."""
    owners: dict[str, int] = {}
    for name in names:
        owner = name.rpartition(".")[0]
        owners[owner] = owners.get(owner, 0) + case.parameters[name].numel()
    return owners
