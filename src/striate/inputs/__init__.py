"""What an item may be, and what follows from it: how it is stored, augmented, normalised, read and drawn.

One file a modality, one line in the table; `preprocessing` says what each of them answers.
"""

from collections.abc import Mapping
from typing import Any

from striate.data.sources import MODALITIES
from striate.errors import CheckpointError, RecipeError
from striate.inputs.arrays import AsGiven
from striate.inputs.forecast_windows import SeriesWindows
from striate.inputs.pictures import Pictures
from striate.inputs.preprocessing import Drawn, Preprocessing, Read, Settings, Views
from striate.inputs.series import SeriesItems
from striate.inputs.sounds import Sounds
from striate.inputs.volumes import Volumes

INPUTS: dict[str, type[Preprocessing]] = {
    "picture": Pictures,
    "array": AsGiven,
    "series": SeriesItems,
    "window": SeriesWindows,
    "sound": Sounds,
    "volume": Volumes,
}


def of(modality: str) -> type[Preprocessing]:
    """What follows from a modality of `striate.data.sources.MODALITIES`."""
    return INPUTS[modality]


def refuse_settings(modality: str, recipe: Any) -> None:
    """Refuse settings of other inputs, which would change nothing.

    Args:
        modality: of the data.
        recipe: as the user wrote it; what is None was left open.

    Raises:
        RecipeError: naming the first.
    """
    able = INPUTS[modality].settings
    for other in INPUTS.values():
        for key in other.settings:
            value = getattr(recipe, key)
            if key not in able and value is not None:
                raise RecipeError(
                    f"{key}={value} is a setting of {other.noun()}, these data are {MODALITIES[modality]}: leave it out"
                )


def from_dict(content: Mapping[str, Any]) -> Preprocessing:
    """Read back what `Preprocessing.as_dict` gave; without `inputs` it is of a picture, or of an array without colour.

    Raises:
        CheckpointError: a modality that there is not, or a field that is missing or of the wrong kind.
    """
    values = dict(content)
    modality = values.pop("inputs", "picture" if values.get("color", "-") else "array")
    if not isinstance(modality, str) or modality not in INPUTS:
        raise CheckpointError(f"config.json: its preprocessing is of {modality!r}: update striate")
    return INPUTS[modality].from_dict(values)


__all__ = [
    "INPUTS",
    "AsGiven",
    "Drawn",
    "Pictures",
    "Preprocessing",
    "Read",
    "Settings",
    "Sounds",
    "Views",
    "Volumes",
    "from_dict",
    "of",
    "refuse_settings",
]
