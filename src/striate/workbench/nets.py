"""NET and FILE on the command line: a net by its name, its run folder or its factory; a picture as its input."""

import ast
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate import data, weights
from striate.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    ShapeError,
    StriateError,
    UsageError,
    nearest,
)
from striate.models import catalog
from striate.models.backbone import Backbone
from striate.runs import Run, folder


@dataclass(frozen=True)
class Named:
    """A net that was found by its name, what one item of its input looks like, if that is known, and the run it is of."""

    name: str
    net: nn.Module
    shape: tuple[int, ...] | None = None
    run: Run | None = None

    def known_shape(self) -> tuple[int, ...]:
        """The shape of one item of its input.

        Raises:
            UsageError: nobody said it, and the net is one of the user's own.
        """
        if self.shape is None:
            raise UsageError(f"{self.name}: how large is its input? Add --input such as 3x224x224")
        return self.shape


def find(text: str, shape: tuple[int, ...] | None = None, *, init: bool = False) -> Named:
    """The net that a word on the command line names.

    Args:
        text: the word.
        shape: of one item of its input; a net of the catalogue is built for it.
        init: whether a net of the catalogue gets its first weights; without them only shapes are right.

    Raises:
        ArgumentError: it names nothing; the message says what it may name.
    """
    if ":" in text:
        return Named(text, own(text), shape)
    if text in catalog.CATALOG or catalog.is_library(text):
        return Named(
            text, catalog.outline(text, shape, init=init), shape or catalog.entry(text).input
        )
    path = Path(text)
    if (path / "config.json").exists():
        run = Run.load(path)
        return Named(text, run.net, shape or run.config.preprocessing.shape, run)
    if (said := folder.taught_alone(path)) is not None:
        taught = _taught(path, said)
        return Named(text, taught, shape or taught.input_shape)
    check_factory(text)
    if path.exists():
        raise ArgumentError(folder.no_run(path))
    raise ArgumentError(
        f"no net is called {text!r}; {nearest(text, catalog.CATALOG)}; "
        "or name a run folder, package.module:factory, timm/NAME or torchvision/NAME"
    )


def _taught(path: Path, said: Mapping[str, Any]) -> Backbone:
    """A net that learned without labels, with its weights.

    Raises:
        CheckpointError: its folder is damaged.
    """
    try:
        settings: dict[str, Any] = dict(said["settings"])
        settings["size"] = tuple(settings["size"])
        net = catalog.build(str(said["net"]), init=False, **settings)
    except (KeyError, TypeError, ValueError, StriateError) as error:
        raise CheckpointError(f"{path / 'summary.json'} is damaged: {error}") from error
    weights.load(net, path / "model.safetensors")
    return net


def own(text: str) -> nn.Module:
    """Call `package.module:factory`, found from the current folder or what is installed.

    Raises:
        UsageError: it cannot be imported, or gives no torch.nn.Module.
    """
    check_factory(text)
    module, _, factory = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        made = getattr(importlib.import_module(module), factory)()
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"{text}: {type(error).__name__}: {error}; expected package.module:factory, "
            "a function or class that takes no arguments and gives a torch.nn.Module; --debug shows where"
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(made, nn.Module):
        raise UsageError(f"{text} gives {type(made).__name__}, expected a torch.nn.Module")
    return made


def check_factory(text: str) -> None:
    """Refuse the name of a module of the current folder without what makes the net, and name what may; nothing is imported.

    Raises:
        ArgumentError: it is such a name.
    """
    name, colon, factory = text.removesuffix(".py").partition(":")
    parts = name.split(".")
    if (
        factory
        or not all(part.isidentifier() for part in parts)
        or (not colon and name in catalog.CATALOG)
    ):
        return
    stem = Path(*parts)
    file = next((f for f in (stem.with_suffix(".py"), stem / "__init__.py") if f.is_file()), None)
    if file is None:
        return
    known = _factories(file)
    way = (
        f": {', '.join(f'{name}:{each}' for each in known[:5])}"
        if known
        else f", such as {name}:Net"
    )
    raise ArgumentError(f"{text} is a module ({file}): name what makes the net in it too{way}")


def _factories(file: Path) -> list[str]:
    """Names in a Python file that look as if they made a net without arguments: its modules, and functions that give one."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    nets: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = {
                base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
                for base in node.bases
            }
            inits = [
                n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"
            ]
            if bases & {"Module", "Sequential", *nets} and all(_needs(init) <= 1 for init in inits):
                nets.append(node.name)
        elif isinstance(node, ast.FunctionDef) and not _needs(node) and _gives_net(node, nets):
            nets.append(node.name)
    return nets


def _needs(function: ast.FunctionDef) -> int:
    """How many arguments it cannot do without, `self` counted."""
    given = function.args
    keywords = sum(default is None for default in given.kw_defaults)
    return len(given.posonlyargs) + len(given.args) - len(given.defaults) + keywords


def _gives_net(function: ast.FunctionDef, nets: list[str]) -> bool:
    """Whether a function says that it gives a module, or calls something that is one."""
    if function.returns is not None and ast.unparse(function.returns).endswith(
        ("Module", "Sequential", *nets)
    ):
        return True
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    called = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}
    return bool(called & {"Sequential", *nets})


def read_picture(file: Path, named: Named) -> Tensor:
    """Decode, resize and normalise one picture: [1, C, H, W], float32.

    A run reads it as in its training. Any other net gets its values 0..255 as 0..1, the shorter side
    scaled to fit and the middle cut out.

    Raises:
        DataError: the picture cannot be read.
        ShapeError: the net reads no pictures of one or three channels.
    """
    if named.run is not None:
        pre = named.run.config.preprocessing
        try:
            stored = pre.read(file, max_pixels=data.MAX_PIXELS).stored
        except DataError as error:
            raise DataError(f"{file}: {error}") from error
        return pre.normalise(pre.centre(torch.from_numpy(stored.copy())[None]))
    shape = named.known_shape()
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ShapeError(
            f"{named.name} reads {'x'.join(map(str, shape))}; a picture needs 1 or 3 channels, such as --input 3x224x224"
        )
    channels, height, width = shape
    color = "grey" if channels == 1 else "rgb"
    pixels = data.picture(file, size=(height, width), color=color)
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
