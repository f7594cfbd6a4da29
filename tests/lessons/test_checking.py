"""Wrong answers are told apart: each usual mistake is named, the wrong cell is shown, and what runs away is ended."""

import time

import numpy as np
import pytest

from striate import cli, lessons
from striate.lessons import checking, running
from striate.lessons.running import Answers

EXERCISES = [(one.name, e) for one in lessons.every() for e in one.exercises]
MISTAKES = [(name, e, i) for name, e in EXERCISES for i in range(len(e.mistakes))]


def ids(case):
    _, exercise, *number = case
    return "-".join([exercise.function, *(f"{exercise.mistakes[i].name}-{i}" for i in number)])


@pytest.fixture
def checked(capsys):
    """Check a file by the command: status and what is printed."""

    def run(lesson, path, *words):
        code = cli.main(["learn", lesson, "--check", str(path), *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.mark.parametrize("case", EXERCISES, ids=ids)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_true_operation_is_right(case, seed):
    name, exercise = case
    cases = exercise.cases(seed)
    found = checking.judged(name, exercise, cases, Answers(tuple(map(exercise.right, cases))))
    assert (found.outcome, found.right) == ("right", len(cases))
    assert [len(each) for each in cases] == [len(exercise.parameters)] * len(cases)


@pytest.mark.parametrize("case", MISTAKES, ids=ids)
@pytest.mark.parametrize("seed", [0, 7])
def test_each_usual_mistake_is_named(case, seed):
    name, exercise, number = case
    mistake = exercise.mistakes[number]
    cases = exercise.cases(seed)
    wrong = [exercise.wrong((mistake,), each) for each in cases]
    # Where the mistake cannot be made, one who makes it elsewhere is right.
    answers = [exercise.right(c) if w is None else w for w, c in zip(wrong, cases, strict=True)]
    found = checking.judged(name, exercise, cases, Answers(tuple(answers)))
    assert found.outcome == "wrong"
    assert found.mistakes == (mistake.name,)


@pytest.mark.parametrize(
    ("function", "two"),
    [("padded_conv", ("padding_more", "flipped")), ("strided_conv", ("stride_swapped", "flipped"))],
)
def test_two_mistakes_at_once_are_both_named(function, two):
    name, exercise = next(each for each in EXERCISES if each[1].function == function)
    made = [next(m for m in exercise.mistakes if m.name == each) for each in two]
    cases = exercise.cases()
    answers = [found for each in cases if (found := exercise.wrong(made, each)) is not None]
    assert len(answers) == len(cases)
    assert set(checking.judged(name, exercise, cases, Answers(tuple(answers))).mistakes) == set(two)


@pytest.mark.parametrize("case", EXERCISES, ids=ids)
def test_an_unusual_answer_is_called_none_of_them(case):
    name, exercise = case
    cases = exercise.cases()
    answers = [exercise.right(each) * 3.7 + 0.21 for each in cases]
    found = checking.judged(name, exercise, cases, Answers(tuple(answers)))
    assert found.mistakes == ()
    assert "None of the usual mistakes" in found.said


@pytest.mark.parametrize("case", EXERCISES, ids=ids)
def test_nothing_that_is_no_number_is_right(case):
    name, exercise = case
    cases = exercise.cases()
    answers = [exercise.right(each) * float("nan") for each in cases]
    assert checking.judged(name, exercise, cases, Answers(tuple(answers))).outcome == "wrong"


PADDED = """
    import numpy as np

    def padded_conv(x, w, padding):
        x = np.pad(x, {padding})
        {before}
        h, k = w.shape
        rows, columns = x.shape[0] - h + 1, x.shape[1] - k + 1
        return np.array([[(x[i:i + h, j:j + k] * w).sum() for j in range(columns)] for i in range(rows)])
"""


@pytest.mark.parametrize(
    ("padding", "before", "said"),
    [
        ("padding", "", "right in all 4 cases"),
        ("padding + 1", "", "off by one: one cell of padding too many on every side"),
        ("max(padding - 1, 0)", "", "one cell of padding too few"),
        ("padding", "w = w[::-1, ::-1]", "the kernel is flipped (turned by 180 degrees)"),
        ("((padding, 0), (padding, 0))", "", "the padding is added on one side only"),
    ],
)
def test_a_students_file_is_checked(answer, checked, padding, before, said):
    code, text = checked("padding", answer(PADDED.format(padding=padding, before=before)))
    assert said in " ".join(text.split())
    assert code == (0 if "right in all" in said else 1)


def test_the_window_of_the_first_wrong_cell_is_shown(answer, checked):
    text = PADDED.format(padding="padding", before="w = w.T if w.shape[0] == w.shape[1] else w")
    code, said = checked("padding", answer(text))
    assert code == 1
    assert "Wrong cells:" in said
    assert "The first is at (" in said
    assert "0p" in said, "cells of the padding are marked"
    assert "rows and columns of the kernel are exchanged" in said


def test_stride_on_the_wrong_axis_is_named_in_russian(answer, checked):
    path = answer("""
        import torch
        import torch.nn.functional as F

        def strided_conv(x, w, stride):
            x, w = (torch.from_numpy(each)[None, None] for each in (x, w))
            return F.conv2d(x, w, stride=(stride[1], stride[0]))[0, 0]
    """)
    code, said = checked("stride", path, "--language", "ru")
    assert code == 1
    assert "шаг применён не к той оси" in " ".join(said.split())


ENDS = {
    "raised": ("def max_pool(x, size, stride):\n    return x[100, 100]\n", "line 2: IndexError"),
    "exit": ("import sys\ndef max_pool(x, size, stride):\n    sys.exit(3)\n", "exit(3)"),
    "died": ("import os\ndef max_pool(x, size, stride):\n    os._exit(9)\n", "status 9"),
    "memory": (
        "import numpy as np\ndef max_pool(x, size, stride):\n    return np.ones(2**28)\n",
        "more than 1 GB",
    ),
    "nothing": ("def max_pool(x, size, stride):\n    x.max()\n", "returned nothing"),
    "no_numbers": ("def max_pool(x, size, stride):\n    return 'x'\n", "It returned str"),
    "too_many": (
        "import numpy as np\ndef max_pool(x, size, stride):\n    return np.ones((1001, 1000))\n",
        "far more",
    ),
    "input": ("def max_pool(x, size, stride):\n    return input()\n", "EOFError"),
    "import": (
        "import nothing_like_it\ndef max_pool(x, size, stride):\n    return x\n",
        "ModuleNotFoundError",
    ),
    "syntax": ("def max_pool(x, size, stride)\n    return x\n", "line 1"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_what_goes_wrong_in_an_answer_is_said_in_a_line(answer, checked, kind):
    text, said = ENDS[kind]
    code, found = checked("max_pooling", answer(text))
    assert code == 1
    assert said in found
    assert "Traceback" not in found


def test_an_endless_loop_is_ended(answer, checked, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 2)
    path = answer("def max_pool(x, size, stride):\n    while True:\n        print('x' * 1000)\n")
    code, found = checked("max_pooling", path)
    assert code == 1
    assert "It did not end within" in found


@pytest.mark.slow
def test_a_child_that_an_answer_starts_is_ended_too(answer, tmp_path):
    sign = tmp_path / "sign"
    path = answer(f"""
        import subprocess, sys
        def max_pool(x, size, stride):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(8); open({str(sign)!r}, 'w')"])
            return x
    """)
    lessons_pool = lessons.find("max_pooling").exercises[0]
    running.run(path, "max_pool", lessons_pool.cases())
    time.sleep(9)
    assert not sign.exists()


def test_torch_can_be_imported_within_the_limits(answer, checked):
    path = answer("""
        import torch.nn.functional as F
        import torch

        def max_pool(x, size, stride):
            return F.max_pool2d(torch.from_numpy(x)[None], size, stride)[0]
    """)
    assert checked("max_pooling", path)[0] == 0


def test_an_answer_cannot_change_the_cases_of_the_next(answer, checked):
    path = answer("""
        import numpy as np
        def max_pool(x, size, stride):
            h, w = ((n - size) // stride + 1 for n in x.shape)
            out = np.array([[x[i*stride:i*stride+size, j*stride:j*stride+size].max() for j in range(w)] for i in range(h)])
            x[:] = 0
            return out
    """)
    assert checked("max_pooling", path)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learn", "--check", "x.py"], "name the lesson too"),
        (["learn", "padding", "--check", "x.py"], "x.py: no such file"),
        (["learn", "alexnet", "--check", "x.py"], "has no exercises"),
        (["learn", "padding", "--csv", "x.csv"], "--csv goes with --grade"),
        (["learn", "padding", "--seed", "3"], "--seed goes with"),
        (["learn", "padding", "--language", "de"], "language 'de'"),
        (["learn", "paddin"], "did you mean padding"),
        (["learn", "--grade", "nowhere"], "no such folder"),
        (["learn", "--grade", "a", "--check", "b"], "are two things"),
    ],
)
def test_wrong_words_end_in_a_line(capsys, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_file_without_the_function_says_how_it_begins(answer, checked):
    code, said = checked("padding", answer("def convolve_padded(x):\n    return x\n"))
    assert code == 2
    assert "def padded_conv(x, w, padding):" in said


def test_sizes_that_differ_by_nothing_but_an_axis_are_told(answer, checked):
    path = answer("def max_pool(x, size, stride):\n    return x[None]\n")
    assert "The answer has the size 1x4x6, expected 2x3" in checked("max_pooling", path)[1]


def test_rounding_is_no_mistake():
    true = np.array([1000.0, 1e-9])
    assert checking.equal(true * (1 + 1e-6), true)
    assert not checking.equal(true + 1, true)
