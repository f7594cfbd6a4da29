"""Shards with an index of ours: the folder that `striate data DATA --shards OUT` wrote."""

from striate.data import shards
from striate.data.byteranges import Local
from striate.data.index import Candidate
from striate.data.layouts.tree import Tree


def find(tree: Tree) -> Candidate | None:
    """Shards, if the folder holds their index, or the beginning of a packing that was not finished."""
    root = tree.root
    if not (root / shards.TABLE).is_file() and not (root / shards.AT_WORK).is_dir():
        return None
    uses = frozenset(entry.name for entry in tree.entries())
    return Candidate(
        "shards",
        1,
        uses,
        lambda: shards.read(Local(root), tree.options),
        f"{shards.TABLE} is their index",
        tasks=(shards.task_of(root),),
    )
