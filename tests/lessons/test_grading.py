"""A folder of answers: a row each, whatever they do, and a CSV that a table program takes."""

import csv
import json

import pytest

from striate import cli
from striate.lessons import find, running
from striate.lessons.grading import HEADER, grade

GOOD = """
    import numpy as np

    def max_pool(x, size, stride):
        rows, columns = ((n - size) // stride + 1 for n in x.shape)
        return np.array([
            [x[i * stride:i * stride + size, j * stride:j * stride + size].max() for j in range(columns)]
            for i in range(rows)
        ])
"""
ANSWERS = {
    "anna.py": GOOD,
    "boris/answer.py": GOOD.replace(".max()", ".mean()"),
    "=cmd.py": GOOD + "\n    print('=1+1' * 100000)\n",
    "empty.py": "",
    "endless.py": "while True:\n    pass\n\ndef max_pool(x, size, stride):\n    return x\n",
    "exits.py": "def max_pool(x, size, stride):\n    raise SystemExit\n",
    "imports.py": "import turtles_all_the_way\n\ndef max_pool(x, size, stride):\n    return x\n",
    "not_python.py": "max_pool = = 3\n",
    "two.py": GOOD
    + "\n    def out_size(n, kernel, stride, padding, dilation):\n        return n\n",
    "notes.txt": "no answer",
    "__pycache__/old.py": "",
}
OUTCOMES = {
    "anna.py": "right",
    "boris/answer.py": "wrong",
    "=cmd.py": "right",
    "empty.py": "no_function",
    "endless.py": "endless",
    "exits.py": "exit",
    "imports.py": "raised",
    "not_python.py": "raised",
    "two.py": "right",
}


@pytest.fixture
def folder(tmp_path, answer, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 3)
    for name, text in ANSWERS.items():
        answer(text, f"answers/{name}")
    return tmp_path / "answers"


def test_every_answer_has_a_row_by_the_functions_that_it_defines(folder, tmp_path, capsys):
    assert (
        cli.main(
            [
                "learn",
                "--grade",
                str(folder),
                "--csv",
                str(tmp_path / "marks.csv"),
                "--seed",
                "5",
                "--json",
            ]
        )
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    rows = {(row["file"], row["function"]): row for row in document["rows"]}
    assert document["seed"] == 5
    assert {file: row["outcome"] for (file, f), row in rows.items() if f != "out_size"} == OUTCOMES
    assert rows["two.py", "out_size"]["outcome"] == "wrong"
    assert rows["boris/answer.py", "max_pool"]["mistakes"] == "average"
    assert rows["imports.py", "max_pool"]["imports"] == "turtles_all_the_way"
    assert "line 1" in rows["not_python.py", rows_of(rows, "not_python.py")]["said"]
    with (tmp_path / "marks.csv").open(newline="", encoding="utf-8") as file:
        header, *written = csv.reader(file)
    assert header == list(HEADER)
    assert len(written) == len(rows)
    assert not any(cell.startswith("=") for row in written for cell in row)
    assert all("\n" not in cell for row in written for cell in row)


def rows_of(rows, file):
    return next(function for name, function in rows if name == file)


def test_a_lesson_that_is_named_is_wanted_of_everyone(answer):
    path = answer("def something(): ...\n", "answers/none.py")
    found = grade(path.parent, find("max_pooling"))
    assert [row.verdict.outcome for row in found.rows] == ["no_function"]
    assert "max_pool" in found.as_text()
    assert "0 of 1 are right" in found.as_text()


def test_hidden_cases_follow_from_the_seed():
    exercise = find("max_pooling").exercises[0]
    first, again, other = (exercise.cases(seed) for seed in (1, 1, 2))
    assert all((a["x"] == b["x"]).all() for a, b in zip(first, again, strict=True))
    assert any((a["x"] != b["x"]).any() for a, b in zip(first, other, strict=True))


def test_an_answer_that_knows_the_visible_cases_by_heart_is_found_out(answer):
    exercise = find("max_pooling").exercises[0]
    known = [(case["x"].tolist(), exercise.right(case).tolist()) for case in exercise.cases(0)]
    path = answer(
        f"KNOWN = {known}\n\ndef max_pool(x, size, stride):\n    return next((b for a, b in KNOWN if a == x.tolist()), 0)\n",
        "answers/heart.py",
    )
    assert [row.verdict.outcome for row in grade(path.parent).rows] == ["right"]
    assert [row.verdict.outcome for row in grade(path.parent, seed=9).rows] == ["wrong"]


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert cli.main(["learn", "--grade", str(tmp_path)]) == 2
    assert "there is no .py file in it" in capsys.readouterr().err
