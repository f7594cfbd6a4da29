"""The examples of a page, found and run: `python` and `sh` blocks, in their order, in one folder.

A block below `<!-- not run: WHY -->` is left out. Commands of `striate` run in this process, which saves the import of PyTorch for each of them;
anything else of a `sh` block goes to bash.
"""

import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]*) -->\n+)?```(?P<language>python|sh)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
DATA = re.compile(r"^<!-- data: (.*) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One example: the line it stands on, its language, its words, and why it is not run ("" if it is)."""

    line: int
    language: str
    code: str
    why: str


def read(page: Path) -> list[Block]:
    """The examples of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, found.start("code")),
            found["language"],
            found["code"],
            found["why"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def data(page: Path) -> dict[str, str]:
    """What the examples of a page work on: a name and its kind, from `<!-- data: photos=classes cells=masks -->`."""
    named = DATA.findall(page.read_text(encoding="utf-8"))
    return dict(word.split("=") for line in named for word in line.split())


def commands(code: str) -> list[str]:
    """The commands of a `sh` block: without comments and empty lines, a line that ends in a backslash joined to the next."""
    joined = code.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]


def words(command: str) -> list[str]:
    """The words of a command, patterns of names replaced by the names that are there."""
    found = list[str]()
    for word in shlex.split(command, comments=True):
        names = sorted(map(str, Path().glob(word))) if re.search(r"[*?]", word) else []
        found += names or [word]
    return found


def run(
    blocks: list[Block], *, change: Callable[[list[str]], list[str]] = lambda given: given
) -> None:
    """Run what can be run in the current folder; the Python of all blocks shares its names.

    Args:
        blocks: of one page.
        change: makes other words of those of a command of striate, such as fewer epochs.

    Raises:
        RuntimeError: a command failed; the message names its line.
    """
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks:
        if block.why:
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, "the page", "exec"), names)
            continue
        for command in commands(block.code):
            status = _striate(command, change) if command.startswith("striate ") else _bash(command)
            # An audit that finds something has done its work.
            if status and not (status == 1 and " audit " in command + " "):
                raise RuntimeError(f"line {block.line}: {command} ended with status {status}")


def _striate(command: str, change: Callable[[list[str]], list[str]]) -> int:
    from striate.cli import main

    given = words(command)
    into = given[given.index(">") + 1] if ">" in given else None
    given = given[: given.index(">")] if into else given
    if into is None:
        return main(change(given[1:]))
    kept = io.StringIO()
    with redirect_stdout(kept):
        status = main(change(given[1:]))
    Path(into).write_text(kept.getvalue(), encoding="utf-8")
    return status


def _bash(command: str) -> int:
    return subprocess.run(["bash", "-c", command], env=os.environ, check=False).returncode
