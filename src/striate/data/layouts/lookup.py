"""Which file a table or a list means: by its path, by the end of it, or by its name without extension."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from striate.data.layouts.tree import named_like_picture


class Lookup:
    """Files by every name that a table may give them.

    Args:
        names: of the files, relative to the folder that all of them lie in.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._folders: set[str] = set()
        for name in names:
            self._names.add(name)
            self._folders.update(name.casefold().split("/")[-2:-1])
            base = name.rpartition("/")[2].casefold()
            self._by_name.setdefault(base, []).append(name)
            self._by_stem.setdefault(base.rpartition(".")[0] or base, []).append(name)

    def find(self, given: str, beside: str = "") -> list[str]:
        """The files that a path, a name or an id may mean: none, one, or those between which nothing decides.

        Args:
            given: as it stands in the table; absolute paths of another machine count from their end.
            beside: the folder of the table, which relative paths start from first.
        """
        path = _plain(given)
        for exact in (_plain(f"{beside}/{path}") if beside else path, path):
            if exact in self._names:
                return [exact]
        base = path.rpartition("/")[2].casefold()
        found = self._by_name.get(base, [])
        if not found and not named_like_picture(base):
            found = self._by_stem.get(base, [])
        best, agreeing = _closest(found, path)
        parent = path.casefold().split("/")[-2:-1]
        # A file of another folder is not meant where the folder that is named is known.
        return [] if best and parent and not agreeing and parent[0] in self._folders else best


def _plain(given: str) -> str:
    """A path with slashes, without what goes nowhere."""
    parts = [part for part in given.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    while ".." in parts[1:]:
        at = parts.index("..", 1)
        del parts[at - 1 : at + 1]
    return "/".join(parts)


def _closest(found: list[str], path: str) -> tuple[list[str], int]:
    """Those whose folders agree with those of a path the longest, counted from the end; and in how many."""
    wanted = PurePosixPath(path.casefold()).parts[-2::-1]

    def agreeing(name: str) -> int:
        folders = PurePosixPath(name.casefold()).parts[-2::-1]
        same = [a == b for a, b in zip(folders, wanted, strict=False)]
        return same.index(False) if False in same else len(same)

    scores = [agreeing(name) for name in found]
    most = max(scores, default=0)
    return [name for name, score in zip(found, scores, strict=True) if score == most], most
