"""`striate learn`: the lessons, in the terminal or as notebooks; answers checked, one or a folder of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.output import FOLDER, Drawn, emit, with_json, writing
from striate.cli.settings import Command
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.lessons.lesson import Lesson


@click.command(cls=Command)
@click.argument("lesson", required=False)
@click.option("--check", type=FOLDER, metavar="ANSWER.py", help="Try your functions, cell by cell.")
@click.option("--grade", type=FOLDER, metavar="FOLDER", help="Try all .py files in it, a row each.")
@click.option("--csv", type=Drawn(".csv"), metavar="FILE.csv", help="With --grade: the rows.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Of hidden cases; 0: everyone's."
)
@click.option(
    "--notebooks", type=FOLDER, metavar="FOLDER", help="Write LESSON, or all, as notebooks."
)
@click.option("--language", default="en", show_default=True, help="en, ru or pl.")
@with_json
def learn(
    lesson: str | None,
    *,
    check: Path | None,
    grade: Path | None,
    csv: Path | None,
    notebooks: Path | None,
    **given: Any,
) -> int:
    """List the lessons, run LESSON, or check what you wrote for it.

    An answer runs in a process of its own with 10 seconds and 1 GB of memory. That stops what runs away; it is no
    sandbox: an answer can read and delete your files. With --grade the status is 0 whatever the answers are worth.
    """
    from striate.lessons import find
    from striate.lessons.catalogue import check_language

    check_language(given["language"])
    asked = [
        name
        for name, value in (("--check", check), ("--grade", grade), ("--notebooks", notebooks))
        if value
    ]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are two things: ask for one of them")
    if csv is not None and grade is None:
        raise UsageError("--csv goes with --grade FOLDER: name the folder of answers")
    if given["seed"] and not (check or grade):
        raise UsageError("--seed goes with --check or --grade: lessons are the same every time")
    chosen = find(lesson) if lesson is not None else None
    if notebooks is not None:
        return _notebooks(notebooks, chosen, given)
    if grade is not None:
        return _grade(grade, chosen, csv, given)
    if check is not None:
        return _check(chosen, check, given)
    return _show(chosen, given)


def _show(chosen: "Lesson | None", given: dict[str, Any]) -> int:
    from striate.lessons.lesson import told
    from striate.lessons.listing import listing

    language = given["language"]
    result = listing(language) if chosen is None else told(chosen, language)
    emit(result.as_dict(), result.as_text(), json=given["json"])
    return 0


def _check(chosen: "Lesson | None", answer: Path, given: dict[str, Any]) -> int:
    from striate.lessons.checking import check

    if chosen is None:
        raise UsageError(
            f"--check {answer}: name the lesson too, such as striate learn convolution"
        )
    found = check(chosen, answer, seed=given["seed"], language=given["language"])
    emit(found.as_dict(), found.as_text(), json=given["json"])
    return 0 if found.right else 1


def _grade(folder: Path, chosen: "Lesson | None", csv: Path | None, given: dict[str, Any]) -> int:
    from striate.lessons.grading import grade
    from striate.workbench import progress

    with progress.display() as bars:
        found = grade(
            folder,
            chosen,
            seed=given["seed"],
            language=given["language"],
            progress=lambda done, total: bars.bar("grading", done, total),
        )
    if csv is not None:
        with writing(csv, "--csv"):
            found.save(csv)
    emit(found.as_dict(), found.as_text(), json=given["json"])
    return 0


def _notebooks(folder: Path, chosen: "Lesson | None", given: dict[str, Any]) -> int:
    from striate.lessons import every
    from striate.lessons.notebooks import write

    with writing(folder, "--notebooks"):
        files = write([chosen] if chosen else every(), folder, given["language"])
    text = "\n".join(map(str, files))
    emit({"files": list(map(str, files))}, text, json=given["json"])
    return 0
