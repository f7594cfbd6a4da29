"""`striate see NAME`: a command for every file of `striate/see/pictures`, made from its function."""

import ast
import html
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click

from striate.cli.output import FOLDER, Drawn, emit, read_ints, read_sizes, save, seen, writing
from striate.cli.settings import Command
from striate.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from striate.result import Result
    from striate.workbench.nets import Named

FILES = Path(__file__).parent.parent / "see" / "pictures"
ROOM = "striate.see.pictures"
ALIASES = {"all": "album"}  # other words for a picture
KNOWN = ("shape", "classes", "levels")  # what the net or the run says itself
NETS = ("net", "before", "after")
LAYERS = ("layer", "layers")  # several may stand in one word: no path of a layer holds a comma


class Pictures(click.Group):
    """The commands that stand written out, and one a picture; a picture is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        found = (path.stem.replace("_", "-") for path in FILES.glob("[a-z]*.py"))
        return sorted({*super().list_commands(ctx), *found})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        name = ALIASES.get(cmd_name, cmd_name).replace("-", "_")
        if (written := super().get_command(ctx, cmd_name)) is not None:
            return written
        return command(name) if name.isidentifier() and (FILES / f"{name}.py").exists() else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and first sentences; a picture's is read from its file without importing it."""
        rows = [(name, self._says(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _says(self, ctx: click.Context, name: str) -> str:
        written = super().get_command(ctx, name)
        if written is not None:
            return written.get_short_help_str(100)
        tree = ast.parse((FILES / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
        return (ast.get_docstring(tree) or "").partition("\n")[0]


@dataclass
class _Given:
    """What the words on the command line name, found when the function wants it."""

    words: dict[str, Any]
    shape: tuple[int, ...] | None
    own: str | None
    weights: str | None
    paths: Sequence[str] = ()
    said: list[str] = field(default_factory=list[str])

    def of(self, parameter: inspect.Parameter) -> Any:
        """The argument for one parameter by position; a net may be a run where its type says so."""
        if parameter.name in NETS and "Run" in {
            getattr(each, "__name__", "") for each in get_args(parameter.annotation)
        }:
            named = self._named(parameter.name)
            return named.run or named.net
        return self._of(parameter.name)

    def _of(self, parameter: str) -> Any:
        if parameter in NETS:
            return self._named(parameter).net
        if parameter == "images":
            return self._images(self.words["images"])
        if parameter == "run":
            return self._run()
        if parameter in ("runs", "data"):
            return self._runs() if parameter == "runs" else self._data()
        if parameter in self.paths:
            return self.words[parameter]
        return self._images([self.words[parameter]])

    def _runs(self) -> list[Any]:
        from striate.runs import Run

        return [Run(path) for path in self.words["runs"]]

    def names(self) -> list[str]:
        """NET or RUN as they were typed."""
        several = [str(path) for path in self.words.get("runs", ())]
        return [str(self.words[key]) for key in (*NETS, "run") if key in self.words] + several

    def items(self) -> list[Path]:
        """Files that the picture is of."""
        return [*self.words.get("images", ()), *(self.words[key] for key in self.paths)]

    def known_shape(self) -> tuple[int, ...] | None:
        """Of one item: as typed, or as the net says."""
        return self.shape or self._named("net").shape

    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, of a run."""
        run = self._its_run()
        return tuple(run.config.classes) if run else ()

    def levels(self, channels: int) -> Any:
        """Mean and deviation by which pictures of 0 to 1 become what the net reads; None where they are read as they are."""
        from striate.see.levels import of_run, of_weights

        if (run := self._its_run()) is not None:
            return of_run(run.config.preprocessing)
        if not self.weights:
            return None
        found, says = of_weights(self.weights, channels)
        if says not in self.said:
            self.said.append(says)
            _say(says)
        return found

    def _its_run(self) -> Any:
        """The run that RUN or NET is, its net not built for this; None of any other net."""
        from striate.runs import Run

        if "run" in self.words:
            return self._run()
        folder = Path(str(self.words["net"]))
        return Run(folder) if (folder / "config.json").exists() else None

    def _named(self, parameter: str) -> "Named":
        from striate.workbench.nets import find

        key = f"found {parameter}"
        if key not in self.words:
            named = find(self.words[parameter], self.shape, init=True)
            self.words[key] = named
            if self.weights:
                _load(named, self.weights)
            elif _untrained(named.name):
                _say(
                    f"{named.name}: its first weights, drawn at random; --weights FILE or a run folder has others"
                )
        return self.words[key]

    def _images(self, files: Sequence[Path]) -> Any:
        import torch

        if not {*NETS, "run"} & set(self.words):
            return _plain(files)
        from striate.see.levels import as_read
        from striate.workbench.nets import read_picture

        named = self._named("net") if "net" in self.words else self._of_run()
        read = [read_picture(file, named) for file in files]
        for file, each in zip(files, read, strict=True):
            if each.shape != read[0].shape:
                raise UsageError(
                    f"{file} is {tuple(each.shape[1:])} and {files[0]} {tuple(read[0].shape[1:])}: "
                    "give items of one size"
                )
        images = torch.cat(read)
        # A run has brought them to what it reads already.
        return images if named.run else as_read(images, self.levels(images.shape[1]))

    def _of_run(self) -> "Named":
        from striate.workbench.nets import Named

        run = self._run()
        return Named(str(self.words["run"]), run.net, run.config.preprocessing.shape, run)

    def _run(self) -> Any:
        from striate.runs import Run
        from striate.workbench.nets import own

        if "found run" not in self.words:
            net = own(self.own) if self.own else None
            self.words["found run"] = Run.load(self.words["run"], net=net)
        return self.words["found run"]

    def _data(self) -> Any:
        """DATA opened as a training would, or None: the function takes what its run was made of."""
        from striate import data

        return None if self.words["data"] is None else data.open(self.words["data"])


def _plain(files: Sequence[Path]) -> Any:
    """Pictures that no net reads [N, C, H, W], 0 to 1, at their own size."""
    import numpy as np
    import torch

    from striate import data

    read = [data.picture(file) for file in files]
    for file, each in zip(files, read, strict=True):
        if each.shape != read[0].shape:
            sizes = " and ".join("x".join(map(str, e.shape[1::-1])) for e in (each, read[0]))
            raise UsageError(f"{file} and {files[0]} are {sizes} pixels: give pictures of one size")
    return (
        torch.from_numpy(np.stack(read).astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
    )


def _load(named: "Named", weights: str) -> None:
    """Put weights into a net, and say which; a file may hold the first layers alone."""
    from striate.weights.loading import load, load_features, of_net

    file = of_net(named.name, weights)
    try:
        loaded = load(named.net, file, adapt=True)
    except CheckpointError as error:
        try:
            loaded = load_features(named.net, file)
        except CheckpointError:
            raise error from None
    for line in loaded.as_text().splitlines():
        _say(f"{named.name}: {line}")


def _untrained(name: str) -> bool:
    from striate.models import catalog

    return name in catalog.CATALOG or catalog.is_library(name)


def _say(words: str) -> None:
    click.echo(f"striate: {words}", err=True)


def command(name: str) -> click.Command:
    """The command of one picture.

    Raises:
        TypeError: a parameter of its function has a type that no option can have.
    """
    function = getattr(importlib.import_module(f"{ROOM}.{name}"), name)
    signature = inspect.signature(function)
    lines = _lines(function.__doc__ or "")
    words = [p for p in signature.parameters.values() if p.name == "data" or _needed(p)]
    settings = [p for p in signature.parameters.values() if p not in words]
    params: list[click.Parameter] = [_argument(p) for p in words]
    params += [_option(p, lines.get(p.name, "")) for p in settings if p.name not in KNOWN]
    if any(p.name in NETS for p in words):
        params.append(click.Option(["--input", "shape"], help="Of one item, such as 3x224x224."))
        params.append(click.Option(["--weights"], metavar="FILE", help="Or published."))
    if any(p.name == "run" for p in words):
        params.append(click.Option(["--net"], metavar="NET", help="The run's net, if it is yours."))
    endings = _endings(signature.return_annotation)
    params.append(
        click.Option(
            ["--out"],
            type=Drawn(*endings),
            multiple=True,
            metavar="FILE",
            help="Written too, as the ending says.",
        )
    )

    def callback(**given: Any) -> None:
        _draw(name, function, [p.name for p in words], given)

    about = (function.__doc__ or "").partition("\n\n")[0]
    params.append(click.Option(["--json"], is_flag=True, help="One JSON document."))
    return Command(name.replace("_", "-"), callback=callback, params=params, help=about)


def _draw(
    name: str, function: Callable[..., Any], words: Sequence[str], given: dict[str, Any]
) -> None:
    out, json, shape = given.pop("out"), given.pop("json"), given.pop("shape", None)
    taken = inspect.signature(function).parameters
    asked = []
    if "net" in taken and "net" not in words:
        asked = [given["net"]]
        given["net"] = _module(given["net"])
    found = _Given(
        {key: given.pop(key) for key in words},
        read_sizes(shape) if shape else None,
        given.pop("net", None) if not {"net"} & {*words, *taken} else None,
        given.pop("weights", None) if "weights" not in taken else None,
        [word for word in words if taken[word].annotation is Path],
    )
    parameters = inspect.signature(function).parameters
    arguments = [found.of(parameters[word]) for word in words]
    if "shape" in parameters:
        given["shape"] = found.known_shape()
    if "classes" in parameters:
        given["classes"] = found.classes()
    if "levels" in parameters:
        given["levels"] = found.levels((found.known_shape() or (0,))[0])
    result = function(*arguments, **given)
    for path in out:
        _write(result, path, " ".join([name, *found.names()]))
    names, facts = found.names() or asked, result.as_dict()
    document = seen(
        name,
        facts,
        nets=names,
        layer=facts.get("path", "") if names else "",  # of data, a path is no layer's
        items=found.items(),
        files=out,
    )
    emit(document, result.as_text(), json=json)


def _module(text: str) -> Any:
    """A net of the user's own where a word names one; other words stay, since the picture may need but a part of the net."""
    from striate.workbench.nets import own

    return own(text) if ":" in text else text


def _write(result: "Result", path: Path, title: str) -> None:
    from striate.result import html_page

    drawn: Any = result
    if path.suffix.lower() == ".html":
        save(path, html_page(title, _main(title, result.as_html())))
    elif path.suffix.lower() == ".svg":
        save(path, drawn.as_svg())
    else:
        with writing(path):
            drawn.picture().save(path)


def _main(title: str, markup: str) -> str:
    """Markup below the title of its page; what is wider than the window scrolls within it."""
    if "<main" in markup:
        return markup
    return (
        f'<main style="overflow-x:auto" tabindex="0"><h1>{html.escape(title)}</h1>{markup}</main>'
    )


def _argument(parameter: inspect.Parameter) -> click.Argument:
    name = parameter.name
    if name in NETS:
        shown = "NET" if name == "net" else name.upper()
        return click.Argument([name], metavar=shown)
    if name == "images":
        return click.Argument([name], type=FOLDER, nargs=-1, required=True, metavar="FILE...")
    if name == "data":
        needed = parameter.default is parameter.empty
        return click.Argument([name], required=needed, metavar="DATA" if needed else "[DATA]")
    if name == "runs":
        return click.Argument([name], type=FOLDER, nargs=-1, required=True, metavar="RUN...")
    return click.Argument([name], type=FOLDER, metavar=name.upper())


def _option(parameter: inspect.Parameter, says: str) -> click.Option:
    """An option of the type and the default of a keyword parameter."""
    kind, many = _bare(parameter.annotation), False
    flag = f"--{parameter.name.replace('_', '-')}"
    settings: dict[str, Any] = {"default": parameter.default, "help": says}
    if parameter.default is parameter.empty:
        settings = {"required": True, "help": says}
    if kind is bool:
        return click.Option([flag], is_flag=True, help=says)
    if get_origin(kind) is Literal:
        settings["type"] = click.Choice([str(each) for each in get_args(kind)])
    elif kind == tuple[int, ...]:
        return click.Option([flag], metavar="I,J", help=says, callback=_ints, default=None)
    elif get_origin(kind) in (tuple, Sequence):
        many, settings["type"] = True, get_args(kind)[0]
    elif kind in (int, float, str, Path):
        settings["type"] = FOLDER if kind is Path else kind
    else:
        raise TypeError(f"{parameter}: no option can have this type")
    if many:
        settings["default"] = parameter.default or ()
        if parameter.name in LAYERS:
            settings |= {"metavar": "A,B", "callback": _layers}
        return click.Option([flag], multiple=True, **settings)
    shown = parameter.default not in (None, parameter.empty, "")
    return click.Option([flag], show_default=shown, **settings)


def _needed(parameter: inspect.Parameter) -> bool:
    return parameter.kind is not parameter.KEYWORD_ONLY and parameter.default is parameter.empty


def _bare(annotation: Any) -> Any:
    """The type without None; of several the last, which is the most general one: str | Sequence[str]."""
    if get_origin(annotation) in (UnionType, Union):
        return [each for each in get_args(annotation) if each is not NoneType][-1]
    return annotation


def _ints(_context: click.Context, option: click.Parameter, value: str | None) -> Any:
    return None if value is None else read_ints(value, option.opts[0])


def _layers(_context: click.Context, _option: click.Parameter, value: Sequence[str]) -> Any:
    """The layers of all words, each with commas between several."""
    return tuple(name for word in value for name in word.replace(" ", "").split(",") if name)


def _endings(result: Any) -> list[str]:
    drawn = [".png"] if hasattr(result, "picture") else []
    return [".html", *drawn, *([".svg"] if hasattr(result, "as_svg") else [])]


def _lines(doc: str) -> dict[str, str]:
    """What the docstring's Args say of each parameter."""
    part = re.search(
        r"\n    Args:\n(.*?)(?=\n    \w+:\n|\Z)",
        inspect.cleandoc(doc).replace("\n", "\n    "),
        re.DOTALL,
    )
    if part is None:
        return {}
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {10,}\S.*)*)", part[1], re.MULTILINE)
    return {name: " ".join(says.split()) for name, says in entries}
