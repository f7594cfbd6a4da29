"""What a lesson is made of: functions that show something one after the other, and exercises."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from striate.lessons.catalogue import Words, common
from striate.lessons.exercise import Exercise
from striate.lessons.shown import Shown
from striate.result import Result
from striate.text import wrapped

WIDTH = 96
Step = Callable[[], Shown]


@dataclass(frozen=True)
class Part:
    """One step as it was shown: the words before, what it shows, the words after that name its numbers."""

    name: str
    before: str
    shown: Shown
    after: str

    def as_text(self) -> str:
        """Paragraphs for a terminal."""
        shown = self.shown.as_text()
        return "\n\n".join(filter(None, (folded(self.before), shown, folded(self.after))))


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        name: of its file, and of its texts.
        steps: functions without arguments; what each does is told under its name.
        exercises: functions that a student writes.
    """

    name: str
    steps: tuple[Step, ...]
    exercises: tuple[Exercise, ...] = ()

    def title(self, language: str = "en") -> str:
        """Its title."""
        return Words(self.name, language).text("title")

    def parts(self, language: str = "en") -> Iterator[Part]:
        """Run the steps, one after the other."""
        for step in self.steps:
            yield self.part(step, language)

    def part(self, step: Step, language: str = "en") -> Part:
        """Run one step."""
        words = Words(self.name, language)
        name = step.__name__
        shown = step().worded(words)
        after = f"{name}_after"
        said = words.text(after, shown.numbers) if words.has(after) else ""
        return Part(name, words.text(name), shown, said)

    def asks(self, language: str = "en") -> Iterator[tuple[Exercise, str]]:
        """Every exercise with what it asks for."""
        words = Words(self.name, language)
        for exercise in self.exercises:
            yield exercise, words.text(exercise.function)


@dataclass(frozen=True)
class Told(Result):
    """A whole lesson, run: its title, its parts, what it asks for."""

    name: str
    title: str
    parts: tuple[Part, ...]
    asks: tuple[tuple[str, str], ...]
    language: str = "en"

    def as_text(self) -> str:
        """The lesson for a terminal."""
        blocks = [f"{self.title}\n{'=' * len(self.title)}", *(p.as_text() for p in self.parts)]
        if self.asks:
            blocks.append("\n\n".join([common("exercises", self.language), *self._asked()]))
        return "\n\n\n".join(blocks)

    def _asked(self) -> Iterator[str]:
        for signature, words in self.asks:
            yield f"def {signature}:\n{folded(words)}"
        command = {"command": f"striate learn {self.name} --check ANSWER.py"}
        for key in ("given", "how_to_check"):
            yield folded(common(key, self.language, command))

    def as_dict(self) -> dict[str, Any]:
        """What is shown and said, step by step."""
        return {
            "lesson": self.name,
            "title": self.title,
            "steps": [
                {"step": p.name, "before": p.before, "after": p.after, **p.shown.as_dict()}
                for p in self.parts
            ],
            "exercises": [{"function": name, "asks": words} for name, words in self.asks],
        }


def told(lesson: Lesson, language: str = "en") -> Told:
    """Run a whole lesson."""
    asks = tuple((each.signature, words) for each, words in lesson.asks(language))
    return Told(lesson.name, lesson.title(language), tuple(lesson.parts(language)), asks, language)


def folded(text: str) -> str:
    """A paragraph in lines of a terminal."""
    return "\n".join(wrapped(line, WIDTH, indent="") for line in text.split("\n"))


def source(step: Step) -> str:
    """The body of a step as a cell of a notebook: what it returns is the value of the cell."""
    lines = textwrap.dedent(inspect.getsource(step))
    (function,) = ast.parse(lines).body
    if not isinstance(function, ast.FunctionDef):
        raise TypeError(f"{step.__name__} is no plain function")
    first = function.body[1] if ast.get_docstring(function) else function.body[0]
    body = textwrap.dedent("\n".join(lines.split("\n")[first.lineno - 1 :])).rstrip()
    head, _, last = body.rpartition("return ")
    return f"{head}{last}"
