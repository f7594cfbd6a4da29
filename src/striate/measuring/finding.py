"""One finding: something in a net worth a look."""

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
