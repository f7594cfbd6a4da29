"""From which confidence on what was found is given and counted: chosen on validation pictures, as thresholds of labels are.

Average precision reads everything that was found. Who counts or uses it needs an end of the list, and how high confidences
are differs from net to net.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from striate.data import Data
from striate.errors import UsageError
from striate.tasks.classify import AUTO, check_choice
from striate.tasks.task import Settings, Task
from striate.text import SPACE


@dataclass(frozen=True, kw_only=True)
class FromConfidence(Task):
    """A task whose answers are any number of things, each with a confidence.

    Attributes:
        things: what they are called, plural.
        sure: from which on a thing is given and counted; the default of the class where none is chosen.
        auto: whether that is still to be chosen.
    """

    thresholds: ClassVar[bool] = True
    things: ClassVar[str]
    sure: float = 0.0
    auto: bool = False

    @classmethod
    def _confidence(cls, data: Data, recipe: Settings) -> dict[str, Any]:
        """`sure` and `auto` as a recipe asks for them, or to be chosen where there are validation items.

        Raises:
            RecipeError: a confidence to be chosen on pictures that there are not.
        """
        check_choice(data, recipe)
        given = recipe.threshold
        return {
            "sure": cls.sure if given in (None, AUTO) else float(given),
            "auto": given == AUTO or (given is None and data.held_out == "val"),
        }

    @classmethod
    def _restored_confidence(cls, config: Mapping[str, Any]) -> float:
        """The confidence of a run; of one from before it was chosen the usual one."""
        return float(config.get("threshold", cls.sure))

    @property
    def unsettled(self) -> bool:
        """Whether the confidence is still to be chosen."""
        return self.auto

    def settled_by(self, meter: Any) -> tuple[Self, str]:
        """With the confidence of the largest F1 at overlap 0.5, of all classes together; the usual one where hardly one is found."""
        usual, pictures = type(self).sure, f"{len(meter):,} validation {self.noun}"
        found = meter.best_confidence(usual)
        how = f"chosen on {pictures} by their F1"
        if found == usual:  # what is chosen lies between two confidences
            how = f"for too few are found in {pictures} to choose by"
        said = f"{self.things} are given from a confidence of {found:.3g} on, {how}; threshold= sets another"
        return replace(self, sure=found, auto=False), said

    def as_settled(self, other: Task) -> Self:
        """With the confidence of another."""
        sure = other.sure if isinstance(other, FromConfidence) else self.sure
        return replace(self, sure=sure, auto=False)

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `conf` of `predict`.

        Raises:
            UsageError: one that is out of range, or another setting.
        """
        super().tuned({key: value for key, value in options.items() if key != "conf"})
        check_share("conf", options)
        return replace(self, sure=options.get("conf", self.sure))

    def sure_words(self) -> str:
        """The confidence, for a reader."""
        return f"{100 * self.sure:.3g}{SPACE}%"


def check_share(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a setting that is no share.

    Raises:
        UsageError: what came and what was expected.
    """
    if not 0 <= options.get(name, 0) <= 1:
        raise UsageError(f"--{name} {options[name]}: expected a number from 0 to 1")
