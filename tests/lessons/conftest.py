"""What the tests of the lessons share: answers as files."""

import textwrap

import pytest


@pytest.fixture
def answer(tmp_path):
    """Write a student's file."""

    def write(text, name="answer.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write
