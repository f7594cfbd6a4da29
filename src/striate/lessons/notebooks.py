"""Lessons as notebooks: the words of a step, its code, what it shows, and the words after it.

The cells are the very functions of `course/`, so a notebook shows how each thing is done with Striate, and can be changed.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from striate.files import write_whole
from striate.lessons.catalogue import common
from striate.lessons.lesson import Lesson, Part, source
from striate.text import plain

FORMAT = {"nbformat": 4, "nbformat_minor": 5}
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write(lessons: Sequence[Lesson], folder: Path, language: str = "en") -> list[Path]:
    """Write lessons as NAME.ipynb, made whole; files of the same name are replaced.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for lesson in lessons:
        path = folder / f"{lesson.name}.ipynb"
        text = json.dumps(notebook(lesson, language), ensure_ascii=False, indent=1)
        write_whole(path, f"{text}\n".encode())
        written.append(path)
    return written


def notebook(lesson: Lesson, language: str = "en") -> dict[str, Any]:
    """A lesson as the content of an .ipynb file, with what its cells give here."""
    cells = [
        {"id": f"{lesson.name[:40]}-{i}", **cell} for i, cell in enumerate(_cells(lesson, language))
    ]
    return {"cells": cells, "metadata": KERNEL, **FORMAT}


def _cells(lesson: Lesson, language: str) -> Iterator[dict[str, Any]]:
    yield _words(f"# {lesson.title(language)}")
    yield _code(setup(lesson))
    for step in lesson.steps:
        part = lesson.part(step, language)
        yield _words(part.before)
        yield _code(source(step), part)
        if part.after:
            yield _words(part.after)
    asked = list(lesson.asks(language))
    if asked:
        yield _words(f"## {common('exercises', language)}\n\n{common('given', language)}")
    for exercise, words in asked:
        yield _words(words)
        yield _code(f"def {exercise.signature}:\n    ...")
        command = f"`striate learn {lesson.name} --check ANSWER.py`"
        yield _words(common("how_to_check", language, {"command": command}))


def setup(lesson: Lesson) -> str:
    """The first cell: what the steps import, and what they use of the lesson's own file."""
    module = sys.modules[lesson.steps[0].__module__]
    used = {name for step in lesson.steps for name in _names(source(step))}
    lines = [line for node in _imports(module) if (line := _kept(node, used))]
    steps = {step.__name__ for step in lesson.steps}
    own = sorted(name for name in _own(module) & used if name not in steps)
    if own:
        lines.append(f"from {module.__name__} import {', '.join(own)}")
    return "\n".join(lines)


def _names(code: str) -> set[str]:
    """Names that a cell takes from elsewhere: read and not set in it."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    set_here = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return {node.id for node in nodes} - set_here


def _imports(module: ModuleType) -> list[ast.Import | ast.ImportFrom]:
    body = ast.parse(inspect.getsource(module)).body
    return [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def _kept(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    """An import with the names that are used."""
    names = [
        alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in used
    ]
    if not names:
        return ""
    written = ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in names)
    if isinstance(node, ast.ImportFrom):
        return f"from {node.module} import {written}"
    return f"import {written}"


def _own(module: ModuleType) -> set[str]:
    """Functions and constants that the lesson's file defines."""
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(text)}


def _code(text: str, part: Part | None = None) -> dict[str, Any]:
    outputs: list[dict[str, Any]] = []
    if part is not None:
        data = {
            "text/html": _lines(part.shown.as_html()),
            "text/plain": _lines(plain(part.shown.as_text())),
        }
        outputs = [
            {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}
        ]
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": outputs,
        "source": _lines(text),
    }


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
