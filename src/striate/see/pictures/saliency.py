"""Which places of an item a net's answer rests on, with the tests that say whether the map shows the net.

N items, C channels; the places are those of the input: pixels, steps of time, voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, CheckpointError, ShapeError
from striate.probe import as_eval
from striate.result import Result, text_table
from striate.runs import Run
from striate.runs.folder import write_json
from striate.see.attribution import checks as tests
from striate.see.attribution import layers, methods
from striate.see.attribution.checks import Checks
from striate.see.attribution.layers import Resolution
from striate.see.attribution.panels import Panel, drawn_of, panel, strongest
from striate.see.attribution.subject import MIB, Subject
from striate.tasks.explained import Wanted
from striate.text import number, some, times

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Tried:
    """A layer among which was chosen: insertion less deletion, the mean over items; more is more faithful."""

    layer: str
    cells: tuple[int, ...]
    deletion: float
    insertion: float

    @property
    def gain(self) -> float:
        """Insertion less deletion."""
        return self.insertion - self.deletion


@dataclass(frozen=True, eq=False)
class Saliency(Result):
    """Maps of some items.

    Attributes:
        net: what it is called.
        method: as it was asked for.
        layer: whose maps they are made of; "" of a method that needs none.
        words: what is explained of each item.
        scores: that number of each item.
        unit: of the values.
        resolution: how finely the maps tell places apart.
        inputs: what the net was given, [N, C, *space].
        values: float32 [N, *space], enlarged to the input where they are coarser.
        cells: the same before that, [N, *cells].
        notes: what is to be said of them.
        tried: the layers among which was chosen.
        checks: the tests of the maps, where they were asked for.
    """

    net: str
    method: str
    layer: str
    words: tuple[str, ...]
    scores: tuple[float, ...]
    unit: str
    resolution: Resolution
    inputs: NDArray[np.float32] = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)
    cells: NDArray[np.float32] = field(repr=False)
    notes: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    checks: Checks | None = None
    upright: bool = True

    @property
    def title(self) -> str:
        """What the maps are, in one line."""
        return f"{self.method} of {self.net}" + (f" at {self.layer}" if self.layer else "")

    def scale(self, i: int) -> float:
        """The magnitude at which the colours of an item end."""
        return strongest(self.values[i])

    def panel(self, i: int) -> Panel:
        """One item, its map over it and its map alone, as pixels."""
        return panel(self.inputs[i], self.values[i], self.scale(i), upright=self.upright)

    def caption(self, i: int) -> str:
        """What is explained of an item."""
        return f"{self.words[i]}: {number(self.scores[i])}"

    def remarks(self) -> list[str]:
        """Resolution, notes, the choice and the tests, a line each."""
        said = [self.resolution.words, *self.notes]
        if self.tried:
            said.append(self._choice())
        return [*said, *(self.checks.lines() if self.checks else [])]

    def _choice(self) -> str:
        listed = ", ".join(f"{t.layer} ({times(t.cells)}) {t.gain:.3f}" for t in self.tried)
        return f"{self.layer} was chosen for the largest insertion less deletion: {listed}"

    def picture(self) -> "Image":
        """A sheet: a row an item, its map over it, the map alone and its scale."""
        from striate.see.attribution.sheet import sheet

        return sheet(self)

    def as_dict(self) -> dict[str, Any]:
        """Method, layer, what is explained, resolution, and the tests; not the values."""
        found: dict[str, Any] = {
            "method": self.method,
            "explained": [
                {"of": words, "score": score, "min": float(v.min()), "max": float(v.max())}
                for words, score, v in zip(self.words, self.scores, self.values, strict=True)
            ],
            "unit": self.unit,
            "resolution": self.resolution.as_dict(),
            "notes": list(self.notes),
        }
        if self.layer:
            found["path"] = self.layer
        if self.tried:
            found["tried"] = [
                {"layer": t.layer, "deletion": t.deletion, "insertion": t.insertion}
                for t in self.tried
            ]
        if self.checks:
            found["tests"] = self.checks.as_dict()
        return found

    def as_text(self) -> str:
        """A row an item, and what is to be known of the maps."""
        rows = [
            [i, self.words[i], number(self.scores[i]), f"{v.min():.3g}", f"{v.max():.3g}"]
            for i, v in enumerate(self.values)
        ]
        table = text_table(["item", "explained", "it is", "min", f"max ({self.unit})"], rows)
        return "\n".join([self.title, "", table, "", *self.remarks()])

    def _repr_html_(self) -> str:
        from striate.see.attribution.sheet import page

        return page(self)


def saliency(
    net: nn.Module | Run,
    images: Tensor,
    *,
    method: str = "grad-cam",
    layer: str | None = None,
    target: Sequence[Wanted] | int | str | None = None,
    choose: bool = False,
    check: bool = False,
    memory: int = 1024,
) -> Saliency:
    """Which places of each item a net's answer rests on; the net stays as it is.

    Args:
        net: any module, or a run, whose task says what its answers mean.
        images: items as the net takes them, normalised, [N, C, *space]: pictures, sounds, series or volumes.
        method: gradient, gradient-x-input, integrated, smoothgrad, guided, occlusion, rise, grad-cam, grad-cam++,
            layer-cam, score-cam or eigen-cam; a number behind it such as rise:4000 or occlusion:32 is of masks or pixels.
        layer: of the CAM methods, by its name; by default the last one with maps of more than one place.
        target: the class or number that is explained, by its name or place; by default what the net finds likeliest.
        choose: take the layer whose maps are the most faithful, by deletion and insertion.
        check: test the maps: randomised weights, deletion and insertion against random maps; kept with a run.
        memory: MiB that a batch may take, beside the items, the weights and the maps.

    Raises:
        ArgumentError: no such method, layer or class, a net without maps, or a memory that holds no item.
        ShapeError: items that the net does not take.
        NumericError: an answer that is no finite number.
    """
    name, way, count = methods.read(method)
    _settings(images, layer, memory, at_layer=way.at_layer, choose=choose, name=name)
    module, subject = _subject(net, images, target, memory * MIB)
    cards = [subject.x.device] if subject.x.device.type == "cuda" else []
    with torch.inference_mode(False), torch.random.fork_rng(cards), as_eval(module):
        tried: tuple[Tried, ...] = ()
        if way.at_layer and choose:
            tried = _try(subject, way, count, name)
            layer = max(tried, key=lambda each: each.gain).layer
        elif way.at_layer and layer is None:
            layer = layers.last(module, subject.x[:1], name)
        path = layer or ""
        made = way.run(subject, path, count)
        fine = _resolution(subject, way, path, made.maps, count)
        found = None
        if check:
            found = _checked(subject, lambda one: way.run(one, path, count).maps, made.maps, fine)
    result = Saliency(
        _called(net),
        method,
        path,
        tuple(subject.words),
        tuple(subject.scores),
        way.unit,
        fine,
        subject.x.float().cpu().numpy(),
        _placed(fine, subject, made.maps).cpu().numpy(),
        made.maps.float().cpu().numpy(),
        (*made.notes, *_blank(made.maps), *filter(None, [drawn_of(tuple(subject.x.shape))])),
        tried,
        found,
        upright=not (isinstance(net, Run) and net.config.preprocessing.modality == "sound"),
    )
    return _kept(result, net) if check and isinstance(net, Run) else result


def _settings(
    images: Tensor, layer: str | None, memory: int, *, at_layer: bool, choose: bool, name: str
) -> None:
    """Refuse what cannot be meant, before anything runs."""
    if images.ndim < 3 or images.ndim > 5 or len(images) == 0:
        raise ShapeError(
            f"images: got shape {tuple(images.shape)}, expected (items, channels, height, width), or one or three axes of places"
        )
    if memory < 1:
        raise ArgumentError(f"memory={memory}: expected at least 1 MiB")
    if not at_layer and (layer is not None or choose):
        given = "choose" if choose else f"layer={layer}"
        raise ArgumentError(
            f"{given}: {name} is made at no layer; leave it out, or take grad-cam or another CAM method"
        )
    if choose and layer is not None:
        raise ArgumentError(f"choose and layer={layer}: one of them says the layer; leave one out")


def _subject(
    net: nn.Module | Run, images: Tensor, target: Sequence[Wanted] | int | str | None, memory: int
) -> tuple[nn.Module, Subject]:
    """The net, and what is explained of it: a run's task says what its answers mean."""
    module = net.net if isinstance(net, Run) else net
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(f"net: got {type(net).__name__}, expected a torch.nn.Module or a Run")
    held = next((p for p in module.parameters() if p.is_floating_point()), None)
    kind = torch.float32 if held is None else held.dtype
    x = images.detach().to(images.device if held is None else held.device, kind)
    wanted = [target] * len(x) if target is None or isinstance(target, str | int) else list(target)
    if len(wanted) != len(x):
        raise ArgumentError(
            f"target: got {len(wanted)} for {len(x)} items, expected one, or one an item"
        )
    subject = Subject(module, x, memory, wanted=wanted)
    if isinstance(net, Run):
        subject.numbers, subject.choose = net.task.explained, net.task.chosen
    return module, subject


def _try(subject: Subject, way: methods.Method, count: int, name: str) -> tuple[Tried, ...]:
    """The same method at several layers, each with the areas of its maps."""
    found: list[Tried] = []
    for path in layers.candidates(subject.net, subject.x[:1], name):
        maps = way.run(subject, path, count).maps
        fine = layers.resolution(subject.net, subject.x, path, tuple(maps.shape[1:]))
        deletion, insertion = tests.areas(
            subject, maps, lambda one, fine=fine: _placed(fine, subject, one), against=0
        )
        found.append(Tried(path, tuple(maps.shape[1:]), deletion.value, insertion.value))
    return tuple(found)


def _checked(subject: Subject, make: tests.Maker, maps: Tensor, fine: Resolution) -> Checks:
    deletion, insertion = tests.areas(subject, maps, lambda one: _placed(fine, subject, one))
    stages = tests.randomised(subject, make, maps)
    return Checks(len(subject), stages, deletion, insertion, probability=subject.shares)


def _resolution(
    subject: Subject, way: methods.Method, layer: str, maps: Tensor, count: int
) -> Resolution:
    if way.at_layer:
        return layers.resolution(subject.net, subject.x, layer, tuple(maps.shape[1:]))
    return way.grain(subject.space, count)


def _placed(fine: Resolution, subject: Subject, maps: Tensor) -> Tensor:
    """Maps as large as the input; those of occlusion and RISE are so already."""
    return (
        maps.float() if tuple(maps.shape[1:]) == subject.space else fine.placed(maps, subject.space)
    )


def _blank(maps: Tensor) -> list[str]:
    """Items whose maps are zero everywhere, so that nobody takes them for a finding."""
    empty = [str(i) for i, each in enumerate(maps) if not bool(each.any())]
    if not empty:
        return []
    return [f"zero everywhere for item {some(empty)}: nothing there raises what is explained"]


def _called(net: nn.Module | Run) -> str:
    return str(net.path) if isinstance(net, Run) else type(net).__name__


def _kept(result: Saliency, run: Run) -> Saliency:
    """The tests beside the run, as see/saliency-METHOD.json; where they cannot be written the result says so."""
    folder = run.path / "see"
    name = result.method.replace(":", "-") + (f"-{result.layer}" if result.layer else "")
    try:
        folder.mkdir(exist_ok=True)
        write_json(folder / f"saliency-{name}.json", result.as_dict())
    except (OSError, CheckpointError) as error:
        said = f"these tests are not kept: {error}"
        return replace(result, notes=(*result.notes, said))
    return result
