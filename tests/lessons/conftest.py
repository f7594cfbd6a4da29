"""What the tests of the lessons share: each lesson run once, and answers as files."""

import textwrap
from functools import cache

import pytest

from striate import lessons


@cache
def shown(name):
    """What every step of a lesson shows, by the step's name; a lesson runs once in all tests of a process."""
    return {step.__name__: step() for step in lessons.find(name).steps}


@pytest.fixture
def answer(tmp_path):
    """Write a student's file."""

    def write(text, name="answer.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write
