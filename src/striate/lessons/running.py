"""A student's function, run in a process of its own with ten seconds and a gigabyte."""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.lessons.exercise import Array, Case
from striate.lessons.worker import MEMORY, SECONDS

LARGE = frozenset(
    {"numpy", "scipy", "sklearn", "striate", "torch"}
)  # packages that take seconds to import
START = 120  # seconds in which an interpreter should have imported them, on a machine that is busy

__all__ = ["MEMORY", "SECONDS", "Answers", "functions_of", "imports_of", "run"]


@dataclass(frozen=True)
class Answers:
    """What came of an answer.

    Attributes:
        found: of each case that was answered, in order.
        problem: why there are no more: "endless", "memory", "exit", "raised", "nothing", "no_numbers", "too_many",
            "no_function", "died"; "" where all were answered.
        detail: what the problem says of itself, such as the line of an error.
    """

    found: tuple[Array, ...]
    problem: str = ""
    detail: str = ""


def run(file: Path, function: str, cases: Sequence[Case]) -> Answers:
    """Ask a function of a student's file for its answers to all cases; what it prints is thrown away."""
    with tempfile.TemporaryDirectory(prefix="striate-answer-") as name:
        folder = Path(name)
        job, found = folder / "job.json", folder / "found.json"
        begun = folder / "begun"
        content = {
            "file": str(file.resolve()),
            "begun": str(begun),
            "packages": sorted(LARGE.intersection(imports_of(file))),
            "function": function,
            "cases": [{key: _sent(value) for key, value in case.items()} for case in cases],
        }
        job.write_text(json.dumps(content), encoding="utf-8")
        ended = _ended(job, found, begun)
        answers = _read(found)
    values = [_array(each) for each in answers if "shape" in each]
    stopped = next((each for each in answers if "error" in each), None)
    if stopped is not None:
        return Answers(tuple(values), stopped["error"], stopped["detail"])
    if len(values) == len(cases):
        return Answers(tuple(values))
    return Answers(tuple(values), *_why(ended))


def _sent(value: Any) -> Any:
    return {"array": value.tolist()} if isinstance(value, np.ndarray) else value


def _ended(job: Path, found: Path, begun: Path) -> int | None:
    """The exit status of the process; None where its time ran out, which counts from when the answer begins."""
    process = subprocess.Popen(  # noqa: S603 - our own module, with the student's file as an argument
        [sys.executable, "-m", "striate.lessons.worker", str(job), str(found)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=job.parent,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": _paths(),
        },
        start_new_session=True,
    )
    try:
        _until(process, begun)
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(OSError):  # also what it started itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until(process: subprocess.Popen[bytes], begun: Path) -> None:
    """Wait until a process has imported what it needs, or has ended.

    Raises:
        TimeoutExpired: it does neither.
    """
    waited = time.monotonic()
    while not begun.exists() and process.poll() is None:
        if time.monotonic() - waited > START:
            raise subprocess.TimeoutExpired(process.args, START)
        time.sleep(0.01)


def _paths() -> str:
    """Where this very package lies, before what the user's own environment names."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))


def _read(found: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _array(answer: dict[str, Any]) -> Array:
    return np.asarray(answer["values"], np.float64).reshape(answer["shape"])


def _why(status: int | None) -> tuple[str, str]:
    if status is None or status in (-signal.SIGXCPU, -signal.SIGKILL):
        return "endless", ""
    return "died", str(status)


def _tree(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return None


def functions_of(file: Path) -> set[str] | None:
    """Names that a file gives at its top; None where it is no Python."""
    tree = _tree(file)
    if tree is None:
        return None
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def imports_of(file: Path) -> tuple[str, ...]:
    """Packages that a file imports anywhere: what did the work is seen."""
    tree = _tree(file)
    found: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").partition(".")[0])
    return tuple(sorted(found))
