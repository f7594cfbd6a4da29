"""What a packing gave, and the size of a shard as people write it."""

from dataclasses import dataclass
from typing import Any

from striate.data.cache import gb
from striate.data.shards import Shard
from striate.data.writing import BLOCK
from striate.errors import ArgumentError
from striate.report import Result

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Packed(Result):
    """What was packed: splits with their counts, shards with size and SHA-256, pictures left out."""

    path: str
    classes: tuple[str, ...]
    splits: dict[str, int]
    shards: tuple[Shard, ...]
    problems: tuple[tuple[str, str], ...]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the keys that it shares with the JSON shape `data` mean the same."""
        return {
            "path": self.path,
            "layout": "shards",
            "items": sum(self.splits.values()),
            "splits": self.splits,
            "classes": list(self.classes),
            "shards": [vars(shard) for shard in self.shards],
            "problems": [{"file": file, "reason": reason} for file, reason in self.problems],
            "fingerprint": self.fingerprint,
        }

    def as_text(self) -> str:
        """Two lines, and one for each picture that was left out."""
        size = gb(sum(shard.size for shard in self.shards))
        counts = ", ".join(f"{split} {count:,}" for split, count in self.splits.items())
        lost = [f"  left out {file}: {reason}" for file, reason in self.problems]
        head = (
            f"{self.path}: {sum(self.splits.values()):,} pictures ({counts}) in "
            f"{len(self.shards):,} shards, {size}, each read back and as written"
        )
        return "\n".join([head, *lost, f"train from them with: striate train {self.path}"])


def read_size(text: str) -> int:
    """The bytes of "256M", "1.5G" or "5000000".

    Raises:
        ArgumentError: it is no size of at least one block of a tar.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    try:
        size = int(float(number) * _UNITS.get(unit, 0))
    except (ValueError, OverflowError):
        size = 0
    if size < BLOCK:
        raise ArgumentError(f"shard-size: got {text!r}, expected bytes such as 256M or 1G")
    return size
