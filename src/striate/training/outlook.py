"""What is said, and decided, before the first step of a training."""

from collections.abc import Callable
from dataclasses import dataclass

from striate.plan.tiles import Tiling
from striate.training.recipe import Recipe

LONG = 600.0  # seconds from which smaller forms are named


@dataclass(frozen=True)
class Outlook:
    """What someone who knows the net found out about a training to come.

    Attributes:
        findings: a line each.
        memory: the words for what it takes and what is there.
        smaller: what smaller forms would take, given the seconds of this one, if known.
        parts: in how many times as many parts as the recipe says a batch is computed.
        close: the memory will be short.
        tiling: how large pictures may be divided, of tasks with maps.
    """

    findings: tuple[str, ...] = ()
    memory: str = ""
    smaller: Callable[[float | None], list[str]] = lambda _seconds: []
    parts: int = 1
    close: bool = False
    tiling: Tiling | None = None

    def as_text(self, seconds: float | None, recipe: Recipe) -> str:
        """One line: time, memory, and what a smaller form would take where this one is long or large.

        Args:
            seconds: of an epoch, if it was timed.
            recipe: settled.
        """
        epochs = recipe.most_epochs
        whole = None if seconds is None else seconds * epochs
        words = [self.memory] if self.memory else []
        if seconds is not None and recipe.budget and epochs * seconds > recipe.budget:
            whole = None  # ends when it was told to
            words.insert(
                0,
                f"{recipe.budget:.0f} s of training, as asked for: about {recipe.budget / seconds:.1f} epochs",
            )
        elif seconds is not None and whole is not None:
            time = f"{whole / 60:.0f} min" if whole > 120 else f"{whole:.0f} s"
            words.insert(
                0,
                f"about {time} of training: {epochs} epoch{'s' * (epochs != 1)} of {seconds:.1f} s",
            )
        long = whole is not None and whole > LONG
        if long:
            words.append("fewer epochs= take less")
        if long or self.close:
            words += [f"{form} instead" for form in self.smaller(whole)]
        return "; ".join(words)
