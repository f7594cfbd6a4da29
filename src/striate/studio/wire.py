"""The shapes of all answers: a dataclass for each JSON object, and arrays in the safetensors layout.

`page/wire.d.ts` is made of these classes by `declarations`; a test fails when it is older than they are.
A number that JSON has no word for goes as the text "NaN", "Infinity" or "-Infinity": unknown is never zero.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from striate.studio.routes import Answer

if TYPE_CHECKING:
    import numpy as np


def plain(value: object) -> Any:
    """A dataclass, or anything made of them, as values that strict JSON takes; fields that are None are left out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _no_number(value)
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name.rstrip("_"): plain(each) for name, each in pairs if each is not None}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def as_json(value: object) -> bytes:
    """Strict JSON in UTF-8."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode()


def json_answer(value: object, *, fixed: bool = False, status: int = 200) -> Answer:
    """A dataclass of this file, or plain values, as an answer."""
    return Answer(as_json(value), "application/json; charset=utf-8", status, fixed)


def packed(arrays: Mapping[str, "np.ndarray"], meta: Mapping[str, object]) -> bytes:
    """Arrays in the safetensors layout; `meta` stands as JSON under "meta" in its `__metadata__`."""
    import numpy as np
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(whole, {"meta": as_json(meta).decode()})


def array_answer(
    arrays: Mapping[str, "np.ndarray"], meta: Mapping[str, object], *, fixed: bool = True
) -> Answer:
    """Arrays as an answer; the browser may keep it unless `fixed` is off."""
    return Answer(packed(arrays, meta), "application/octet-stream", fixed=fixed)
