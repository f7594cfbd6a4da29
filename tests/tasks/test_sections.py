"""What tasks say of their answers in a report: the headline, tables, curves and pictures."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from striate.data.targets import IGNORE, Objects
from striate.metrics import Interval, Scores
from striate.metrics.segment import pixel_counts, pixel_scores
from striate.tasks import Item, Section
from striate.tasks.classify import Classify
from striate.tasks.detect import Detect, Found
from striate.tasks.pictures import LIMIT, shrunk, shrunk_mask
from striate.tasks.section import Beside, Figure, Gallery, Legend, Table, Text
from striate.tasks.segment import Segment
from striate.workbench.report import drawn
from striate.workbench.report.content import Content
from striate.workbench.report.page import render


@dataclass
class Answers:
    """Answers to pictures, as a run holds them."""

    task: Any
    pictures: list[Any]
    answers: list[Any]
    truths: list[Any]
    trained: dict[str, int] = field(default_factory=dict)
    noun: str = "pictures"

    def __post_init__(self):
        self.meter = self.task.meter(whole=True)
        self.meter.add(self.answers, self.truths)
        pairs = zip(self.answers, self.truths, strict=True)
        self.rows = [self.task.item_scores(*pair) for pair in pairs]
        self.names = [f"{i}.png" for i in range(len(self.rows))]
        self.asked = []

    @property
    def scores(self):
        meter, n = self.meter, len(self.rows)
        return Scores("run", "data", "val", n, meter.scores(), meter.per_class(), meter.confusion())

    def items(self, numbers):
        self.asked += numbers
        return [
            Item(self.names[i], self.pictures[i], self.truths[i], self.answers[i], self.rows[i])
            for i in numbers
        ]


def found(sections: list[Section], kind: type) -> list[Any]:
    """All parts of a kind, those within others too."""

    def inside(part):
        yield part
        for column in part.columns if isinstance(part, Beside) else ():
            for each in column if isinstance(column, list) else [column]:
                yield from inside(each)

    whole = [part for section in sections for each in section.parts for part in inside(each)]
    return [part for part in whole if isinstance(part, kind)]


def column(table: Table, title: str) -> list[Any]:
    place = [head.title for head in table.columns].index(title)
    return [row[place] for row in table.rows]


def page(task: Any, held: Answers) -> str:
    return render(
        Content(
            title="net on data",
            run="runs/net",
            created="2026-07-01T12:00:00+00:00",
            net="net",
            command="striate train data",
            data={},
            history=[],
            held_out="val",
            items=len(held.rows),
            scores=held.scores.as_dict()["scores"],
            headline=task.headline(held, "4 held-out pictures"),
            measures=task.measures,
            classes=task.classes,
            sections=task.sections(held),
        )
    )


# ------------------------------------------------------------------------------------ segmentation


def masks(count: int = 4, side: int = 40, wrong: int = 3) -> Answers:
    """Pictures of which number i has (i + 1) * wrong rows of wrong pixels; the last column counts nowhere."""
    rng = np.random.default_rng(0)
    truths = [rng.integers(0, 2, (side, side), np.uint8) for _ in range(count)]
    answers = [t.copy() for t in truths]
    for i, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        answer[: (i + 1) * wrong] = 1 - answer[: (i + 1) * wrong]
        truth[:, -1] = IGNORE
    pictures = [rng.integers(0, 255, (side, side, 3), np.uint8) for _ in range(count)]
    return Answers(Segment(("cell", "membrane")), pictures, answers, truths)


def test_the_worst_pictures_come_first_with_truth_answer_and_difference():
    held = masks()
    sections = held.task.sections(held)
    strips = found(sections, Gallery)
    assert [strip.title for strip in strips] == ["3.png", "2.png", "1.png", "0.png"]
    views = strips[0].tiles
    assert [view.title for view in views[:3]] == ["picture", "truth", "answer"]
    assert views[3].title == "differs in 30.0\xa0% of the pixels"  # 12 of 40 rows
    assert np.array_equal(views[0].picture, held.pictures[3])
    red = (views[3].picture == (214, 40, 40)).all(2)
    assert red[:12, :-1].all()
    assert not red[12:].any()
    assert not red[:, -1].any()  # what counts nowhere is not wrong
    assert [name for name, _ in found(sections, Legend)[0].entries] == ["cell", "membrane"]


def test_classes_of_masks_have_their_intervals_and_shares():
    held = masks(12)
    (table,) = found(held.task.sections(held), Table)
    rows = {row["label"]: row for row in held.scores.per_class}
    order = column(table, "class")
    assert [rows[name]["iou"] for name in order] == sorted(row["iou"] for row in rows.values())
    for name, interval in zip(order, column(table, "95 % interval"), strict=True):
        row = rows[name]
        assert interval.known
        assert interval == Interval(row["iou"], row["low"], row["high"])
    assert sum(column(table, "of the pixels")) == pytest.approx(1)


def test_the_constant_mask_is_scored_as_the_meter_does():
    held = masks()
    headline = held.task.headline(held, "4 held-out pictures")
    assert (headline.score, headline.words) == ("miou", "Mean IoU of 4 held-out pictures")
    best = max(
        pixel_scores(
            np.sum([pixel_counts(np.full_like(t, k), t, 2, ignore=IGNORE) for t in held.truths], 0)
        )["miou"]
        for k in range(2)
    )
    (said,) = headline.meaning
    assert f"everywhere would score {100 * best:.1f}\xa0%" in said


def test_a_report_of_large_pictures_stays_small():
    held = masks(count=14, side=512, wrong=30)
    smooth = np.sin(np.arange(512) / 20)[:, None, None] * np.cos(np.arange(512) / 30)[:, None]
    grain = np.random.default_rng(1).normal(0, 60, (14, 512, 512, 1))
    held.pictures = list(np.clip(128 + 60 * smooth + grain, 0, 255).astype(np.uint8))
    blocks = np.kron(np.random.default_rng(2).integers(0, 2, (16, 16)), np.ones((32, 32)))
    for each in (*held.truths, *held.answers):
        each[:] = np.roll(blocks, len(each) // 7, 1)
    text = page(held.task, held)
    assert text.count('<div class="views">') == 12
    assert len(held.asked) == 12
    assert len(text) < 3_000_000
    strips = found(held.task.sections(held), Gallery)
    assert {max(tile.picture.shape) for strip in strips for tile in strip.tiles} == {LIMIT}


@pytest.mark.parametrize(("shape", "to"), [((720, 512), (360, 256)), ((5, 3600), (1, 360))])
def test_pictures_and_masks_shrink_alike(shape, to):
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2] = 255
    assert shrunk(np.repeat(mask[..., None], 3, 2)).shape == (*to, 3)
    assert shrunk(mask[..., None]).shape == (*to, 1)
    assert shrunk_mask(mask).shape == to
    assert set(np.unique(shrunk_mask(mask)).tolist()) <= {0, 255}
    assert shrunk_mask(mask[:4, :4]).shape == (4, 4)


# --------------------------------------------------------------------------------------- detection


def boxes(*rows: tuple[float, ...]) -> Found:
    """x0, y0, x1, y1, class, confidence."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4].astype(np.int64), table[:, 5], (40, 40))


def detected() -> Answers:
    """A right box; one of a wrong class and a box where there is nothing; a box missed; nothing there and nothing said."""
    there = np.array([[0, 0, 20, 20]], np.float32)
    none = np.zeros((0, 4), np.float32)
    truths = [
        Objects(at, np.array([label] * len(at), np.int64), np.zeros(len(at), bool))
        for at, label in ((there, 0), (there, 1), (there, 0), (none, 0))
    ]
    answers = [
        boxes((0, 0, 20, 20, 0, 0.9)),
        boxes((0, 0, 20, 20, 0, 0.8), (25, 25, 40, 40, 1, 0.7), (0, 20, 9, 40, 1, 0.1)),
        boxes(),
        boxes(),
    ]
    picture = np.full((40, 40, 3), 200, np.uint8)
    return Answers(Detect(("cat", "dog")), [picture] * 4, answers, truths, {"cat": 7, "dog": 9})


def test_boxes_are_confused_with_each_other_and_with_the_background():
    held = detected()
    sections = held.task.sections(held)
    assert [section.name for section in sections] == ["Classes", "Confusion", "Worst"]
    pairs = next(t for t in found(sections, Table) if t.caption)
    rows = {tuple(map(str, row[:2])): row[2] for row in pairs.rows}
    assert rows == {("dog", "cat"): 1, ("background", "dog"): 1, ("cat", "background"): 1}
    figure = next(f for f in found(sections, Figure) if "Rows are the truth" in f.caption)
    assert "truth background, answered dog: 1 (100.0 % of the row)" in figure.svg


def test_classes_of_boxes_have_precision_over_recall():
    held = detected()
    sections = held.task.sections(held)
    table = next(t for t in found(sections, Table) if not t.caption)
    assert column(table, "class") == ["dog", "cat"]
    assert column(table, "trained on") == [9, 7]
    assert column(table, "missed") == [1, 1]
    assert column(table, "recall") == [0, 0.5]
    curves = [f for f in found(sections, Figure) if f.caption.startswith("AP50")]
    assert [f.title for f in curves] == ["cat", "dog"]  # two boxes, one box
    assert "precision over recall of cat" in curves[0].svg
    points = curves[0].svg.split('points="')[1].split('"')[0].split()
    xs = [float(point.split(",")[0]) for point in points]
    assert all(a <= b for a, b in pairwise(xs))


def test_a_picture_without_boxes_has_no_score_and_comes_last():
    held = detected()
    assert held.rows[3] == {}
    strips = found(held.task.sections(held), Gallery)
    assert [strip.title for strip in strips][-2:] == ["0.png", "3.png"]
    assert [tile.lines for tile in strips[0].tiles] == [
        ["1 box"],
        ["2 boxes"],
    ]  # the unsure one left out
    assert strips[-1].lines == ["no boxes, none found"]


def test_boxes_are_drawn_in_the_size_that_is_shown():
    held = detected()
    held.pictures = [np.full((720, 720, 3), 200, np.uint8)] * 4
    held.truths[0] = held.truths[0]._replace(boxes=np.array([[0, 0, 360, 360]], np.float32))
    strips = {strip.title: strip for strip in found(held.task.sections(held), Gallery)}
    drawing = strips["0.png"].tiles[0].picture
    assert drawing.shape == (LIMIT, LIMIT, 3)
    marked = np.argwhere((drawing != 200).any(2))
    assert marked.max(0).tolist() == [179, 179]


@pytest.mark.parametrize("made", [masks, detected])
def test_a_page_is_made_of_them(made):
    held = made()
    text = page(held.task, held)
    assert "The worst pictures" in text
    assert text.count("<section") == 1 + len(held.task.sections(held)) + 2  # scores; data, use
    assert all(section["anchor"] for section in drawn.sections(held.task.sections(held)))
    assert any(isinstance(part, Text) for part in held.task.sections(held)[0].parts)


def test_what_is_counted_in_training_is_named():
    task = Classify(("a", "b"))
    found = task.counts(torch.eye(2), torch.tensor([0, 1]))
    assert tuple(found) == task.counted
