"""Recipes: the settings of a training, checked when they are read and frozen afterwards."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from striate import augment
from striate.errors import RecipeError, nearest
from striate.models import catalog


def _pair(value: Any) -> Any:
    """`28`, `28x32`, `[28, 32]` all name a height and a width."""
    if isinstance(value, str):
        value = list(value.lower().split("x"))
    if isinstance(value, int):
        value = [value]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = [value[0], value[0]]
    return value


def _words(value: Any) -> Any:
    """`a,b` and `[a, b]` name the same words."""
    return [word for word in value.split(",") if word] if isinstance(value, str) else value


Size = Annotated[tuple[int, int], BeforeValidator(_pair)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def _augmentation(text: str) -> str:
    """A policy of random views, checked; its words are those of `augment.policy`."""
    if text != "auto":
        augment.read(text)
    return text


Augmentation = Annotated[str, AfterValidator(_augmentation)]


class Recipe(BaseModel):
    """Settings of a training. `None` and "auto" are settled from the data before the first step.

    The default follows what measured best on MNIST per second of CPU: AdamW under a one-cycle rate
    (Smith and Topin 2017, arXiv 1708.07120) with the last epoch unaugmented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    net: str | None = Field(
        default=None, description="catalogue name; by the pictures' size if not given"
    )
    epochs: int | None = Field(default=None, ge=1, description="passes over the data")
    batch: int | None = Field(default=None, ge=1, description="items a step")
    lr: float | None = Field(default=None, gt=0, description="largest learning rate")
    optimizer: Literal["adamw", "sgd"] = Field(
        default="adamw", description="how gradients become steps"
    )
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="of sgd, or the first beta of adamw"
    )
    weight_decay: float = Field(default=0.05, ge=0, description="not on biases and normalisation")
    schedule: Literal["onecycle", "cosine", "constant"] = Field(
        default="onecycle", description="course of the learning rate"
    )
    warmup: float = Field(
        default=0.15, ge=0, lt=1, description="share of the steps in which the rate rises"
    )
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="label smoothing")
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    augment: Augmentation = Field(
        default="auto",
        description="random views: crop+flip+rotate:15+color, see `striate.augment.policy`",
    )
    size: Size | None = Field(default=None, description="pixels the net sees: 28 or 28x32")
    color: Literal["rgb", "grey"] | None = Field(
        default=None, description="channels; the data's if not given"
    )
    width: float = Field(default=1.0, gt=0, description="factor on the net's channels")
    options: dict[str, Any] = Field(default={}, description="options of the net's family")
    val: float | None = Field(
        default=None, gt=0, lt=1, description="share held out; 0.2 where the data hold nothing out"
    )
    ignore: Words = Field(default=(), description="file patterns to leave aside")
    broken: Literal["stop", "skip"] | float = Field(
        default="stop", description="what broken files do: stop past 1 % and five, skip, or a share"
    )
    on_nan: Literal["stop"] = Field(
        default="stop", description="what a loss that is no number does"
    )
    seed: int = Field(default=0, ge=0, description="of everything random")
    plan: str = Field(
        default="auto", description="auto, default, or words such as channels_last,bf16"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    cache: str | None = Field(default=None, description="folder of decoded pictures")

    def as_yaml(self) -> str:
        """Flat YAML, one setting a line."""
        return yaml.safe_dump(
            self.model_dump(mode="json"),
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,  # lists and options stay on the line of their key
            width=1_000_000,
        )

    def explained(self) -> str:
        """The same with what each setting means."""
        lines = self.as_yaml().splitlines()
        about = [field.description for field in type(self).model_fields.values()]
        width = max(map(len, lines)) + 2
        return "\n".join(f"{line:{width}}# {text}" for line, text in zip(lines, about, strict=True))


# Recipes by name: what they set differently from the default.
NAMED: dict[str, dict[str, Any]] = {
    "quick": {},
}


def read_recipe(name: str = "quick", settings: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by its name or YAML file, with settings changed.

    Args:
        name: a name of `NAMED`, or a file that ends in .yaml or .yml.
        settings: values by key; text is converted to the key's type.

    Raises:
        RecipeError: an unknown recipe, key or value, or a value of the wrong type.
    """
    if name in NAMED:
        base = NAMED[name]
    elif name.endswith((".yaml", ".yml")):
        base = _file(Path(name))
    else:
        raise RecipeError(f"recipe={name}: {nearest(name, NAMED)}, or a .yaml file")
    merged = _with_options({**base, **(settings or {})})
    try:
        return Recipe.model_validate({key: _plain(key, value) for key, value in merged.items()})
    except ValidationError as error:
        raise RecipeError(_explain(error)) from None


def _with_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those that only the net knows, such as act=tanh, gathered under `options`."""
    row = catalog.CATALOG.get(str(settings.get("net")))
    offered = row.options if row else {}
    for key in settings:
        if key not in Recipe.model_fields and key not in offered:
            raise RecipeError(
                f"no setting {key!r}: {nearest(key, [*Recipe.model_fields, *offered])}"
            )
    if not isinstance(settings.get("options") or {}, dict):
        raise RecipeError(
            f"options={settings['options']!r}: expected a mapping, such as act=tanh alone"
        )
    options = {key: settings.pop(key) for key in list(settings) if key not in Recipe.model_fields}
    return {**settings, "options": {**(settings.get("options") or {}), **options}}


def _file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"recipe={path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"recipe={path} cannot be read as YAML: {reason}") from None
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


def _explain(error: ValidationError) -> str:
    """The first complaint as one line: key, what came, what is allowed."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # one of our own checks: its message is whole
        return str(first.get("ctx", {}).get("error", first["msg"]))
    key, got = str(first["loc"][0]), first["input"]
    words = [word for word in _choices(key) if isinstance(word, str)]
    if first["type"] == "literal_error" or (words and isinstance(got, str)):
        return f"{key}={got}: {nearest(str(got), words)}"
    rule = first["msg"][0].lower() + first["msg"][1:]
    about = Recipe.model_fields[key].description
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
