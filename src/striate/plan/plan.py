"""The form in which a net runs: device, memory layout, precision, compiled or not."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, UsageError, nearest
from striate.result import Result

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# The same for volumes, by the axes of a tensor.
OF_AXES = {4: LAYOUTS, 5: {**LAYOUTS, "channels_last": torch.channels_last_3d}}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Largest difference from float32 in the default layout, as a share of the largest output. bfloat16 keeps
# 8 bits of a number (0.4 %), float16 11 (0.05 %), and some ten layers add up.
TOLERANCES = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 1e-2}
COMPILED = "compiled"
FP16_ON = ("cuda",)  # float16 convolutions on CPUs are slow where they are, and crash in torch 2.13


@dataclass(frozen=True)
class Plan(Result):
    """Where and how a net runs, and why."""

    device: str = "cpu"
    layout: str = "contiguous"
    precision: str = "fp32"
    compiled: bool = False
    ratio: float = 1.0
    why: str = "the plain default"
    step_ms: float | None = None  # of the batch that was timed
    candidates: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)

    @property
    def tolerance(self) -> float:
        """Largest difference from the plain plan that is accepted, relative to the largest output."""
        return TOLERANCES[self.precision]

    def place(self, net: nn.Module) -> nn.Module:
        """Bring a net to the plan's device and layout, in place."""
        net = net.to(torch.device(self.device))
        if any(
            tensor.ndim == 5 for tensor in net.parameters()
        ):  # of which the line below knows nothing
            for tensor in chain(net.parameters(), net.buffers()):
                if tensor.ndim in OF_AXES:
                    layout = OF_AXES[tensor.ndim][self.layout]
                    tensor.data = tensor.data.contiguous(memory_format=layout)
            return net
        return net.to(memory_format=LAYOUTS[self.layout])  # pyright: ignore[reportCallIssue] - torch does not declare it

    def batch(self, x: Tensor) -> Tensor:
        """Bring a batch of pictures or volumes [B, C, ...] to the plan's device and layout; others have one layout."""
        x = x.to(torch.device(self.device))
        if x.ndim not in OF_AXES:
            return x.contiguous()
        x = x.contiguous(memory_format=OF_AXES[x.ndim][self.layout])
        # One channel lies in memory alike in both layouts; the strides decide which one torch goes on in.
        return x.flatten().view(x.shape) if self.layout == "contiguous" else x

    def compile(self, net: nn.Module) -> nn.Module:
        """Compile a net in place where the plan says so; its weights and paths stay as they are."""
        if self.compiled:
            net.compile()
        return net

    def uncompiled(self) -> AbstractContextManager[Any]:
        """The context in which a compiled net runs as it is written, for hooks and for other batch sizes."""
        if not self.compiled:
            return nullcontext()
        return torch.compiler.set_stance("force_eager")

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which a forward pass has the plan's precision."""
        low = self.precision != "fp32"
        kind = torch.device(self.device).type
        return torch.autocast(
            kind, PRECISIONS[self.precision] if low else torch.bfloat16, enabled=low
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Plan":
        """Read back what `as_dict` gave."""
        known: dict[str, Any] = {
            each.name: content[each.name] for each in fields(cls) if each.name in content
        }
        known["candidates"] = tuple(known.get("candidates", ()))  # a list in JSON
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the run folder and the report."""
        return asdict(self) | {"tolerance": self.tolerance}

    def as_text(self) -> str:
        """One line."""
        words = [self.layout, self.precision, *([COMPILED] if self.compiled else [])]
        return f"plan: {', '.join(words)} on {self.device} ({self.why})"


def device(wanted: str = "auto") -> str:
    """The device to use: the one asked for, or CUDA, or Apple's, or the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    have = ["cpu"]
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if torch.cuda.is_available():
        have[:0] = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if wanted == "auto":
        return have[0]
    if wanted not in have:
        raise UsageError(
            f"device={wanted} is not on this machine; {nearest(wanted, [*have, 'auto'])}"
        )
    return wanted


def explicit(text: str, device: str) -> Plan:
    """A plan as written: `default`, or words joined by commas such as `channels_last,bf16,compiled`.

    Raises:
        ArgumentError: a word is unknown.
    """
    chosen: dict[str, str] = {}
    for word in text.split(",") if text != "default" else []:
        kinds = {"layout": LAYOUTS, "precision": PRECISIONS, COMPILED: (COMPILED,)}
        kind = next((kind for kind, words in kinds.items() if word in words), None)
        if kind is None:
            known = ["auto", "default", *LAYOUTS, *PRECISIONS, COMPILED]
            raise ArgumentError(
                f"plan={text}: {word!r} is no part of a plan; {nearest(word, known)}"
            )
        chosen[kind] = word
    if chosen.get("precision") == "fp16" and not device.startswith(FP16_ON):
        raise ArgumentError(
            f"plan={text}: fp16 needs a GPU of NVIDIA, this is {device}; use bf16 or fp32"
        )
    return Plan(
        device,
        chosen.get("layout", "contiguous"),
        chosen.get("precision", "fp32"),
        COMPILED in chosen,
        why="as asked for" if chosen else "the plain default",
    )
