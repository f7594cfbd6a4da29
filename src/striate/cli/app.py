"""The verbs. Each reads its words, calls the room that does the work, and prints the result."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.measuring import measure
from striate.cli.output import FOLDER, emit, with_json, with_net, with_opening
from striate.cli.see import see
from striate.cli.settings import one_line, read
from striate.errors import DataError, UsageError

if TYPE_CHECKING:
    from striate.report import Result
    from striate.runs import Run
    from striate.training import Progress, Recipe

COMPLETION = "_STRIATE_COMPLETE"  # set by a shell that wants words to offer


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="striate")
def app() -> None:
    """A workbench for convolutional networks: train, measure and see inside.

    --debug shows where an error came from.
    """


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


@app.command()
@with_json
def demo(json: bool) -> None:
    """Train LeNet-5 on real handwritten digits, report, and read five of them."""
    from striate.training import read_recipe
    from striate.workbench import digits, progress
    from striate.workbench.train import train_with

    with progress.shown() as shown:
        fitted = train_with("digits", read_recipe("quick", {"net": "lenet5"}), progress=shown)
    scores = fitted.held.scores
    accuracy = scores.scores["accuracy"]
    text = (
        f"\n{fitted.run.as_text()}\n\n"
        f"{accuracy.value:.1%} of {scores.items} held-out digits are right "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%});\n"
        "the kept epoch was chosen by these same items, which flatters the figure a little\n"
        f"open {(fitted.run.path / 'report.html').absolute().as_uri()}\n\n{digits.five(fitted.held)}"
    )
    emit(fitted.run.as_dict(), text, json=json)


@app.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="DATA [KEY=VALUE ...]")
@click.option("--net", metavar="NET", help="Catalogue name or package.module:factory.")
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
@with_json
def train(words: Sequence[str], net: str | None, resume: Path | None, **given: Any) -> None:
    """Train a net on DATA: a folder, an archive, an .npz file, or digits, mnist, cifar10.

    Every setting works as key=value and as --key value; --show lists them.
    """
    from striate.training import check_whole, read_recipe, shown
    from striate.workbench import progress
    from striate.workbench.train import resumed

    names, settings = read(words)
    if net and "net" in settings:
        raise UsageError(f"net is given twice: {net} and {settings['net']}")
    said: dict[str, Any] = {k: settings.pop(k) for k in ("recipe", "name", "out") if k in settings}
    asked = Asked(**given | said)
    if resume is not None:
        devices = settings.pop("devices", None)
        if names or settings or asked.name or asked.show or asked.find_lr or asked.folds:
            raise UsageError(
                "--resume goes on with the run's own data and recipe: name nothing else but devices"
            )
        count = read_recipe("quick", {"devices": devices}).devices
        with progress.shown() as told:
            if (resume / "folds.json").exists():
                from striate.workbench.folds import resume_folds

                found = resume_folds(resume, progress=told)
                return emit(found.as_dict(), found.as_text(), json=asked.json)
            run = resumed(resume, net=net, devices=count, progress=told, allow=asked.allow_change)
        return emit(run.as_dict(), run.as_text(), json=asked.json)
    if asked.allow_change:
        raise UsageError("--allow-change goes with --resume RUN: a new training takes any setting")
    chosen = read_recipe(asked.recipe, {**settings, **({"net": net} if net else {})})
    if asked.show:
        return emit(chosen.model_dump(mode="json"), shown(asked.recipe, chosen), json=asked.json)
    check_whole(asked.recipe, chosen)
    if len(names) != 1:
        raise UsageError(f"striate train takes one DATA, got {' '.join(names) or 'none'}")
    with progress.shown() as told:
        done = _trained(names[0], chosen, asked, told)
    return emit(done.as_dict(), done.as_text(), json=asked.json)


@dataclass(frozen=True)
class Asked:
    """The options of `striate train` that are no settings of its recipe."""

    recipe: str
    out: str | Path
    name: str | None
    show: bool
    find_lr: bool
    folds: int | None
    json: bool
    allow_change: tuple[str, ...] = ()


def _trained(data: str, recipe: "Recipe", asked: Asked, told: "Progress") -> "Result":
    """What `striate train` gives: a run, the scores of several, or rates that were tried."""
    from striate.training import ranks
    from striate.workbench.folds import train_folds
    from striate.workbench.rates import find_rate
    from striate.workbench.train import trained

    out = Path(asked.out)
    if (asked.find_lr or asked.folds is not None) and ranks.launched():
        raise UsageError("--find-lr and --folds cannot be shared by processes: leave torchrun out")
    if asked.find_lr:
        return find_rate(data, recipe, out=out, progress=told)
    if asked.folds is not None:
        return train_folds(data, recipe, asked.folds, out=out, name=asked.name, progress=told)
    return trained(data, recipe, out=out, name=asked.name, progress=told)


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
) -> None:
    """Score RUN on its held-out items, or on other DATA, with intervals."""
    scores = _run(run, net).evaluate(
        data, split=split, broken=broken, leaks=leaks, max_pixels=max_pixels
    )
    emit(scores.as_dict(), scores.as_text(), json=json)


@app.command()
@click.argument("run", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FOLDER, help="Folder for masks, overlays and all answers.")
@click.option("--format", default="json", show_default=True, help="json, csv; yolo, coco (boxes).")
@click.option("--top", type=click.IntRange(min=1), help="Labels a file; 5 if not given.")
@click.option("--conf", type=float, help="Least confidence of a box; 0.25 if not given.")
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
    with progress.shown() as shown:
        found = _run(run, net).predicted(
            files,
            out=out,
            format=form,
            options=given,
            max_pixels=most,
            progress=lambda done, total: shown.bar("predicting", done, total),
        )
        for answer in found:
            answered += 1
            failed += answer.error is not None
            emit(answer.as_dict(), one_line(answer.as_text()), json=json)
    if not answered:
        raise DataError(f"there is no file in {', '.join(map(str, files))}")
    if failed:
        raise DataError(f"{failed} of the files could not be read; each says why in its line")


@app.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--split", help="train, val or test; what the training held out if not given.")
@with_json
def compare(runs: Sequence[Path], split: str | None, json: bool) -> None:
    """Compare RUNS on the same items: differences from the first, with intervals."""
    from striate.workbench.compare import compare as compared

    found = compared(runs, split=split)
    emit(found.as_dict(), found.as_text(), json=json)


@app.command()
@click.argument("pattern", required=False)
@with_json
def nets(pattern: str | None, json: bool) -> None:
    """List the catalogue, or what matches PATTERN."""
    from striate.models import catalog

    table = catalog.nets(pattern)
    emit(table.as_list(), table.as_text(), json=json)


@app.command()
@click.argument("data")
@with_opening
@click.option("--shards", type=FOLDER, metavar="OUT", help="Pack it into tar shards with an index.")
@click.option("--shard-size", default="256M", show_default=True, help="Bytes of a shard.")
@with_json
def data(
    data: str,
    how: dict[str, Any],
    shards: Path | None,
    shard_size: str,
    json: bool,
) -> None:
    """Say what is in DATA and what is wrong with it, or pack it for large trainings.

    What --shards writes is DATA again, for every command: it keeps the splits that DATA has, and --val
    makes them.
    """
    from striate import data as data_room
    from striate.workbench import progress

    if shards is not None:
        size = data_room.read_size(shard_size)
        opened = data_room.open(data, **{**how, "val": how.get("val", 0)})
        with progress.shown() as told:
            packed = data_room.pack(opened, shards, size=size, progress=told.bar)
        return emit(packed.as_dict(), packed.as_text(), json=json)
    opened = data_room.open(data, broken="skip", **how)
    opened.check_any()
    return emit(opened.as_dict(), opened.as_text(), json=json)


@app.command()
@with_json
def doctor(json: bool) -> None:
    """Say what this machine has and what is missing."""
    from striate.workbench.doctor import examine

    found = examine()
    emit(found.as_dict(), found.as_text(), json=json)


def _own(net: str | None) -> Any:
    from striate.workbench.nets import own

    return own(net) if net else None


def _run(path: Path, net: str | None) -> "Run":
    from striate.runs import Run

    return Run.load(path, net=_own(net))


app.add_command(measure)
app.add_command(see)
