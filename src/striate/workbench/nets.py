"""NET and FILE on the command line: a net by its name, its run folder or its factory; a picture as its input."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate import data
from striate.errors import ArgumentError, ShapeError, UsageError, nearest
from striate.models import catalog
from striate.runs import Run


@dataclass(frozen=True)
class Named:
    """A net that was found by its name, and what one item of its input looks like, if that is known."""

    name: str
    net: nn.Module
    shape: tuple[int, ...] | None = None

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
    if text in catalog.CATALOG:
        return Named(
            text, catalog.outline(text, shape, init=init), shape or catalog.entry(text).input
        )
    path = Path(text)
    if (path / "config.json").exists():
        run = Run.load(path)
        return Named(text, run.net, shape or run.config.preprocessing.shape)
    if path.exists():
        raise ArgumentError(f"{text} is no run folder: it holds no config.json")
    raise ArgumentError(
        f"no net is called {text!r}; {nearest(text, catalog.CATALOG)}; "
        "or name a run folder, or package.module:factory"
    )


def own(text: str) -> nn.Module:
    """Call `package.module:factory`, found from the current folder or what is installed.

    Raises:
        UsageError: it cannot be imported, or gives no torch.nn.Module.
    """
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


def read_picture(file: Path, named: Named) -> Tensor:
    """Decode, resize and normalise one picture: [1, C, H, W], float32.

    A run reads it as in its training. Any other net gets its values 0..255 as 0..1, the shorter side
    scaled to fit and the middle cut out.

    Raises:
        DataError: the picture cannot be read.
        ShapeError: the net reads no pictures of one or three channels.
    """
    folder = Path(named.name)
    if (folder / "config.json").exists():
        pre = Run.load(folder, net=named.net).config.preprocessing
        stored = pre.read(file, max_pixels=data.MAX_PIXELS).stored
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
