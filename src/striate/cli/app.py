"""The verbs. Each reads its words, calls the room that does the work, and prints the result."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.demo import demo
from striate.cli.learn import learn
from striate.cli.measuring import measure
from striate.cli.output import (
    FOLDER,
    Drawn,
    columns,
    emit,
    opening,
    save,
    with_json,
    with_net,
    with_opening,
)
from striate.cli.see import see
from striate.cli.settings import Command, one_line, read
from striate.cli.studio import studio
from striate.errors import DataError, UsageError
from striate.text import plain

if TYPE_CHECKING:
    from striate.result import Result
    from striate.runs import Run
    from striate.training import Progress, Recipe
    from striate.workbench.sweep import Sweep

REPORT = "report.html"  # of a run folder
COMPLETION = "_STRIATE_COMPLETE"  # set by a shell that wants words to offer


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="striate")
def app() -> None:
    """A workbench for convolutional networks: train, measure and see inside.

    With every command: --quiet prints the result and errors alone, no progress and no notes; --debug shows where an
    error came from.
    """


app.command_class = Command


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit status.

    With `--json` whatever else is printed, by a net of the user's own too, goes to standard error.

    Raises:
        StriateError: an expected mistake.
    """
    elsewhere = redirect_stdout(sys.stderr) if "--json" in arguments else nullcontext()
    try:
        out = sys.stdout
        with elsewhere:
            if COMPLETION in os.environ:
                app(prog_name="striate", complete_var=COMPLETION)
            # Not by `app()`, which leaves with 1, a failed check's status, when the reader of a pipe goes.
            with app.make_context("striate", list(arguments), obj=out) as context:
                return app.invoke(context) or 0
    except click.exceptions.Exit as done:  # after --help and --version
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None


@app.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="DATA [KEY=VALUE ...]")
@click.option(
    "--net",
    metavar="NET",
    help="Catalogue name, package.module:factory, timm/NAME, torchvision/NAME.",
)
@click.option("--recipe", default="quick", show_default=True, help="Named recipe or YAML file.")
@click.option("--out", type=FOLDER, default="runs", show_default=True, help="Where runs are made.")
@click.option("--name", help="Name of the run folder.")
@click.option(
    "--resume", type=FOLDER, metavar="RUN", help="Go on with a training that was stopped."
)
@click.option("--allow-change", multiple=True, metavar="FIELD", help="With --resume: may differ.")
@click.option("--show", is_flag=True, help="Print every setting of the recipe, and end.")
@click.option("--find-lr", is_flag=True, help="Try learning rates on the data, and end.")
@click.option("--folds", type=int, metavar="K", help="Train K times, holding out each part once.")
@click.option(
    "--sweep",
    multiple=True,
    metavar="KEY=A,B",
    help="Train with each of several values, and compare.",
)
@click.option("--seeds", type=int, metavar="N", help="With --sweep: trainings of each setting.")
@with_json
def train(words: Sequence[str], net: str | None, resume: Path | None, **given: Any) -> None:
    """Train a net on DATA: a folder, an archive, an .npz file, or digits, mnist, cifar10.

    Every setting works as key=value and as --key value; --show lists them.
    """
    from striate.training import check_whole, distributed, read_recipe, shown
    from striate.workbench import progress

    names, settings = read(words)
    if net and "net" in settings:
        raise UsageError(f"net is given twice: {net} and {settings['net']}")
    typed: dict[str, Any] = {k: settings.pop(k) for k in ("recipe", "name", "out") if k in settings}
    options = TrainOptions(**given | typed)
    if resume is not None:
        from striate.training.resume_check import FREE

        devices = settings.pop("devices", None)
        if names or settings or options.for_new_trainings:
            raise UsageError(
                "--resume goes on with the run's own data and recipe: name nothing else but devices; to change "
                f"{', '.join(FREE[:-1])} or {FREE[-1]}, write it into {resume / 'args.yaml'} and allow it with "
                "--allow-change FIELD"
            )
        run = _resume(resume, net, devices, options.allow_change)
        text = run.as_text() + opening(resume / REPORT)
        return emit(run.as_dict(), text, json=options.json)
    if options.allow_change:
        raise UsageError("--allow-change goes with --resume RUN: a new training takes any setting")
    settings = {**settings, **({"net": net} if net else {})}
    recipe = read_recipe(options.recipe, settings)
    if options.show:
        text = shown(options.recipe, recipe)
        return emit(recipe.model_dump(mode="json"), text, json=options.json)
    check_whole(options.recipe, recipe)
    if len(names) != 1:
        raise UsageError(f"striate train takes one DATA, got {' '.join(names) or 'none'}")
    options.check(launched=distributed.launched())
    with progress.display(began=progress.process_began()) as bars:
        result = _trained(names[0], recipe, settings, options, bars)
    document = result.as_dict()
    out = Path(options.out)
    folder = Path(document.get("run", document.get("folder", out)))
    left = out / "rates.svg" if options.find_lr else folder / REPORT
    return emit(document, result.as_text() + opening(left), json=options.json)


def _trained(
    data: str, recipe: "Recipe", settings: dict[str, str], options: "TrainOptions", bars: "Progress"
) -> "Result":
    """One training, or the several that an option asks for."""
    from striate.workbench import launch, unsupervised
    from striate.workbench.folds import train_folds
    from striate.workbench.train import find_rate, train_recipe

    out, name = Path(options.out), options.name
    if unsupervised.learns_alone(recipe):
        options.check_alone()
        return unsupervised.teach(data, recipe, out=out, name=name, progress=bars)
    if options.find_lr:
        return find_rate(data, recipe, out=out, progress=bars)
    if options.folds is not None:
        return train_folds(data, recipe, options.folds, out=out, name=name, progress=bars)
    if options.sweep:
        return _sweep(data, settings, options, bars)
    launched = launch.train(data, recipe, out=out, name=name)
    return launched or train_recipe(data, recipe, out=out, name=name, progress=bars).run


@dataclass(frozen=True)
class TrainOptions:
    """The options of `striate train` that are no settings of its recipe."""

    recipe: str
    out: str | Path
    name: str | None
    show: bool
    find_lr: bool
    folds: int | None
    json: bool
    allow_change: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    seeds: int | None = None

    @property
    def for_new_trainings(self) -> bool:
        """Whether there is one that `--resume` takes no notice of."""
        return bool(self.name or self.show or self.find_lr or self.folds or self.sweep)

    def check(self, *, launched: bool) -> None:
        """Refuse what a launcher's processes cannot share.

        Raises:
            UsageError: naming the options.
        """
        if launched and (self.find_lr or self.folds is not None or self.sweep):
            raise UsageError(
                "--find-lr, --folds and --sweep cannot be shared by processes: leave torchrun out"
            )
        if self.seeds is not None and not self.sweep:
            raise UsageError(
                "--seeds counts the trainings of each setting of --sweep KEY=A,B: name what differs"
            )
        if self.sweep and self.folds is not None:
            raise UsageError("--sweep and --folds are two ways to train several nets: name one")

    def check_alone(self) -> None:
        """Refuse what a net that learns without labels cannot do.

        Raises:
            UsageError: naming the options.
        """
        if self.find_lr or self.folds is not None or self.sweep:
            raise UsageError(
                "--find-lr, --folds and --sweep need a loss, which nets without labels have not"
            )


def _sweep(data: str, settings: dict[str, Any], options: TrainOptions, bars: "Progress") -> "Sweep":
    """A training of every setting and seed; a key that is given beside --sweep is refused."""
    from striate.training import check_whole, read_recipe
    from striate.workbench.sweep import read_axes, settings_of, train_sweep

    axes = read_axes(options.sweep)
    if twice := sorted(axes.keys() & settings.keys()):
        raise UsageError(
            f"{twice[0]} is given twice: by --sweep and as {twice[0]}={settings[twice[0]]}"
        )
    recipes: dict[str, Recipe] = {}
    for each in settings_of(axes):
        recipe = read_recipe(options.recipe, {**settings, **each})
        check_whole(options.recipe, recipe)
        recipes["\n".join(f"{key}={value}" for key, value in each.items())] = recipe
    return train_sweep(
        data,
        recipes,
        axes,
        1 if options.seeds is None else options.seeds,
        out=Path(options.out),
        name=options.name,
        progress=bars,
    )


def _resume(path: Path, net: str | None, devices: str | None, allow: tuple[str, ...]) -> "Result":
    from striate.training import read_recipe
    from striate.workbench import launch, progress
    from striate.workbench.folds import is_folds, resume_folds
    from striate.workbench.sweep import is_sweep
    from striate.workbench.train import finished, resume

    if is_sweep(path):
        raise UsageError(
            f"{path} is a sweep: give the command that began it once more, and it goes on"
        )
    count = read_recipe("quick", {"devices": devices}).devices
    with progress.display() as bars:
        if is_folds(path):
            return resume_folds(path, progress=bars)
        done = finished(path, bars)
        if done is not None:
            return done
        run = launch.resume(path, net=net, devices=count, allow=allow)
        if run is None:
            run = resume(path, own=_own(net), progress=bars, allow=allow).run
        return run


@app.command()
@click.argument("run", type=FOLDER)
@click.argument("data", required=False)
@click.option("--split", help="train, val or test.")
@click.option(
    "--broken", type=click.Choice(["stop", "skip"]), default="stop", help="Of other DATA."
)
@click.option(
    "--leaks", type=click.Choice(["stop", "keep"]), default="stop", help="Pictures in two splits."
)
@click.option("--max-pixels", type=click.IntRange(min=1), help="Of a picture of other DATA.")
@click.option(
    "--with", "others", type=FOLDER, multiple=True, metavar="RUN", help="Average with RUN."
)
@click.option("--views", help="Average over views of a picture: flips, 5 or 10 (crops and flips).")
@with_net
@with_json
def evaluate(
    run: Path,
    data: str | None,
    split: str | None,
    broken: str,
    leaks: str,
    max_pixels: int | None,
    net: str | None,
    json: bool,
    **averaged: Any,
) -> None:
    """Score RUN on its held-out items, or on other DATA, with intervals.

    --with and --views average the answers of several runs and views, and say what that gains.
    """
    averaged["others"] = [_other(path, net) for path in averaged["others"]]
    scores = _run(run, net).evaluate(
        data, split=split, broken=broken, leaks=leaks, max_pixels=max_pixels, **averaged
    )
    emit(scores.as_dict(), scores.as_text(), json=json)


@app.command()
@click.argument("run", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FOLDER, help="Folder for masks, overlays and all answers.")
@click.option("--format", default="json", show_default=True, help="json, csv; yolo, coco (boxes).")
@click.option("--top", type=click.IntRange(min=1), help="Labels a file; 5 if not given.")
@click.option(
    "--conf",
    type=float,
    help="Least confidence of a box or object, that of the run if not given; or of each of several labels.",
)
@click.option("--iou", type=float, help="Overlap from which the lesser of two boxes goes; 0.5.")
@click.option("--max-boxes", type=click.IntRange(min=1), help="Boxes a picture; 100.")
@click.option("--max-pixels", type=click.IntRange(min=1), help="Of a picture; 50,000,000.")
@with_net
@with_json
def predict(run: Path, files: Sequence[Path], net: str | None, json: bool, **given: Any) -> None:
    """Answer FILES, or the files in folders, with a trained RUN: labels, boxes or masks."""
    from striate.workbench import progress

    out, form, most = given.pop("out"), given.pop("format"), given.pop("max_pixels")
    failed = answered = 0
    with progress.display() as bars:
        found = _run(run, net).predicted(
            files,
            out=out,
            format=form,
            options=given,
            max_pixels=most,
            progress=lambda done, total: bars.bar("predicting", done, total),
        )
        for answer in found:
            answered += 1
            failed += answer.error is not None
            emit(answer.as_dict(), one_line(plain(answer.as_text())), json=json)
    if not answered:
        raise DataError(f"there is no file in {', '.join(map(str, files))}")
    if failed:
        raise DataError(f"{failed} of the files could not be read; each says why in its line")


@app.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--split", help="train, val or test; what the training held out if not given.")
@click.option("--pool", is_flag=True, help="Runs that differ by the seed alone are one setting.")
@click.option(
    "--html", type=Drawn(".html"), metavar="FILE.html", help="Also as a page, with curves."
)
@with_json
def compare(
    runs: Sequence[Path], split: str | None, pool: bool, html: Path | None, json: bool
) -> None:
    """Compare RUNS on the same items: differences from the first, with intervals."""
    from striate.workbench.compare import compare as compared
    from striate.workbench.compare import compare_pooled

    found = (compare_pooled if pool else compared)(runs, split=split)
    text = found.as_text()
    if html is not None:
        from striate.workbench.report.compared import page

        save(html, page(found), "--html")
        text += opening(html)
    emit(found.as_dict(), text, json=json)


@app.command()
@click.argument("run", type=FOLDER)
@click.argument("data", required=False)
@click.option("--only", multiple=True, metavar="CHECK", help="No others.")
@click.option("--skip", multiple=True, metavar="CHECK", help="Not these.")
@click.option("--fail-on", multiple=True, metavar="CHECK", help="Fail on these too.")
@click.option(
    "--budget", default="3m", show_default=True, help="About so long, such as 90s or 10min."
)
@click.option("--full", is_flag=True, help="However long it takes, on all items.")
@click.option("--split", help="train, val or test.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every draw.")
@with_net
@click.option("--html", type=Drawn(".html"), metavar="FILE.html", help="Also as a page.")
@click.option(
    "--fixes",
    type=Drawn(".csv"),
    metavar="FILE.csv",
    help="Suspected labels as rows to look at, for train fixes=.",
)
@with_json
def audit(  # noqa: PLR0913 - one a setting
    run: Path,
    data: str | None,
    *,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    fail_on: tuple[str, ...],
    budget: str,
    full: bool,
    split: str | None,
    seed: int,
    net: str | None,
    html: Path | None,
    fixes: Path | None,
    json: bool,
) -> int:
    """Find where RUN fails on its held-out items, or on other DATA, before its users do."""
    from striate.training.recipe import read_duration
    from striate.workbench import audit as audited

    if fixes is not None and ("labels" in skip or (only and "labels" not in only)):
        raise UsageError(f"--fixes {fixes} takes what the check labels finds: ask for it too")
    found = audited(
        _run(run, net),
        data,
        split=split,
        only=only,
        skip=skip,
        fail_on=fail_on,
        budget=None if full else read_duration(budget),
        seed=seed,
        say=lambda words: click.echo(one_line(plain(words)), err=True),
    )
    text = found.as_text()
    if html is not None:
        from striate.workbench.report.audit import page

        save(html, page(found), "--html")
        text += opening(html)
    if fixes is not None:
        from striate.auditing import write_fixes

        count = write_fixes(fixes, found)
        text += f"\n{count} suspected labels in {fixes}: look at each, delete what is right, then striate train DATA fixes={fixes}"
    emit(found.as_dict(), text, json=json)
    return 1 if found.failed else 0


@app.command()
@click.argument("pattern", required=False)
@click.option("--for", "target", metavar="DATA", help="A short list for these pictures, and why.")
@click.option(
    "--budget", help="With --for: time of the whole training, such as 30min; 10m if not given."
)
@with_json
def nets(pattern: str | None, target: str | None, budget: str | None, json: bool) -> None:
    """List the catalogue, or what matches PATTERN, or what suits --for DATA."""
    from striate.models import catalog

    if target is not None:
        return _short_list(target, pattern, budget or "10m", json=json)
    if budget is not None:
        raise UsageError("--budget goes with --for DATA: name what is to be trained on")
    table = catalog.nets(pattern)
    return emit(table.as_list(), table.as_text(width=columns()), json=json)


def _short_list(target: str, pattern: str | None, budget: str, *, json: bool) -> None:
    from striate import data as data_room
    from striate.training.recipe import read_duration
    from striate.workbench import progress
    from striate.workbench.short_list import short_list

    if pattern is not None:
        raise UsageError(f"--for {target} lists what suits it: leave {pattern} out")
    seconds = read_duration(budget)
    if not seconds > 0:
        raise UsageError(f"--budget {budget}: expected a time above 0, such as 20m")
    opened = data_room.open(target, broken="skip")
    with progress.display() as bars:
        found = short_list(
            opened, seconds, say=lambda done, total: bars.bar("measuring nets", done, total)
        )
    emit(found.as_dict(), found.as_text(), json=json)


@app.command()
@click.argument("data")
@with_opening
@click.option("--shards", type=FOLDER, metavar="OUT", help="Pack it into tar shards with an index.")
@click.option("--shard-size", default="256M", show_default=True, help="Bytes of a shard.")
@click.option("--audit", "audited", is_flag=True, help="Ask the checks that need no network.")
@click.option(
    "--html",
    type=Drawn(".html"),
    metavar="FILE.html",
    help="Also as a page: samples, duplicates, ...",
)
@with_json
def data(
    data: str,
    how: dict[str, Any],
    shards: Path | None,
    shard_size: str,
    audited: bool,
    html: Path | None,
    json: bool,
) -> int | None:
    """Say what is in DATA and what is wrong with it, or pack it for large trainings.

    What --shards writes is DATA again, for every command: it keeps the splits that DATA has, and --val
    makes them.
    """
    from striate import data as data_room
    from striate.workbench import progress

    if shards is not None:
        if html is not None:
            raise UsageError("--shards writes shards and --html a page: ask for one of them")
        size = data_room.read_size(shard_size)
        opened = data_room.open(data, **{**how, "val": how.get("val", 0)})
        with progress.display() as bars:
            packed = data_room.pack(opened, shards, size=size, progress=bars.bar)
        return emit(packed.as_dict(), packed.as_text(), json=json)
    opened = data_room.open(data, broken="skip", **how)
    opened.check_any()
    if audited:
        from striate.workbench import audit

        found = audit(None, opened, say=lambda words: click.echo(one_line(plain(words)), err=True))
        emit(found.as_dict(), found.as_text(), json=json)
        return 1 if found.failed else 0
    text = opened.as_text()
    if html is not None:
        from striate.workbench.data_page import page

        save(html, page(opened), "--html")
        text += opening(html)
    return emit(opened.as_dict(), text, json=json)


@app.command()
@with_json
def doctor(json: bool) -> None:
    """Say what this machine has and what is missing."""
    from striate.workbench.environment import examine

    found = examine()
    emit(found.as_dict(), found.as_text(), json=json)


def _own(net: str | None) -> Any:
    from striate.workbench.nets import own

    return own(net) if net else None


def _run(path: Path, net: str | None) -> "Run":
    from striate.runs import Run

    return Run.load(path, net=_own(net))


def _other(path: Path, net: str | None) -> "Run":
    """A run beside another, with the net of the user's own if it trained one."""
    from striate.runs import Run

    return _run(path, net if Run(path).config.net.own else None)


app.add_command(demo)
app.add_command(learn)
app.add_command(measure)
app.add_command(see)
app.add_command(studio)
