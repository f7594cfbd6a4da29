"""What goes over the wire: strict JSON, arrays in the safetensors layout, declarations that are fresh."""

import json
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from safetensors.numpy import load

from striate.studio import declarations, wire


def test_the_declarations_of_the_page_are_fresh():
    assert declarations.FILE.read_text("utf-8") == declarations.declarations(), (
        "run python -m striate.studio.declarations"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'),
        (math.inf, '"Infinity"'),
        ([-math.inf, 1.5], '["-Infinity", 1.5]'),
        ({"a": np.float32(0.5).item(), 2: (1, None)}, '{"a": 0.5, "2": [1, null]}'),
        ("Łódź </script>", '"Łódź </script>"'),
    ],
)
def test_json_is_strict_and_unknown_is_never_zero(value: object, text: str):
    assert wire.as_json(value).decode() == text


def test_what_is_none_is_left_out_and_class_is_a_word():
    one = wire.Class(3, "cat", math.nan)
    assert json.loads(wire.as_json(one)) == {"index": 3, "class": "cat", "logit": "NaN"}


def test_arrays_open_with_the_usual_library():
    arrays = {
        "maps": np.arange(6, dtype=np.uint8).reshape(2, 3, 1),
        "lo": np.array([0.5, -1], np.float32),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }
    packed = wire.packed(arrays, {"layer": "<x>", "lo": math.nan})
    found = load(packed)
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in arrays.items()}
    size = int.from_bytes(packed[:8], "little")
    head = json.loads(packed[8 : 8 + size])
    assert json.loads(head["__metadata__"]["meta"]) == {"layer": "<x>", "lo": "NaN"}
    for name, each in head.items():
        if name != "__metadata__":  # a typed array of the page needs it
            assert (8 + size + each["data_offsets"][0]) % arrays[name].itemsize == 0


@dataclass(frozen=True)
class Sample:
    """A */ comment."""

    a: int
    b: list[int | None]
    c: dict[str, list[float]]
    d: tuple[int, str]
    e: Literal["x", "y"]
    class_: str | None = None


def test_types_become_those_of_the_page():
    assert declarations._interface(Sample).splitlines() == [
        "/** A comment. */",
        "export interface Sample {",
        "  a: number;",
        "  b: (number | null)[];",
        "  c: Record<string, number[]>;",
        "  d: [number, string];",
        '  e: "x" | "y";',
        "  class?: string;",
        "}",
    ]


def test_a_type_that_is_not_known_is_no_guess():
    with pytest.raises(TypeError, match="no TypeScript"):
        declarations._type(set[int])
