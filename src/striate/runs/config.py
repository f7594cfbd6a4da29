"""config.json: what rebuilds a net and its preprocessing. It is data: it never names code to import."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate import inputs
from striate.errors import CheckpointError, told
from striate.inputs import Preprocessing
from striate.models import catalog
from striate.models.backbone import with_outputs
from striate.runs.folder import read_json, unsealed, write_sealed

FORMAT = 2
UNSEALED = 1  # the format before, which had no hash of itself


@dataclass(frozen=True)
class NetSpec:
    """Which net: by its name with its arguments, or `own`, a user's net that is named again.

    `structure` is a hash over names, shapes and dtypes of all weights and buffers. Where a user's net was given a last
    layer of another number of outputs, `num_classes` says of how many.
    """

    name: str
    structure: str = ""
    own: bool = False
    in_channels: int | None = None
    num_classes: int | None = None
    size: tuple[int, ...] | None = None
    width: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def head_words(self) -> str:
        """What is to be said of the last layer of a user's net; mostly nothing."""
        if not (self.own and self.num_classes):
            return ""
        return f"the last layer of {self.name} gets {self.num_classes} outputs, one a class: it starts anew"

    def own_net(self, net: nn.Module) -> nn.Module:
        """A copy of the user's net as it was trained."""
        net = copy.deepcopy(net)
        if self.num_classes:
            with_outputs(net, self.num_classes, torch.Generator())
        return net

    def build(self, generator: torch.Generator | None = None) -> nn.Module:
        """The net of this name; its weights are unset without a generator."""
        return catalog.build(
            self.name,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
            size=self.size,
            width=self.width,
            **self.options,
            generator=generator,
            init=generator is not None,
        )


def structure(net: nn.Module) -> str:
    """Hash over names, shapes and dtypes of all weights and buffers of a net."""
    lines = (
        f"{name} {tuple(t.shape)} {t.dtype}" if isinstance(t, torch.Tensor) else f"{name} {type(t)}"
        for name, t in net.state_dict().items()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Config:
    """The content of config.json."""

    net: NetSpec
    task: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    data: Mapping[str, Any]
    plan: Mapping[str, Any]
    versions: Mapping[str, str]
    created: str
    recipe: str = ""  # SHA-256 of args.yaml
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of args.yaml
    task_settings: Mapping[str, Any] = field(default_factory=dict[str, Any])  # see `Task.config`
    tiling: Mapping[str, Any] = field(default_factory=dict[str, Any])  # see `plan.tiles.Tiling`
    weights: str = ""  # SHA-256 of model.safetensors; empty until that is written

    def as_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        content = {**asdict(self), "preprocessing": self.preprocessing.as_dict()}
        return {"format": FORMAT, **content}

    def write(self, folder: Path) -> None:
        """Write config.json of a run folder."""
        write_sealed(folder / "config.json", self.as_dict())

    @classmethod
    def read(cls, folder: Path) -> "Config":
        """Read config.json of a run folder.

        Raises:
            CheckpointError: no run folder, damaged, or of a newer version.
        """
        path = folder / "config.json"
        content = read_json(path)
        if content.get("format") in (UNSEALED, FORMAT):
            content = unsealed(content, path, needed=content["format"] == FORMAT)
        return cls.parse(content, folder)

    @classmethod
    def parse(cls, content: dict[str, Any], folder: Path) -> "Config":
        """Read the content of a config.json.

        Args:
            content: as JSON gives it.
            folder: of the run, named in messages.

        Raises:
            CheckpointError: damaged, or of a newer version.
        """
        version = content.pop("format", None)
        if version not in (UNSEALED, FORMAT):
            newer = isinstance(version, int) and version > FORMAT
            raise CheckpointError(
                f"{folder}/config.json has format {version!r}, this version of striate reads {FORMAT}: "
                + ("update striate" if newer else "it is no config of a run")
            )
        try:
            content["net"] = NetSpec(**_tuples(content["net"]))
            content["classes"] = _names(content["classes"])
            content["preprocessing"] = inputs.from_dict(content["preprocessing"])
            found = cls(**content)
            _check(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{folder}/config.json is damaged: {reason}") from error
        return found


def _names(classes: object) -> tuple[str, ...]:
    if not isinstance(classes, list | tuple):
        raise TypeError(f"classes is {told(classes)}")
    return tuple(classes)


def _check(config: Config) -> None:
    """Refuse values of other kinds than the fields have.

    Raises:
        KeyError: what the data were is not told.
        ValueError: naming the first field.
    """
    content = config.as_dict()
    for each in fields(Config):
        if each.name != "preprocessing":  # which has checked itself
            checked(each.type, content[each.name], each.name)
    for key, kind in (("origin", dict), ("fingerprint", str), ("splits", dict)):
        if not isinstance(config.data[key], kind):
            raise ValueError(f"data.{key} is {config.data[key]!r}")  # noqa: TRY004 - one kind of error


def checked(kind: Any, content: Any, name: str = "") -> Any:
    """Plain values as a type of ours, dataclasses within it too.

    Args:
        kind: the type.
        content: the values.
        name: of what they are, for the message.

    Raises:
        ValueError: a value is of another kind; the first is named.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ([name] if name else []) + [*first["loc"]]))
        raise ValueError(f"{place} is {told(first['input'])}: {first['msg'].lower()}") from None


def check_tensors(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse tensors that are not those of a net: other names, shapes, or kinds of numbers.

    Args:
        found: by name.
        wanted: the state of the net.
        path: of what holds them, named in messages.

    Raises:
        CheckpointError: naming the first.
    """
    for name in {**wanted, **found}:
        was, now = (
            f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
            if isinstance(t, torch.Tensor)
            else "nothing"
            for t in (wanted.get(name), found.get(name))
        )
        if was != now:
            raise CheckpointError(
                f"{path} does not fit the net: {name} is {now}, expected {was}; train anew"
            )


def _tuples(net: Mapping[str, Any]) -> dict[str, Any]:
    size = net.get("size")
    return {**net, "size": tuple(size) if size else None}
