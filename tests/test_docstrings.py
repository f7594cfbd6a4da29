"""The examples of docstrings give what stands below them; the reference of the site shows them."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    for path in SRC.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.plain
@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_docstring_are_right(name, capsys):
    found = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert found.failed == 0, capsys.readouterr().out


def test_a_wrong_example_is_noticed():
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(example, out=len).failed == 1
    assert len(MODULES) > 30


def test_how_many_more_there_are_is_counted_in_one_place():
    copies = re.compile(r'and \{len\([^}]*\} more" if ')
    found = [path.name for path in SRC.rglob("*.py") if copies.search(path.read_text())]
    assert found == []
    assert copies.search('more = f" and {len(names) - 3} more" if len(names) > 3 else ""')
