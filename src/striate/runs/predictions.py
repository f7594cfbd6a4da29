"""Answers to files that are no part of any data: decoded ahead in threads, answered in batches, written as they come.

OUT/predictions.jsonl      a line a file, in the JSON shape of `predict` with the SHA-256 of the file; what it has is not
                           answered again, unless the file is another one now, which is refused
OUT/predictions.json       the weights and settings that all of it was made with
OUT/...                    what people use beside it: masks, overlays, and the same in another format if asked for

Without OUT nothing is written, unless the answers themselves are files, as masks are: those go to RUN/predictions.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import data as data_room
from striate.data import workers
from striate.data.pillow import without_warnings
from striate.errors import CheckpointError, DataError, ShapeError, UsageError
from striate.files import stems
from striate.inputs import Read
from striate.result import Result
from striate.runs.answering import Net
from striate.runs.folder import read_json, write_json
from striate.tasks import Task
from striate.text import listed

LINES, SETTINGS = "predictions.jsonl", "predictions.json"
CONTENT = "sha256"  # the key in a line of what the file held
AT_ONCE = 64  # files whose inputs are answered together at most


@dataclass(frozen=True)
class Prediction(Result):
    """The answer to one file, or why there is none.

    Attributes:
        file: its path.
        answer: in the JSON shape of `predict`; `note` in it says how it came about, where that is no usual way.
        error: why there is none.
        words: the answer on one line.
    """

    file: str
    answer: Mapping[str, Any] | None = None
    error: str | None = None
    words: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `predict`."""
        return {
            "file": self.file,
            **(self.answer if self.answer is not None else {"error": self.error}),
        }

    def as_text(self) -> str:
        """One line."""
        note = self.answer.get("note") if self.answer is not None else None
        end = f" ({note})" if note else ""
        return f"{self.file}: {self.error if self.answer is None else self.words}{end}"


def predicted(
    used: Net,
    files: Sequence[Path],
    *,
    folder: "AnswerFiles | None" = None,
    max_pixels: int = data_room.MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Prediction]:
    """Answers to files in the order given, a few of them in memory at a time.

    Args:
        used: the net, its task with the settings of the prediction.
        files: to answer; those whose answers `folder` holds are read from there.
        folder: where answers and what belongs to them are written, or the files of answers alone.
        max_pixels: larger pictures are not decoded.
        progress: called with (done, total).
    """
    done = folder.done() if folder else {}
    left = [i for i, file in enumerate(files) if str(file) not in done]
    answers = _answered(used, files, np.array(left, np.int64), folder, max_pixels)
    for i, file in enumerate(files):
        kept = done.get(str(file))
        if kept is not None:
            yield Prediction(str(file), kept, words=_line(used.task, kept))
        else:
            yield next(answers)
        progress(i + 1, len(files))


def _answered(
    used: Net,
    files: Sequence[Path],
    numbers: NDArray[np.int64],
    folder: "AnswerFiles | None",
    max_pixels: int,
) -> Iterator[Prediction]:
    """Answers to the files of these numbers."""
    pre = used.preprocessing
    size = pre.at_once(AT_ONCE, used.batch_size)

    def read(index: NDArray[np.int64]) -> list[Read | str]:
        with without_warnings():
            return [_looked(used, files[i], folder, max_pixels) for i in workers.each(index)]

    named = [str(file) for file in files]
    for chunk in workers.in_order(read, workers.chunks_of(numbers, size), named=lambda i: named[i]):
        found = _together(used, chunk.result)
        for i, each, answer in zip(chunk.index.tolist(), chunk.result, found, strict=True):
            if isinstance(each, str):
                prediction = Prediction(named[i], error=each)
            elif isinstance(answer, ShapeError):
                prediction = Prediction(named[i], error=str(answer))
            else:
                words = _worded(used.task, answer, each)
                of_all = each.note or used.note(_sides(each))
                if note := of_all or ("" if each.windows else used.task.remark(answer, each.size)):
                    words["note"] = note
                if folder:
                    written = folder.write_files(used, files[i], answer, max_pixels)
                    notes = [each["note"] for each in (words, written) if "note" in each]
                    words |= {**written, **({"note": "; ".join(notes)} if notes else {})}
                prediction = Prediction(named[i], words, words=_line(used.task, words))
            if folder:
                folder.note(prediction)
            yield prediction


def _together(used: Net, read: Sequence[Read | str]) -> list[Any]:
    """Decoded answers to what could be read, inputs of one shape answered together; None for what could not.

    Where the net cannot take a shape, the error that says so stands for each of its answers.
    """
    answers: list[Any] = []
    for _, run in groupby(read, _alike):
        together = list(run)
        same = [each for each in together if not isinstance(each, str)]
        if not same:
            answers += [None] * len(together)
            continue
        try:
            answers.extend(_answers(used, same))
        except ShapeError as error:
            answers += [error] * len(same)
    return answers


def _alike(each: Read | str) -> object:
    """Files in which this is the same are answered together: those of one shape, and each with windows by itself."""
    if isinstance(each, str):
        return None
    return id(each) if each.windows else each.stored.shape


def _answers(used: Net, same: Sequence[Read]) -> list[Any]:
    """Answers to inputs of one shape, or to one file a list with an answer to each of its windows."""
    (first, *others) = same
    if not first.windows:
        stored = np.stack([each.stored for each in same]) if others else first.stored[None]
        return list(used.answers(stored, [each.size for each in same]))
    size = used.batch_size(first.stored)
    parts = [first.stored[i : i + size] for i in range(0, len(first.stored), size)]
    return [[one for part in parts for one in used.answers(part, [first.size] * len(part))]]


def _sides(read: Read) -> tuple[int, int]:
    """Height and width of a stored picture; (0, 0) of what is none."""
    return (
        (read.stored.shape[0], read.stored.shape[1])
        if len(read.size) == 2 and read.size[0]
        else (0, 0)
    )


def _worded(task: Task, answer: Any, read: Read) -> dict[str, Any]:
    """The answer to a file in the JSON shape of `predict`; of a long recording a row a window."""
    if not read.windows:
        return task.answer(answer)
    rows: list[dict[str, Any]] = []
    for (start, end), one in zip(read.windows, answer, strict=True):
        plain = {key: value for key, value in task.answer(one).items() if key != "top"}
        rows.append({"start": round(start, 3), "end": round(end, 3), **plain})
    return {"windows": rows}


def _line(task: Task, words: Mapping[str, Any]) -> str:
    """The same on one line."""
    if "windows" not in words:
        return task.line(words)
    rows = (
        f"{row['start']:g} to {row['end']:g} s {task.line({k: v for k, v in row.items() if k not in ('start', 'end')})}"
        for row in words["windows"]
    )
    return "; ".join(rows)


def _looked(used: Net, file: Path, folder: "AnswerFiles | None", max_pixels: int) -> Read | str:
    """`_read`; the folder of the answers notes what the file held."""
    if folder:
        folder.look(file)
    return _read(used, file, max_pixels)


def _read(used: Net, file: Path, max_pixels: int) -> Read | str:
    """A file as it is stored, or why it cannot be."""
    try:
        return used.preprocessing.read(file, max_pixels=max_pixels)
    except DataError as error:
        return str(error)  # the prediction names the file


class AnswerFiles:
    """Where files that are answers, such as masks, are written: one name a path, so that none takes another's place."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._stems = {file: f"{file.stem[:100]}-{_mark(file)}" for file in files}

    def done(self) -> dict[str, Mapping[str, Any]]:
        """Nothing is read again: a file of this path may be another one now."""
        return {}

    def look(self, file: Path) -> None:
        """A file is about to be read; nothing is kept of what it holds."""

    def note(self, prediction: Prediction) -> None:
        """No list of answers is written."""

    def write_files(self, used: Net, file: Path, answer: Any, max_pixels: int) -> dict[str, str]:
        """The paths of the files by what they are; where they cannot be written, a `note` that says so."""
        try:
            self.path.mkdir(exist_ok=True)
            return self._written(used, file, answer, max_pixels)
        except OSError as error:
            reason = error.strerror or error
            return {"note": f"{self.path} cannot be written ({reason}): name a folder with --out"}

    def _written(self, used: Net, file: Path, answer: Any, max_pixels: int) -> dict[str, str]:
        picture = used.preprocessing.picture(file, max_pixels=max_pixels)
        stem = self._stems[file]
        if picture is None:
            names = used.preprocessing.write(file, stem, answer, self.path)
        else:
            names = used.task.files(stem, picture, answer, self.path)
        return {what: str(self.path / name) for what, name in names.items()}


class Folder(AnswerFiles):
    """Where predictions are written. A second call with the same net and settings goes on where the first ended."""

    def __init__(self, path: Path, files: Sequence[Path], settings: Mapping[str, Any]) -> None:
        """Make the folder, or open the one of an earlier call.

        Raises:
            UsageError: it cannot be made, or holds predictions of another net or with other settings.
        """
        super().__init__(path, files)
        self._files = files
        self._contents: dict[str, str] = {}
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out {path}: cannot be made ({error.strerror}); name another folder"
            ) from error
        if (path / SETTINGS).exists():
            before = read_json(path / SETTINGS)
            if differs := [key for key in settings if before.get(key) != settings[key]]:
                raise UsageError(
                    f"--out {path} holds predictions that were made with {differs[0]}={before.get(differs[0])}, "
                    f"now {settings[differs[0]]}: name another folder"
                )
        else:
            try:
                write_json(path / SETTINGS, dict(settings))
            except CheckpointError as error:
                raise UsageError(f"--out {error}") from error
        self._stems = stems([*dict.fromkeys([*map(Path, self._rows()), *files])])

    def done(self) -> dict[str, Mapping[str, Any]]:
        """The answers that an earlier call wrote to files that hold what they held then, by file.

        Raises:
            UsageError: a file holds something else now.
        """
        rows, found = self._rows(), dict[str, Mapping[str, Any]]()
        others: list[str] = []
        for file in dict.fromkeys(map(str, self._files)):
            row = dict(rows.get(file, {}))
            content = row.pop(CONTENT, "")  # a version before noted none: answered again
            if content and (now := _content(Path(file))):
                found[file] = row
                others += [file] if now != content else []
        if others:
            raise UsageError(
                f"--out {self.path} holds answers to files that are other ones now: {listed(others, 3)}; name another folder"
            )
        return found

    def look(self, file: Path) -> None:
        """Note what a file holds, before it is read."""
        self._contents[str(file)] = _content(file)

    def _rows(self) -> dict[str, dict[str, Any]]:
        """The answers that are written, by file; a line that was cut off is taken away."""
        whole, found = 0, dict[str, dict[str, Any]]()
        try:
            content = (self.path / LINES).read_bytes()
        except FileNotFoundError:
            return found
        for line in content.splitlines(keepends=True):
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if "error" not in row:
                found[row.pop("file")] = row
        if whole < len(content):
            with (self.path / LINES).open("r+b") as file:
                file.truncate(whole)
        return found

    def note(self, prediction: Prediction) -> None:
        """Add a line.

        Raises:
            UsageError: it cannot be written.
        """
        content = self._contents.pop(prediction.file, "")
        line = json.dumps({**prediction.as_dict(), CONTENT: content}, ensure_ascii=False)
        try:
            with (self.path / LINES).open("ab") as file:
                file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            raise self._full(error) from error

    def write_files(self, used: Net, file: Path, answer: Any, max_pixels: int) -> dict[str, str]:
        """What people use beside the JSON; the paths of the files by what they are.

        Raises:
            UsageError: they cannot be written.
        """
        try:
            return self._written(used, file, answer, max_pixels)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> UsageError:
        return UsageError(
            f"--out {self.path}: cannot be written ({error.strerror or error}); mend that and give the command again: "
            "what is answered stays"
        )

    def export(self, task: Task, form: str) -> None:
        """Write all answers, but for errors, in another format of the task.

        Raises:
            UsageError: they cannot be written.
        """
        try:
            task.export(form, self.path, self._lines())
        except OSError as error:
            raise self._full(error) from error

    def _lines(self) -> Iterator[dict[str, Any]]:
        for file, answer in self._rows().items():
            yield {"file": file, **{key: value for key, value in answer.items() if key != CONTENT}}


def _content(file: Path) -> str:
    """SHA-256 of what a file holds, or of the files in a folder that is one input; "" where it cannot be read."""
    whole = hashlib.sha256()
    try:
        inside = sorted(file.iterdir()) if file.is_dir() else [file]
        regular = [path for path in inside if path.is_file()]  # no pipe, which would be waited for
        for path in regular:
            with path.open("rb") as held:
                whole.update(hashlib.file_digest(held, "sha256").digest())
    except OSError:
        return ""
    return whole.hexdigest() if regular else ""


def _mark(file: Path) -> str:
    """Eight letters that tell a path from others."""
    return hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:8]
