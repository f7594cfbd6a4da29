"""A run: one training's folder, opened again to evaluate and to predict."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from striate import data as data_room
from striate import plan as plan_room
from striate.data import Arrays, Data
from striate.data.targets import in_words
from striate.errors import (
    LISTED,
    ArgumentError,
    CheckpointError,
    DataError,
    GateError,
    MissingExtraError,
    UsageError,
)
from striate.metrics import Interval, Scores
from striate.metrics.scores import cells, shown
from striate.plan import Plan
from striate.plan.tiles import Tiling
from striate.result import Result, text_table
from striate.runs.answering import Answered, Net, answered
from striate.runs.averaging import check_fits, counted, file_mark, held_together
from striate.runs.config import Config, check_tensors, checked, structure
from striate.runs.folder import SEAL, read_bytes, read_json, unsealed, write_json
from striate.runs.predictions import AnswerFiles, Folder, Prediction, predicted
from striate.runs.split_answers import Held, natural_sizes, read_table, write_items
from striate.runs.training_items import as_trained, other_split, seen, split_as_then
from striate.tasks import Task, named
from striate.text import duration, plain

HEADER = 2**25  # bytes that a file of weights may have beside them


@dataclass(frozen=True, kw_only=True)
class Part:
    """What summary.json says of a test split."""

    items: int
    scores: Mapping[str, Mapping[str, float | None]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Summary(Part):
    """What summary.json says."""

    run: str
    task: str
    net: str
    epochs: int
    kept: int
    seconds: float
    split: str
    test: Part | None = None


class Run(Result):
    """A run folder. Nothing is read until it is needed."""

    def __init__(self, path: str | Path, net: nn.Module | None = None) -> None:
        """Name a run folder.

        Args:
            path: the folder.
            net: the user's own net, for a run that did not train a net of the catalogue.

        Raises:
            ArgumentError: `net` is no net.
        """
        if net is not None and not isinstance(net, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(f"net= takes a torch.nn.Module such as MyNet(), got {net!r}")
        self.path = Path(path)
        self._given = net

    @classmethod
    def load(cls, path: str | Path, *, net: nn.Module | None = None) -> "Run":
        """Open a run folder, with its weights.

        Raises:
            CheckpointError: it is no run folder, is damaged or of a newer version.
        """
        run = cls(path, net)
        _ = run.net
        return run

    @cached_property
    def config(self) -> Config:
        """Content of config.json."""
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path} is no run folder; `striate train` makes one")
        return Config.read(self.path)

    @cached_property
    def task(self) -> Task:
        """What the net was trained to do.

        Raises:
            CheckpointError: config.json names no task, or describes it wrongly.
        """
        try:
            return named(self.config.task).restored(self.config.classes, self.config.task_settings)
        except (ArgumentError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path}/config.json describes no task: {error}") from error

    @cached_property
    def plan(self) -> Plan:
        """How the net runs: as trained where the device is there, else the default."""
        try:
            given = Plan.from_dict(self.config.plan)
            checked(Plan, given.as_dict())
            named_device = given.device
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}/config.json has a damaged plan ({error})"
            ) from error
        try:
            plan_room.device(named_device)
        except UsageError:
            return Plan(plan_room.device())
        return given

    @cached_property
    def net(self) -> nn.Module:
        """The trained net, on the plan's device, in evaluation mode."""
        spec = self.config.net
        if spec.own and self._given is None:
            raise UsageError(
                f"{self.path} trained a net of your own ({spec.name}): name it again, "
                "--net package.module:factory, or Run.load(path, net=MyNet())"
            )
        net = self._built() if self._given is None else spec.own_net(self._given)
        if structure(net) != spec.structure:
            raise CheckpointError(
                f"{self.path}: the net differs from the one that was trained ({spec.name}): "
                "other names, shapes or dtypes of weights; give the same factory"
            )
        path = self.path / "model.safetensors"
        wanted = net.state_dict()
        tensors = _weights(path, self.config.weights, most=_bytes(wanted) + HEADER)
        check_tensors(tensors, wanted, path)
        net.load_state_dict(tensors)
        return self.plan.place(net).eval()

    def _built(self) -> nn.Module:
        """The net that config.json describes: a row of the catalogue, whatever else it may name."""
        try:
            return self.config.net.build()
        except MissingExtraError:
            raise
        except (UsageError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.path}/config.json describes no net of the catalogue: {reason}"
            ) from error

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Content of summary.json: how the training ended."""
        _ = self.config  # that it is a run is seen there: others have a summary.json of their own
        path = self.path / "summary.json"
        content = read_json(path)
        content = unsealed(content, path, needed=bool({SEAL, "format"} & set(content)))
        try:
            checked(Summary, content)
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        rest = {key: value for key, value in content.items() if key != "format"}
        return {**rest, "run": str(self.path)}  # where it is now

    def history(self) -> list[dict[str, float]]:
        """Rows of results.csv, one an epoch."""
        return read_table(self.path / "results.csv")

    def evaluate(
        self,
        data: str | Path | Data | None = None,
        *,
        split: str | None = None,
        broken: str | float = "stop",
        leaks: str = "stop",
        max_pixels: int | None = None,
        others: "Sequence[Run | str | Path]" = (),
        views: str | int | None = None,
    ) -> Scores:
        """Scores with intervals; per-item answers are saved in the run's folder `evaluations`.

        With `others` or `views` answers are averaged, and the scores, of `striate.metrics.AveragedScores`, say what that
        gains over one view by each run alone.

        Args:
            data: what to evaluate on; the training's own held-out items if not given.
            split: which part of it; test, else val, else everything, if not given.
            broken: what unreadable pictures of other data do: "stop" past 1 % and five, "skip", a share.
            leaks: what pictures that are in another split too do: "stop", or "keep" them.
            max_pixels: larger pictures of other data are refused; as in the training if not given.
            others: runs whose answers are averaged with this one's: of probabilities, maps of them, or values.
            views: of each picture whose answers are averaged: flips (itself and mirrored), 5 (the middle and the corners)
                or 10 (those and mirrored, as Krizhevsky et al. 2012 did); one if not given.

        Raises:
            UsageError: other runs that answer something else, a task whose answers have no mean, or no such views.
            GateError: pictures of the split are in another one too, so that the scores are no measure.
            DataError: the classes are other ones, or the data changed since the split was made.
        """
        if leaks not in ("stop", "keep"):
            raise ArgumentError(f"leaks={leaks}: expected stop or keep")
        if views is not None:  # refused before anything is opened
            self.config.preprocessing.fixed_views(str(views))
        opened = self.opened(data, broken=broken, max_pixels=max_pixels)
        split = split or opened.judged
        if leaks == "stop" and split != "train":
            _refuse_leaks(opened)
        learned = self._learned(opened, split)
        if learned and leaks == "stop":
            mend = other_split(self.config.data, opened) or (
                "so what is scored was learned from: take them out, or score them all the same with --leaks keep"
            )
            raise GateError(f"{opened.path}: {counted(learned, opened, split)}, {mend}")
        runs = [self, *(each if isinstance(each, Run) else Run(each) for each in others)]
        notes = [check_fits(self, other, opened, split, leaks=leaks) for other in runs[1:]]
        if len(runs) > 1 or views is not None:
            held = held_together(runs, opened, split, "" if views is None else str(views))
        else:
            held = self.held(opened, split)
        notes += opened.since
        if learned:
            notes.append(f"{counted(learned, opened, split)}, which flatters these scores")
        if any(notes):
            scores = replace(held.scores, notes=(*held.scores.notes, *filter(None, notes)))
            held = replace(held, scores=scores)
        return self._with_evaluation(held, opened, split)

    def _learned(self, opened: Data, split: str) -> list[int]:
        """Items of a split that the net learned from, found by content; none of the training split itself.

        A run of a version that did not keep what it learned from tells by its own data alone.
        """
        trained = self.config.data.get("trained")
        own = as_trained(self.config.data, opened)
        if not isinstance(trained, str) or own or split not in opened.splits:
            return []
        return seen(self.path, trained, opened.splits[split])

    def _with_evaluation(self, held: Held, opened: Data, split: str) -> Scores:
        """Scores, kept in the run's folder where that can be written; where it cannot, they say so."""
        out = self.path / "evaluations"
        own = as_trained(self.config.data, opened)
        mark = "" if own else f"-{opened.fingerprint[:8]}"  # other data may have the same name
        stem = f"{Path(opened.path).name}{mark}-{split}{file_mark(held.scores)}"
        try:
            out.mkdir(exist_ok=True)
            digest = write_items(out / f"{stem}.csv", held)
            # The run is named whatever folder it is read from.
            more = {"run": str(self.path.absolute()), "items_sha256": digest}
            write_json(out / f"{stem}.json", {**held.scores.as_dict(), **more})
        except (OSError, CheckpointError) as error:
            note = f"these scores are not kept: {error}"
            return replace(held.scores, notes=(*held.scores.notes, note))
        return held.scores

    @property
    def used(self) -> Net:
        """The net with what comes before and after it."""
        return Net(self.net, self.task, self.config.preprocessing, self.plan, self.tiling)

    @cached_property
    def tiling(self) -> Tiling:
        """How large pictures are divided for the net.

        Raises:
            CheckpointError: config.json describes it wrongly.
        """
        try:
            return Tiling.from_dict(self.config.tiling)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}/config.json has a damaged tiling ({error!r})"
            ) from error

    def held(self, data: Data, split: str) -> Held:
        """Answers to one split of opened data.

        Raises:
            UsageError: there is no such split, or the data are for another task.
            DataError: they have classes that the run does not know.
        """
        data = self.prepared(data, split)
        arrays = data.arrays(split, form=self.config.preprocessing.form)
        part = data.splits[split]
        found = answered(self.used, arrays, part.targets, natural_sizes(part))
        return self.scored(data, split, arrays, found)

    def prepared(self, data: Data, split: str) -> Data:
        """Opened data as this run reads them.

        Raises:
            UsageError: there is no such split.
            DataError: they are for another task, no such inputs, or have classes that the run does not know.
        """
        if split not in data.splits:
            raise UsageError(f"split={split}: {data.path} has {', '.join(data.splits)}")
        if data.kind not in self.task.kinds:
            raise DataError(
                f"{data.path} holds items with {in_words(data.kind)}, {self.path} was trained to {self.task.name}, "
                f"on items with {' or '.join(map(in_words, self.task.kinds))}"
            )
        if data.modality != self.config.preprocessing.modality:
            raise DataError(
                f"{data.path} holds {data.noun}, {self.path} was trained on {self.config.preprocessing.noun()}"
            )
        data = data.with_classes(self.config.classes)
        try:
            return self.config.preprocessing.matched(data)
        except DataError as error:
            raise DataError(f"{data.path}: {error}") from None

    def scored(self, data: Data, split: str, arrays: Arrays, found: Answered) -> Held:
        """The scores of answers to one split."""
        part = data.splits[split]
        groups = None if part.part.groups is None else part.part.groups[arrays.numbers]
        each = found.meter.scores(groups)
        scores = Scores(
            str(self.path),
            data.path,
            split,
            len(arrays),
            each,
            found.meter.per_class(groups),
            found.meter.confusion(),
            self.task.columns,
            found.meter.notes(groups),
            self.task.verdict(each),
        )
        return Held(self.used, data, part, arrays, found, scores)

    def predict(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        out: str | Path | None = None,
        format: str = "json",
        top: int | None = None,
        conf: float | None = None,
        iou: float | None = None,
        max_boxes: int | None = None,
        max_pixels: int | None = None,
    ) -> list[Prediction]:
        """Answers to files; a folder stands for the files in it.

        Args:
            paths: of the files.
            out: a folder for what people use beside the answers; files that it has answers to are not answered again.
                Without it masks and pictures, which are files, go to `predictions` in the run's folder.
            format: in which `out` gets all answers at the end: json, csv, or one that the task has.
            top: labels that are listed, 5 if not given; of a task with labels.
            conf: least confidence of a box, that of the run if not given, of a task with boxes or single objects; of several
                labels an item the probability from which each is said, its threshold if not given.
            iou: overlap from which the lesser of two boxes of a class goes, 0.5 if not given.
            max_boxes: of a picture, 100 if not given.
            max_pixels: larger pictures are refused; as in the training if not given, usually 50,000,000.

        Raises:
            UsageError: an option or a format that the task does not have.
        """
        options = {"top": top, "conf": conf, "iou": iou, "max_boxes": max_boxes}
        found = self.predicted(
            paths, out=out, format=format, options=options, max_pixels=max_pixels
        )
        return list(found)

    def predicted(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        out: str | Path | None = None,
        format: str = "json",
        options: Mapping[str, Any] | None = None,
        max_pixels: int | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Iterator[Prediction]:
        """`predict` one after the other, in the order given, a few files at a time in memory."""
        given = {key: value for key, value in (options or {}).items() if value is not None}
        task = self.task.tuned(given)
        if format not in task.formats:
            raise UsageError(f"--format {format}: {task.name} has {', '.join(task.formats)}")
        if format != "json" and out is None:
            raise UsageError(f"--format {format} is written to a folder: name it with --out")
        given_paths = [paths] if isinstance(paths, str | Path) else paths
        files = list(_files(given_paths, self.used.preprocessing.holds))
        settings = {"weights": self.config.weights, **given}
        folder = None
        if out is not None:
            folder = Folder(Path(out), files, settings)
        elif task.as_files:
            folder = AnswerFiles(self.path / "predictions", files)
        used = replace(self.used, task=task)
        most = self._max_pixels if max_pixels is None else max_pixels
        yield from predicted(used, files, folder=folder, max_pixels=most, progress=progress)
        if isinstance(folder, Folder) and format != "json":
            folder.export(task, format)

    def open_data(self, path: str | Path | None = None) -> Data:
        """The data this run was trained on, split as then.

        Args:
            path: where they are now, if not where they were.

        Raises:
            DataError: they changed since, or are split otherwise by this version, so that what was held out is not known.
        """
        trained = self.config.data
        opened = data_room.again(trained["origin"], path)
        if opened.fingerprint != trained["fingerprint"]:
            raise DataError(
                f"{opened.path} changed since this run was trained{self._difference(opened)}, so its held-out items are not "
                "known any more: train anew, or evaluate on other pictures"
            )
        return split_as_then(trained, opened)

    def _difference(self, opened: Data) -> str:
        """What of other data can be told apart: their classes, and the counts of their splits."""
        was: dict[str, object] = dict(self.config.data["splits"])
        now: dict[str, object] = {name: len(split) for name, split in opened.splits.items()}
        was["classes"], now["classes"] = (
            ",".join(c[:LISTED]) for c in (self.config.classes, opened.classes)
        )
        words = [
            f"{key} {was.get(key, 0)}, now {now.get(key, 0)}"
            for key in {**was, **now}
            if was.get(key) != now.get(key)
        ]
        return f" ({'; '.join(words) or 'as many items of the same classes, with other content'})"

    @property
    def _max_pixels(self) -> int:
        """The most pixels of a picture, as in the training."""
        return int(self.config.data["origin"].get("max_pixels", data_room.MAX_PIXELS))

    def opened(
        self,
        data: str | Path | Data | None = None,
        *,
        broken: str | float = "stop",
        max_pixels: int | None = None,
    ) -> Data:
        """Data to judge the run on: its own, split as then, or others understood as those were.

        Args:
            data: where they are; the run's own if not given.
            broken: what unreadable items of other data do: "stop" past 1 % and five, "skip", a share.
            max_pixels: larger pictures of other data are refused; as in the training if not given.

        Raises:
            DataError: they cannot be opened, or the run's own changed since.
        """
        if isinstance(data, Data):
            return data
        if data is None:
            return self.open_data()
        opened = self._other(data, broken, self._max_pixels if max_pixels is None else max_pixels)
        if opened.fingerprint == self.config.data["fingerprint"]:
            return self.open_data(data)
        if self.config.data["origin"].get("fixes"):  # the run's own data as they lie there differ
            with suppress(DataError):
                return self.open_data(data)
        return opened

    def _other(self, data: str | Path, broken: str | float, max_pixels: int) -> Data:
        """Other data, understood as those of the training were, or by themselves where that fails."""
        trained = self.config.data["origin"]
        asked = (trained.get("layout"), trained.get("task"))
        ways: list[tuple[str | None, str | None]] = [asked, (None, None), (None, self.config.task)]
        first: DataError | ArgumentError | None = None
        mismatched: Data | None = None
        for layout, task in dict.fromkeys(ways):
            try:
                opened = data_room.open(
                    data,
                    val=0,
                    broken=broken,
                    max_pixels=max_pixels,
                    **self.config.preprocessing.opening,
                    layout=layout,
                    task=task,
                )
            except (DataError, ArgumentError) as error:
                first = first or error
                continue
            if opened.kind in self.task.kinds:
                return opened
            mismatched = mismatched or opened  # `held` says what is wrong with it
        if mismatched is None:
            raise first or DataError(f"{data} cannot be opened")
        return mismatched

    def __repr__(self) -> str:
        """The folder, and of a finished training its net and first score, on one line."""
        try:
            done = self.summary
            leading = (done.get("test") or done)["scores"]
            name, score = next(iter(leading.items()))
            said = f", {done['net']}, {name} {plain(shown(name, Interval.of(score).value))}"
        except (CheckpointError, StopIteration):
            said = ""
        return f"Run({str(self.path)!r}{said})"

    def _repr_html_(self) -> str:
        from striate.runs.run_html import page

        return page(self)

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `train`."""
        return self.summary

    def as_text(self) -> str:
        """What was trained, and how well it does: on what chose the epoch, and on a test split if there is one."""
        done = self.summary
        parts = [(done["split"], done), *([("test", done["test"])] if "test" in done else [])]
        kept = f"epoch {done['kept']}" if done["kept"] else "linear probe"
        head = (
            f"{done['net']}, {done['epochs']} epoch{'s' * (done['epochs'] != 1)} in {duration(done['seconds'])}, "
            f"{kept} kept: {self.path}"
        )
        tables = [_table(split, part) for split, part in parts]
        leading = parts[-1][1]["scores"]
        said = self.task.verdict({name: Interval.of(one) for name, one in leading.items()})
        first = [f"{done['net']} {said}"] if said else []
        return "\n".join([*first, head, *tables])


def _table(split: str, part: dict[str, Any]) -> str:
    """The scores of a split, with what they are of."""
    scores = {name: Interval.of(interval) for name, interval in part["scores"].items()}
    rows = [[name, *cells(name, interval)] for name, interval in scores.items()]
    table = text_table([f"{split}, {part['items']:,} items", "value", "low", "high"], rows)
    return "\n".join([table, *part.get("notes", ())])


def _weights(path: Path, sha256: str, *, most: int) -> dict[str, torch.Tensor]:
    """Read model.safetensors, checked against the hash in config.json and the size of the net."""
    if not path.exists():
        raise CheckpointError(
            f"{path} is missing: the training did not end; go on with striate train --resume {path.parent}"
        )
    content = read_bytes(path, most=most)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in config.json")
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _bytes(tensors: Mapping[str, Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors.values() if isinstance(t, Tensor))


def _refuse_leaks(data: Data) -> None:
    if data.leaks:
        pairs = "; ".join(f"{a} = {b}" for a, b in data.leaks[:5])
        raise GateError(
            f"{data.path}: {len(data.leaks):,} pictures are in more than one split ({pairs}), so what is scored "
            "was learned from: take them out and train anew, or score them all the same with --leaks keep"
        )


def _files(paths: Iterable[str | Path], holds: Callable[[Path], bool]) -> Iterator[Path]:
    """Files as given and those in folders, and folders that are one input each."""
    for path in map(Path, paths):
        if path.is_dir() and not holds(path):
            taken: Path | None = None
            for below in sorted(p for p in path.rglob("*") if p.name[0] != "."):
                if taken is not None and below.is_relative_to(taken):
                    continue
                if below.is_file():
                    yield below
                elif below.is_dir() and holds(below):
                    taken = below
                    yield below
        else:
            yield path
