"""Which run a launch of several processes began, so that it goes on with it after a restart."""

import hashlib
import os
import shutil
import socket
import sys
from pathlib import Path

from striate.training.ranks import launched

MARK = ".launch"


def mark(path: Path) -> None:
    """Note in a run folder which launch it belongs to, so that it is found after a restart."""
    if launched():
        (path / MARK).write_text(_launch(), encoding="utf-8")


def unmark(path: Path) -> None:
    """Take that note away again."""
    (path / MARK).unlink(missing_ok=True)


def begun(out: Path) -> Path | None:
    """The run below `out` that this launch began before it was restarted.

    A folder that was killed before its first step is removed.
    """
    if not launched():
        return None
    marks = [
        m
        for m in out.glob(f"*/*/{MARK}")
        if m.read_text(encoding="utf-8", errors="replace") == _launch()
    ]
    for folder in (m.parent for m in marks):
        if (folder / "config.json").exists():
            return folder
        shutil.rmtree(folder)
    return None


def _launch() -> str:
    """What a launch is known by, restarts included: its id and its command, or without an id the launcher's process."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    name = f"{socket.gethostname()}-{os.getppid()}" if run == "none" else run
    return hashlib.sha256("\0".join([name, *sys.argv]).encode()).hexdigest()
