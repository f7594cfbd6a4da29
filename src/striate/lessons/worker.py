"""The process in which a student's function runs: python -m striate.lessons.worker JOB.json FOUND.json.

Time, memory and the size of files are limited, which ends an answer that runs away. It is no sandbox: what the answer may
do to files and to the network is what the user who starts it may do.
"""

import contextlib
import copy
import importlib
import importlib.util
import json
import math
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

SECONDS = 10
MEMORY = 1024**3  # bytes
LARGEST = 16 * 1024**2  # bytes of a file that it writes
MOST = 1_000_000  # values of one answer


def ready(packages: list[str]) -> None:
    """Import large packages that the answer wants, which is no time of its own."""
    for name in packages:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def limit() -> None:
    """Take from this process, for good, all time and memory but what an answer may have."""
    try:
        import resource
    except (
        ImportError
    ):  # no such limits on this system: the time is limited by the process that waits
        return
    limits = {
        "RLIMIT_CPU": SECONDS + math.ceil(time.process_time()),
        "RLIMIT_DATA": MEMORY,
        "RLIMIT_FSIZE": LARGEST,
        "RLIMIT_CORE": 0,
    }
    for name, most in limits.items():
        if (which := getattr(resource, name, None)) is not None:
            _, hard = resource.getrlimit(which)
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (least, least))


def load(path: Path) -> ModuleType:
    """Run a student's file as a module of its own."""
    spec = importlib.util.spec_from_file_location("answer", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["answer"] = module
    spec.loader.exec_module(module)
    return module


def arrays(case: dict[str, Any]) -> list[Any]:
    """The arguments of a case in order: what was an array is one again."""
    import numpy as np

    return [
        np.asarray(value["array"], np.float64) if isinstance(value, dict) else copy.deepcopy(value)
        for value in case.values()
    ]


def answer(function: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the function gives, as shape and values, or what is wrong with it."""
    import numpy as np

    found = function(*arrays(case))
    if found is None:
        return {"error": "nothing", "detail": ""}
    try:
        detached = found.detach().cpu() if hasattr(found, "detach") else found
        array = np.asarray(detached, dtype=np.float64)
    except (TypeError, ValueError):
        return {"error": "no_numbers", "detail": type(found).__name__}
    if array.size > MOST:
        return {"error": "too_many", "detail": str(list(array.shape))}
    return {"shape": list(array.shape), "values": array.ravel().tolist()}


def where(error: BaseException, path: Path) -> str:
    """An error with the line of the answer in which it rose."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    told = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return f"line {lines[-1]}: {told}" if lines else told


def work(job: dict[str, Any], found: Path) -> None:
    """Answer every case, and write after each what there is so far."""
    path = Path(job["file"])
    answers: list[dict[str, Any]] = []
    kept = json  # the answer may change what modules hold
    write, dumps = Path.write_text, kept.dumps
    ready(job["packages"])
    limit()
    Path(job["begun"]).touch()
    try:
        function = getattr(load(path), job["function"], None)
        if not callable(function):
            answers = [{"error": "no_function", "detail": job["function"]}]
        else:
            for case in job["cases"]:
                answers.append(answer(function, case))
                write(found, dumps(answers), encoding="utf-8")
    except MemoryError:
        answers.append({"error": "memory", "detail": ""})
    except SystemExit as error:
        answers.append({"error": "exit", "detail": str(error.code)})
    except BaseException as error:  # noqa: BLE001 - whatever an answer raises is told
        answers.append({"error": "raised", "detail": where(error, path)})
    write(found, dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    work(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
