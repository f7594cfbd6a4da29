"""The words of the lessons in three languages. A catalogue is a YAML file: of every key its text in each language.

Under `words` stand single words of tables, English first, and their Russian and Polish.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from striate.errors import UsageError, nearest
from striate.result import Result
from striate.text import SPACE

LANGUAGES = ("en", "ru", "pl")
TEXTS = Path(__file__).parent / "texts"


@cache
def read(name: str) -> dict[str, Any]:
    """A catalogue as it lies on disk."""
    return yaml.safe_load((TEXTS / f"{name}.yaml").read_text(encoding="utf-8"))


def check_language(language: str) -> str:
    """A language of the lessons.

    Raises:
        UsageError: they are not in this one.
    """
    if language not in LANGUAGES:
        raise UsageError(f"language {language!r}: the lessons have {nearest(language, LANGUAGES)}")
    return language


@dataclass(frozen=True)
class Words:
    """The words of a lesson in a language; what all lessons share is found too."""

    lesson: str
    language: str = "en"

    def has(self, key: str) -> bool:
        """Whether there is a text of this key."""
        return key in read(self.lesson)

    def text(self, key: str, values: Mapping[str, object] | None = None) -> str:
        """The text of a key, with values in its places; lines are joined, and ~ is a space at which no line ends."""
        entry = read(self.lesson).get(key) or read("common")[key]
        told = " ".join(entry[self.language].split()).replace("~", SPACE)
        return told.format(**(values or {}))

    def word(self, english: object) -> str:
        """A word of a table; what is not in the catalogue, such as a number or a layer's name, stays as it is."""
        found = str(english)
        if self.language == "en":
            return found
        for name in (self.lesson, "common"):
            if (entry := read(name).get("words", {}).get(found)) is not None:
                return entry[LANGUAGES.index(self.language) - 1]
        return found


def common(key: str, language: str, values: Mapping[str, object] | None = None) -> str:
    """A text that all lessons share."""
    return Words("common", language).text(key, values)


class Worded(Result):
    """A result whose words can be said in each language of the lessons."""

    def worded(self, words: Words) -> "Worded":
        """The same in these words."""
        raise NotImplementedError
