"""What a sheet tells beside its figures: something in a net worth a look, and where a net stopped."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something in the net worth a look: what, where, and what to do."""

    kind: str
    path: str
    text: str
    fix: str

    def as_text(self) -> str:
        """One line."""
        return f"{self.path or '(net)'}: {self.text}; {self.fix}"


@dataclass(frozen=True)
class Unfinished:
    """Where a net that does not run to its end stopped: the sheet holds what ran up to there.

    Attributes:
        path: the module that failed.
        text: what failed, and why.
        missing: modules that hold no others and never ran.
        params: parameters of those.
    """

    path: str
    text: str
    missing: tuple[str, ...]
    params: int

    def as_text(self) -> str:
        """Two sentences."""
        names = ", ".join(self.missing[:8]) + (", ..." if len(self.missing) > 8 else "")
        never = f" Never ran: {names} ({self.params:,} parameters)." if self.missing else ""
        return (
            f"Executed up to {self.path or 'the net itself'} only; MACs, connections and bytes are of what ran. "
            f"{self.text}.{never}"
        )
