"""What a training shows on a terminal: rows in fixed columns, a bar with the loss, nothing that is broken in two."""

import io
import math
import re

import pytest
from rich.console import Console

import terminal
from striate.text import rough, wide, wrapped
from striate.training.epoch_table import EpochTable, loss_words
from striate.workbench.progress import bar_line, draw

ROW = {
    "epoch": 1, "lr": 0.1, "train_loss": 2.25, "val_loss": 2.125, "val_accuracy": 0.5, "val_f1": 0.25,
    "items_per_second": 6107.2,
}  # fmt: skip


def table(rows=1, *, width=60, row=ROW, left=12.0, noun="pictures", epochs=20):
    made = EpochTable(noun, "val", epochs, width)
    return [line for i in range(rows) for line in made.lines({**row, "epoch": i + 1}, left)]


def test_rows_stand_below_their_heading():
    assert table(2) == [
        "               train      val        val  pictures      time",
        "epoch           loss     loss   accuracy  a second      left",
        "epoch 1/20    2.2500   2.1250     50.0\xa0%     6,107      12 s",
        "epoch 2/20    2.2500   2.1250     50.0\xa0%     6,107      12 s",
    ]


@pytest.mark.parametrize(
    "score", ["val_accuracy", "val_average_precision", "val_boundary_f1", "val_mae@12"]
)
@pytest.mark.parametrize("epochs", [0, 30, 1000])
@pytest.mark.parametrize("noun", ["pictures", "windows", "volumes"])
@pytest.mark.parametrize("left", [0.2, 119, 7199, 1e5, 1e7, 1e12])
def test_no_row_is_wider_than_sixty_columns(score, epochs, noun, left):
    row = {
        "epoch": 1,
        "train_loss": 1e7,
        "val_loss": 0.001,
        score: 0.999996,
        "items_per_second": 123_456.0,
    }
    found = table(26, row=row, epochs=epochs, noun=noun, left=left)
    assert max(map(wide, found)) <= 60
    assert len(set(map(wide, found))) == 1


def test_a_heading_comes_again_after_25_rows():
    found = table(26)
    assert [i for i, line in enumerate(found) if "accuracy" in line] == [1, 28]


@pytest.mark.parametrize(
    ("width", "words"),
    [(60, "train loss val loss accuracy a second left"), (48, "loss loss accuracy left"), (30, "loss accuracy"), (18, "accuracy")],
)  # fmt: skip
def test_a_narrow_terminal_shows_the_epoch_and_the_score_last(width, words):
    under = table(width=width)[1].split()
    assert under[0] == "epoch"
    assert table(width=width)[2].startswith("epoch 1/20" if width > 20 else "1/20")
    assert "50.0\xa0%" in table(width=width)[2]
    assert set(words.split()) >= set(under[1:])
    assert max(map(wide, table(width=width))) <= width


def test_a_training_without_a_score_and_a_probe():
    row = {"epoch": 0, "train_loss": math.nan, "val_loss": math.inf}
    made = EpochTable("series", "test")
    over, under, said = made.lines(row, 0.0)
    assert over.split() == ["train", "test", "time"]
    assert under.split() == ["epoch", "loss", "loss", "left"]
    assert said.split() == ["probe", "-", "inf", "0", "s"]


def test_losses_and_times_stay_short():
    assert [loss_words(x) for x in (0.5, -2.0, 1e9, math.nan)] == [
        "0.5000",
        "-2.0000",
        "1e+09",
        "-",
    ]
    assert [rough(x) for x in (0, 120, 121, 7201, 2e5, 1e9)] == [
        "1 s",
        "120 s",
        "2 min",
        "2.0 h",
        "2.3 days",
        "years",
    ]


@pytest.mark.parametrize("width", [1, 10, 20, 40, 60, 120])
@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 0.999, 1.0, 7.0])
def test_a_bar_fits_its_terminal(width, share):
    line = bar_line("decoding train", share, "loss 0.1234  119 min left", width)
    assert wide(line) <= width
    if width >= 60:
        assert line.count("#") + line.count(".") - line.count("0.1234") >= 4
        assert ("100 %" in line) == (share >= 1)
        assert line.endswith("left")


def written(width, act):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)
    with draw(console) as progress:
        act(progress)
    return terminal.lines(file.getvalue())


def test_the_loss_stands_beside_the_bar():
    def act(progress):
        progress.note("loss 1.2345  12 s left")
        progress.bar("training", 1, 4)

    (line,) = set(written(60, act))
    assert line.startswith("training ")
    assert line.endswith(" 25 %  loss 1.2345  12 s left")


def test_a_path_is_never_cut_and_a_sentence_breaks_between_words():
    path = f"/home/{'long' * 20}/report.html"
    found = written(30, lambda progress: progress.say(f"report: {path}"))
    assert path in "\n".join(found)
    assert wrapped("one two three", 8) == "one two\n  three"
    assert wrapped("one", 2) == "one"


@pytest.mark.parametrize("name", ["[red]bold[/red]", "猫猫猫猫", "a\\u202eb", ""])
def test_names_are_no_markup(name):
    found = written(20, lambda progress: progress.say(f"note: {name} is rare"))
    assert "".join(name.split()) in "".join("".join(found).split())
    assert max(map(wide, found)) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 120, 20])
def test_a_training_on_a_real_terminal(columns, tmp_path):
    code, found = terminal.run(
        columns, "train", "digits", "net=linear", "epochs=2", "--out", tmp_path, "plan=auto"
    )  # fmt: skip
    assert code == 0
    rows = [line for line in found if re.match(r"epoch \d/2 ", line)]
    assert len(rows) == 2
    assert max(wide(line) for line in rows) <= columns
    bars = [line for line in found if line.startswith(("training", "decoding", "timing"))]
    assert any(line.startswith("timing plans") for line in bars)
    assert max(map(wide, bars)) < columns
    if columns >= 60:
        assert any("loss " in line for line in bars)
    assert found[-1] == f"open {(tmp_path / 'classify' / 'digits-linear' / 'report.html').as_uri()}"
