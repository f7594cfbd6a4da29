"""The machine's environment: what it has for networks, and what is missing."""

import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch

from striate import extras
from striate.plan import device
from striate.result import Result

OLDEST_TORCH = (2, 10)  # before it, weights_only=True could corrupt memory (CVE-2026-24747)


@dataclass(frozen=True)
class Environment(Result):
    """Facts of the machine; `warnings` says what to mend."""

    python: str
    torch: str
    device: str
    threads: int
    bf16: bool
    extras: dict[str, bool]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `doctor`."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def as_text(self) -> str:
        """A few lines for a terminal."""
        have = ", ".join(name for name, there in self.extras.items() if there) or "none"
        lack = ", ".join(name for name, there in self.extras.items() if not there) or "none"
        return "\n".join(
            [
                f"python {self.python}, torch {self.torch}",
                f"device {self.device}, {self.threads} threads, "
                + ("bfloat16 in hardware" if self.bf16 else "no bfloat16 in hardware"),
                f"optional packages: {have}; not installed: {lack}",
                *self._installs(),
                *(f"warning: {line}" for line in self.warnings),
            ]
        )

    def _installs(self) -> list[str]:
        """A line for each thing to type, with the packages that it brings."""
        lacking: dict[str, list[str]] = {}
        for name, there in self.extras.items():
            if not there:
                lacking.setdefault(extras.install(name), []).append(name)
        room = max(map(len, lacking), default=0)
        return [
            f"  {typed.ljust(room)}  for {', '.join(names)}" for typed, names in lacking.items()
        ]


def examine() -> Environment:
    """Look at this machine."""
    where = device()
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        device=where,
        threads=torch.get_num_threads(),
        bf16=_bf16(where),
        extras=extras.available(),
        warnings=tuple(_warnings()),
    )


def _bf16(where: str) -> bool:
    """Whether the hardware multiplies bfloat16, rather than emulating it."""
    if where.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    flags = torch.backends.cpu.get_cpu_capability()
    # torch has no public name for these two; where one is gone it counts as not there.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return flags.startswith("AVX512") and any(getattr(torch.cpu, probe, bool)() for probe in probes)


def _warnings() -> list[str]:
    found: list[str] = []
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        found.append(
            f"torch {torch.__version__} is too old to read weights safely: update to 2.10 or newer"
        )
    cores = len(os.sched_getaffinity(0))
    if torch.get_num_threads() > cores:
        found.append(
            f"torch uses {torch.get_num_threads()} threads on {cores} cores: set OMP_NUM_THREADS={cores}"
        )
    return found
