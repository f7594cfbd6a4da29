"""`page/wire.d.ts`: the shapes of `wire` for the type checker of the page, made of the dataclasses, never by hand.

python -m striate.studio.declarations       writes the file anew
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from striate.studio import wire

FILE = Path(__file__).parent / "page" / "wire.d.ts"
HEAD = "// Made of src/striate/studio/wire.py by `python -m striate.studio.declarations`; do not edit.\n"
PLAIN = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    Any: "any",
    object: "unknown",
    types.NoneType: "null",
}


def declarations() -> str:
    """The content of the file."""
    kinds = [each for each in vars(wire).values() if isinstance(each, type) and is_dataclass(each)]
    own = [kind for kind in kinds if kind.__module__ == wire.__name__]
    return HEAD + "\n".join(_interface(kind) for kind in own)


def _interface(kind: type) -> str:
    hints = get_type_hints(kind)
    rows = [_row(each.name, hints[each.name], each.default is None) for each in fields(kind)]
    says = " ".join((kind.__doc__ or "").replace("*/", "").split())
    return "\n".join([f"/** {says} */", f"export interface {kind.__name__} {{", *rows, "}\n"])


def _row(name: str, hint: Any, optional: bool) -> str:
    inner = [each for each in get_args(hint) if each is not types.NoneType]
    if _is_union(hint) and len(inner) < len(get_args(hint)):
        hint = Union[tuple(inner)]  # noqa: UP007 - of a tuple
        optional = True  # what is None is left out
    return f"  {name.rstrip('_')}{'?' if optional else ''}: {_type(hint)};"


def _type(hint: Any) -> str:
    """A Python type in TypeScript."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint.__name__
    return PLAIN.get(hint) or _made_of(hint, get_origin(hint), get_args(hint))


def _made_of(hint: Any, origin: Any, inner: Sequence[Any]) -> str:
    if _is_union(hint) or origin is Literal:
        return " | ".join(f'"{each}"' if origin is Literal else _type(each) for each in inner)
    if origin in (dict, Mapping):
        return f"Record<string, {_type(inner[1])}>"
    if origin is tuple and Ellipsis not in inner:
        return f"[{', '.join(map(_type, inner))}]"
    if origin in (list, tuple, Sequence):
        found = _type(inner[0])
        return f"({found})[]" if " | " in found else f"{found}[]"
    raise TypeError(f"{hint}: no TypeScript for it is known here")


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


if __name__ == "__main__":
    from striate.files import write_whole

    write_whole(FILE, declarations().encode())
