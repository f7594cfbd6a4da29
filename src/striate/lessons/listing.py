"""All lessons by name and title, with what each asks to be written."""

from dataclasses import dataclass
from typing import Any

from striate.lessons import every
from striate.lessons.catalogue import common
from striate.lessons.lesson import folded
from striate.result import Result, text_table


@dataclass(frozen=True)
class Listing(Result):
    """Rows of name, title and functions."""

    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    language: str

    def as_text(self) -> str:
        """A line a lesson."""
        header = [common(key, self.language) for key in ("lesson", "title", "exercises")]
        rows = [[name, title, ", ".join(asked)] for name, title, asked in self.rows]
        return f"{text_table(header, rows)}\n\n{folded(common('how_to_list', self.language))}"

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {
            "lessons": [
                {"lesson": name, "title": title, "exercises": list(asked)}
                for name, title, asked in self.rows
            ]
        }


def listing(language: str = "en") -> Listing:
    """The lessons in the order of the course."""
    rows = tuple(
        (each.name, each.title(language), tuple(e.function for e in each.exercises))
        for each in every()
    )
    return Listing(rows, language)
