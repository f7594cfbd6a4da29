"""Messages that the tests of one checkout match and that the source of another lacks; see contract.py.

Both are read, not run. A message is a regular expression whose literal pieces are looked for three words at a
time; pieces that the older source does not hold either (they came from data) say nothing.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def lost(old: Path, new: Path) -> Iterator[str]:
    """Where a test of OLD matches what NEW's source lacks, with the words, and last how many were looked for."""
    before, now = strings(old / "src"), strings(new / "src")
    matched = list(patterns(old / "tests"))
    pieces = [[piece for piece in shingles(text) if piece in before] for _, text in matched]
    for (where, _), known in zip(matched, pieces, strict=True):
        gone = [piece for piece in known if piece not in now]
        if gone:
            yield f"{where}: {' | '.join(gone)[:150]}"
    yield f"{sum(map(bool, pieces))} of {len(matched)} texts that tests match were looked for"


def strings(folder: Path) -> str:
    """All texts of the source below a folder, with single spaces."""
    trees = (ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py")))
    return "\0".join(" ".join(text.split()) for tree in trees for text in constants(tree))


def constants(node: ast.AST) -> Iterator[str]:
    """The texts below a node."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def patterns(folder: Path) -> Iterator[tuple[str, str]]:
    """Where and what: the texts of `match=`, or if it names a parameter, those of the test's decorators."""
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder.parent)
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.keyword) and node.arg == "match":
                        given = [
                            text for mark in function.decorator_list for text in constants(mark)
                        ]
                        texts = list(constants(node.value)) or [
                            text for text in given if " " in text
                        ]
                        yield from ((f"{where}:{node.value.lineno}", text) for text in texts)


def shingles(pattern: str) -> list[str]:
    """The literal pieces of a regular expression, three words at a time."""
    plain = re.sub(r"\\[A-Za-z]|(?<!\\)[.^$*+?{}()\[\]|]", "\0", pattern)
    found: list[str] = []
    for piece in re.sub(r"\\(.)", r"\1", plain).split("\0"):
        words = piece.split()
        found += [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]
    return [piece for piece in found if len(piece) > 4]
