"""Recipes read: a name or a YAML file, settings changed, each mistake as one line."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError

from striate.data import documents
from striate.errors import DataError, RecipeError, StriateError, nearest
from striate.models import catalog
from striate.text import some
from striate.training.recipe import NAMED, OWN, Recipe
from striate.weights import published
from striate.weights.loading import WORD

FINETUNE = "finetune"
_NAMED = 6  # nets that a message names
WIDTH = 98  # of the comment above a printed recipe


def read_recipe(name: str = "quick", settings: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by its name or YAML file, with settings changed.

    Args:
        name: a name of `NAMED`, or a file that ends in .yaml or .yml.
        settings: values by key; text is converted to the key's type.

    Raises:
        RecipeError: an unknown recipe, key or value, or a value of the wrong type.
    """
    if name in NAMED:
        base = NAMED[_meant(name, settings or {})].settings
    elif name.endswith((".yaml", ".yml")):
        base = _file(Path(name))
    else:
        raise RecipeError(f"recipe={name}: {nearest(name, NAMED)}, or a .yaml file")
    merged = _with_options({**base, **(settings or {})})
    try:
        return Recipe.model_validate({key: _plain(key, value) for key, value in merged.items()})
    except ValidationError as error:
        raise RecipeError(_explain(error)) from None


def _meant(name: str, settings: Mapping[str, Any]) -> str:
    """The recipe that a name means: weights that learned elsewhere are fine-tuned where no other is named."""
    weights = str(settings.get("weights"))
    trained = weights in (OWN, WORD) or published.known(weights)
    return FINETUNE if name == "quick" and trained else name


def check_whole(name: str, recipe: Recipe) -> None:
    """Refuse a recipe that goes on from weights where none are named.

    Args:
        name: as `read_recipe` was given it.
        recipe: what that gave, for a net of the catalogue; one of the user's own may have learnt already.

    Raises:
        RecipeError: a setting is missing; it is named.
    """
    own = ":" in (recipe.net or "")
    if name in NAMED and NAMED[name].goes_on and not recipe.weights and not own:
        raise RecipeError(
            f"recipe={name} needs weights=: published, a run folder, a file or a published name; without them it would "
            "train the head on layers that have learnt nothing"
        )


def refuse_together(recipe: Recipe) -> None:
    """Refuse settings of which each is right and which cannot work together.

    Raises:
        RecipeError: naming them.
    """
    one, gamma, batch = recipe, recipe.gamma or (), recipe.batch or 0
    wrong = {
        f"nesterov=true looks ahead along the momentum of sgd, and optimizer={one.optimizer} has none such: leave it out": (
            one.nesterov and one.optimizer in ("adamw", "muon")
        ),
        "nesterov=true looks ahead along the momentum, and momentum=0 is none: momentum=0.9": (
            one.nesterov and not one.momentum
        ),
        f"head_epochs={one.head_epochs} of epochs={one.epochs} leaves none for the other layers: freeze=features trains the "
        "head alone": bool(one.epochs) and one.head_epochs >= (one.epochs or 0) > 0,
        f"accumulate={one.accumulate}: batch={batch} has too few items to be cut so often": one.accumulate
        > batch
        > 0,
        f"devices={one.devices}: batch={batch} has no item for each process": (one.devices or 1)
        > batch
        > 0,
        f"gamma has {len(gamma)} factors: schedule={one.schedule} takes one": (
            len(gamma) > 1 and one.schedule != "step"
        ),
        f"gamma has {len(gamma)} factors for {len(one.milestones)} milestones: give one factor, or one for each": (
            one.schedule == "step" and 1 < len(gamma) < len(one.milestones)
        ),
        f"patience={one.patience} ends the training before schedule=plateau lowers the rate (plateau={one.plateau}): a larger "
        "patience=, or a smaller plateau=": one.schedule == "plateau"
        and 0 < (one.patience or 0) <= one.plateau,
    }
    for words, holds in wrong.items():
        if holds:
            raise RecipeError(words)


def shown(name: str, recipe: Recipe) -> str:
    """A recipe as YAML with what each setting means, and the source of the one it began with.

    Args:
        name: as `read_recipe` was given it.
        recipe: what that gave.
    """
    named = NAMED.get(name)
    head = [f"recipe {name}: {named.source}" if named else f"recipe {name}"]
    head += [f"different here: {named.departs}"] if named and named.departs else []
    head += [f"it sets {', '.join(named.settings)}"] if named and named.settings else []
    lines = [line for text in head for line in wrap(text, WIDTH, subsequent_indent="  ")]
    return "\n".join([*(f"# {line}" for line in lines), recipe.explained()])


def _with_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those that only the net knows, such as act=tanh, gathered under `options`."""
    row = catalog.CATALOG.get(str(settings.get("net")))
    offered = row.options if row else {}
    for key in settings:
        if key not in Recipe.model_fields and key not in offered:
            having = [name for name, each in catalog.CATALOG.items() if key in each.options]
            if row and having:
                raise RecipeError(
                    f"{row.name} has no option {key!r}: it is one of {some(having, _NAMED)}; those of {row.name}: "
                    f"{', '.join(offered) or 'none'}"
                )
            raise RecipeError(
                f"no setting {key!r}: {nearest(key, [*Recipe.model_fields, *offered])}"
            )
    given = _typed(settings.get("options")) or {}
    if not isinstance(given, dict):
        raise RecipeError(
            f"options={settings['options']}: write each option as a word of its own, such as act=tanh"
        )
    options = {
        key: _typed(settings.pop(key)) for key in list(settings) if key not in Recipe.model_fields
    }
    return {**settings, "options": {**given, **options}}


def _typed(value: Any) -> Any:
    """The number, truth or list that the text of an option spells, as in a YAML file: 0.2, true, 64,32."""
    if not isinstance(value, str):
        return value
    try:
        return documents.parse_yaml(
            f"[{value}]" if "," in value and value[:1] not in "[{" else value
        )
    except DataError:
        return value


def _file(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise RecipeError(f"recipe={path}: there is no such file")
    try:
        content = documents.read_yaml(path)
    except DataError as error:
        raise RecipeError(f"recipe={path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RecipeError(
            f"recipe={path} holds {type(content).__name__}; expected one 'key: value' a line, "
            "as in the args.yaml of a run"
        )
    return content


def _plain(key: str, value: Any) -> Any:
    """`none` typed for a setting that may be left open leaves it open; for others it is a word."""
    leaves_open = NoneType in get_args(Recipe.model_fields[key].annotation)
    return None if leaves_open and value in ("none", "null") else value


EXPECTED = {  # kinds of complaints of pydantic, and what was expected
    "int_": ("a whole number", "10"),
    "float_": ("a number", "0.01"),
    "bool_": ("true or false", "true"),
}


def _explain(error: ValidationError) -> str:
    """The first complaint as one line: key, what came, what is allowed."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, StriateError):  # one of our own checks: its message is whole
        return str(own)
    key, got = str(first["loc"][0]), first["input"]
    words = [word for word in _choices(key) if isinstance(word, str)]
    if first["type"] == "literal_error" or (words and isinstance(got, str)):
        return f"{key}={got}: {nearest(str(got), words)}"
    rule = first["msg"][0].lower() + first["msg"][1:]
    about = Recipe.model_fields[key].description
    for kind, (expected, such) in EXPECTED.items():
        if first["type"].startswith(kind):
            example = "" if "such as" in (about or "") else f" such as {key}={such}"
            return f"{key}={got}: expected {expected}{example} ({about})"
    return f"{key}={got!r}: {rule} ({about})"


def _choices(key: str) -> list[Any]:
    """The words that a setting takes, if it takes words."""
    found: list[Any] = []
    pending: list[Any] = [Recipe.model_fields[key].annotation]
    while pending:
        kind = pending.pop()
        arguments = get_args(kind)
        found += [value for value in arguments if isinstance(value, str)]
        pending += [value for value in arguments if get_args(value)]
    return found
