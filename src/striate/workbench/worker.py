"""One of the processes that `striate.workbench.launch` starts: `python -m striate.workbench.worker FOLDER`."""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from striate.errors import PeerError, StriateError
from striate.runs import Run
from striate.runs.folder import write_json
from striate.training import read_recipe
from striate.training.distributed import PeerFinished
from striate.workbench import nets, progress
from striate.workbench.launch import JOB, OUTCOME, RESTARTS
from striate.workbench.train import resume, train_recipe

PATIENCE = 3.0  # seconds in which another process says why it ended


def main(folder: Path) -> int:
    """Do what the folder says, and leave there what came of it.

    Returns:
        0 where that ends the launch, and another status where all processes should be started again.
    """
    if (folder / OUTCOME).exists():
        return 0
    try:
        path = _work(folder).path
    except PeerFinished as other:
        return 0 if not other.code or _outcome_left(folder) else 1
    except PeerError:
        return 0 if _outcome_left(folder) else 1
    except KeyboardInterrupt:  # before the first step; the launcher has the signal too
        return 1
    except StriateError as error:
        status, kind = error.exit_status, type(error).__name__
        _leave(folder, {"status": status, "kind": kind, "message": str(error)})
    except Exception as error:  # noqa: BLE001 - it would be the same after a restart
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            kind, message = (
                "NumericError",
                "out of memory: a smaller batch=, size= or width= needs less",
            )
        else:
            traceback.print_exc()
            kind, message = "StriateError", f"{type(error).__name__}: {error}"
        _leave(folder, {"status": 1, "kind": kind, "message": message})
    else:
        _leave(folder, {"run": str(path)})
    return 0


def _work(folder: Path) -> Run:
    job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    with progress.display(began=job.get("began")) as bars:
        again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        if again and os.environ.get("RANK") == "0":
            bars.say(
                "a process was lost (killed, often because the memory ran out: a smaller batch= needs less); "
                f"all begin again from the last checkpoint there is, {again} of {RESTARTS} times"
            )
        if "resume" in job:
            own = nets.own(job["net"]) if job["net"] else None
            allow = job.get("allow", ())
            return resume(job["resume"], own=own, progress=bars, allow=allow).run
        recipe = folder / f"recipe-{os.getpid()}.yaml"
        recipe.write_text(job["recipe"], encoding="utf-8")
        return train_recipe(
            job["data"], read_recipe(str(recipe)), out=Path(job["out"]), name=job["name"], progress=bars
        ).run  # fmt: skip


def _leave(folder: Path, outcome: dict[str, Any]) -> None:
    """Leave an outcome, unless there is one."""
    if not (folder / OUTCOME).exists():
        write_json(folder / OUTCOME, outcome)


def _outcome_left(folder: Path) -> bool:
    """Whether some process leaves an outcome within a moment."""
    end = time.monotonic() + PATIENCE
    while not (folder / OUTCOME).exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    os.dup2(2, 1)  # the result is for the process that launched this one to print
    sys.exit(main(Path(sys.argv[1])))
