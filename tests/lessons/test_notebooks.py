"""Lessons as notebooks: those in docs/lessons are fresh, and their cells run."""

import ast
import json
from pathlib import Path

import pytest

from lesson_steps import shown
from striate import cli, lessons
from striate.lessons.lesson import source
from striate.lessons.notebooks import notebook, setup

KEPT = Path(__file__).resolve().parents[2] / "docs" / "lessons"
AGAIN = "write them again: striate learn NAME --notebooks docs/lessons"


def sources(content):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in content["cells"]]


def run_cells(texts):
    """What every cell of code gives, all in one namespace, as a notebook would."""
    namespace, found = {"__name__": "__main__"}, []
    for text in texts:
        *lines, last = ast.parse(text).body
        exec(compile(ast.Module(lines, []), "cell", "exec"), namespace)  # noqa: S102 - our own
        if isinstance(last, ast.Expr):
            value = compile(ast.Expression(last.value), "cell", "eval")
            found.append(eval(value, namespace))  # noqa: S307 - our own cells
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), namespace)  # noqa: S102 - our own
    return found


@pytest.mark.parametrize("name", ["convolution", "max_pooling"])
def test_the_notebooks_of_the_lecture_are_fresh(name):
    kept = json.loads((KEPT / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert sources(kept) == sources(notebook(lessons.find(name))), AGAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", lessons.NAMES)
def test_the_cells_of_every_lesson_run_by_themselves(name):
    lesson = lessons.find(name)
    found = run_cells([setup(lesson), *map(source, lesson.steps)])
    assert [each.as_text() for each in found] == [each.as_text() for each in shown(name).values()]


def test_a_notebook_is_in_the_format_of_jupyter():
    content = notebook(lessons.find("stride"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    cells = content["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert all(set(cell) >= {"cell_type", "metadata", "source"} for cell in cells)
    assert [c["outputs"] != [] for c in cells if c["cell_type"] == "code"] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_step_in_another_language_is_worded_so():
    cells = sources(notebook(lessons.find("stride"), "ru"))
    assert cells[0] == ("markdown", "# Шаг")
    data = notebook(lessons.find("stride"), "ru")["cells"][3]["outputs"][0]["data"]
    assert "шаг 1" in "".join(data["text/plain"])


def test_the_first_cell_brings_what_the_others_use():
    for name in (
        "losses",
        "convolution",
        "max_pooling",
    ):  # names of a step's own are none of the file's
        assert f"from striate.lessons.course.{name} import" not in setup(lessons.find(name))
    assert "from striate.lessons.course.fine_tuning import SETTINGS, frozen, learned" in setup(
        lessons.find("fine_tuning")
    )


def test_notebooks_are_written_by_the_command(tmp_path, capsys):
    assert cli.main(["learn", "padding", "--notebooks", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / "padding.ipynb")]
    json.loads((tmp_path / "new" / "padding.ipynb").read_text(encoding="utf-8"))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, capsys):
    (tmp_path / "x").write_text("")
    assert cli.main(["learn", "padding", "--notebooks", str(tmp_path / "x")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convolution", "max_pooling"])
def test_jupyter_runs_the_notebooks(name):
    client = pytest.importorskip("nbclient", reason="pip install 'striate[learn]'")
    nbformat = pytest.importorskip("nbformat")
    content = nbformat.read(KEPT / f"{name}.ipynb", as_version=4)
    nbformat.validate(content)
    client.NotebookClient(content, timeout=120).execute()
