"""The report page: true numbers, nothing from outside, hostile names as text, whole on a phone."""

import base64
import html
import io
import math
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report_pages import (
    HOSTILE,
    PICTURE,
    answered,
    content,
    evidence,
    full,
    interval,
    net,
    per_class,
    scored,
)
from striate import see, svg
from striate import text as formats
from striate.metrics import Interval
from striate.runs.folder import write_text
from striate.tasks import Headline, Measure, Section, by_class
from striate.tasks.classify import Classify
from striate.tasks.instances import Instances
from striate.tasks.section import (
    Bar,
    Beside,
    Branch,
    Code,
    Column,
    Facts,
    Figure,
    Fold,
    Gallery,
    Legend,
    Links,
    Listing,
    Scale,
    Shares,
    Table,
    Text,
    Tile,
    Tree,
)
from striate.workbench.report import drawn, outcome
from striate.workbench.report.page import render
from striate.workbench.report.verdict import judged


def words(text: str) -> str:
    """What a reader sees: no markup, plain spaces."""
    body = re.sub(r"<(style|title)>.*?</\1>", " ", text.split("<body>")[1], flags=re.DOTALL)
    plain = html.unescape(re.sub(r"<[^>]+>", " ", body))
    return re.sub(r"\s+", " ", plain)


class Tags(HTMLParser):
    """Every element with its attributes, and whether each closes in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# ------------------------------------------------------------------------------------------ truth


def test_the_head_says_the_one_result():
    text = words(render(content(**answered(scored(10), noun="digits"))))
    assert "90.0 % of 100 held-out digits right 95 % interval 89.0 % to 91.0 %" in text
    assert "Always answering “class 0” would be right in 10.0 %." in text
    assert "The kept epoch was chosen by these same items" in text


def test_a_separate_test_split_leads():
    text = words(render(full()))
    assert "89.1 % of 2,500 test pictures right" in text
    assert "None of them had a say in the training or in the choice of the epoch." in text
    assert "flatters" not in text
    test = scored(10, {"accuracy": interval(0.8912)}, split="test", items=2500)
    led = answered(scored(10), test=test)["headline"]
    assert led.words == "of 2,500 test pictures right"
    assert led.meaning == ["Always answering “class 0” would be right in 10.0\xa0%."]
    assert text.index("Separate test 2,500 items") < text.index("Validation 100 items")


def test_an_interval_that_reaches_the_commonest_class_is_called_out():
    scores = {"accuracy": {"value": 0.15, "low": 0.08, "high": 0.22}}
    assert "10.0 %; the interval reaches down to that." in words(
        render(content(**answered(scored(10, scores))))
    )
    assert "the interval reaches" not in words(render(content()))


def test_numbers_are_those_of_the_content():
    text = words(render(full()))
    for said in (
        "AUROC 98.7 %",
        f"97.7 {formats.DASH} 99.7 %",
        "Loss 0.3456",
        f"0.3356 {formats.DASH} 0.3556",
        "truth class 0 , answered class 1 class 1 97.3 % class 0 (the truth) 2.1 %",
        "10 of 10 wrong answers among 2,500 test pictures, the most confident first.",
        "8 of 90 right answers, the least confident first.",
        "total 156 9.6 k MACs 624 B",
        "The net ran in bf16 in channels_last layout on cpu, not compiled: 1.31 times as fast",
        "as the plain default, outputs within 0.05 of the largest.",
        "3 0.03333 0.6667 83.3 % 0.7000 80.0 % 0.25 s",
        "2026-07-01 12:00 UTC",
        "striate evaluate runs/classify/lenet5",
        "12.5 s",
        "2 files were skipped",
    ):
        assert said in text


def test_an_interval_that_cannot_be_had_is_a_dash():
    alone = {"value": 0.25, "low": None, "high": None}
    text = words(render(content(scores={"auroc": alone, "loss": alone})))
    dash = f"{formats.DASH} "
    assert f"{formats.DASH} {formats.DASH}" not in text.partition("AUROC")[2].partition("Loss")[0]
    assert f"AUROC 25.0 % {dash}" in text
    assert f"Loss 0.2500 lower is better {dash}" in text


def test_what_is_shown_is_of_the_split_of_the_headline_and_the_other_is_folded():
    page_ = render(full())
    for heading in ("What is taken for what", "The worst mistakes", "How sure the answers are"):
        body = page_.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]
        first, said, other = body.partition("The same of the 100 validation pictures")
        assert said
        assert "<details><summary>" in first[-40:]
        assert len(other) > 500
    assert "2,500 test items." in words(page_)
    assert "The same of the" not in words(render(content()))


def test_the_verdict_stands_first_with_its_command_and_sets_the_size_of_the_result():
    page_ = render(full())
    text = words(page_)
    said = "Not trained to its end: the loss still fell by 50.0 % in the last of 3 epochs."
    assert text.index("89.1 % of 2,500") < text.index(said) < text.index("network lenet5")
    assert "striate train digits --net lenet5 epochs=10" in text
    assert "Fine-tuned from runs/classify/other: accuracy 50.0 % before (its first weights)" in text
    assert '<p class="result open">' in page_
    weak = replace(full(), verdict=judged(evidence(items=20)))
    assert '<p class="result weak">' in render(weak)
    good = replace(full(), verdict=judged(evidence(trained=None, losses=[], began=None)))
    assert '<p class="result good">' in render(good)


def test_links_to_sections_have_the_words_of_their_headings():
    page_ = render(full())
    assert re.findall(r'<a href="#[^"]*">([^<]*)</a>', page_) == re.findall(
        "<h2>([^<]*)</h2>", page_
    )


def test_settings_that_are_the_defaults_are_folded():
    page_ = render(full())
    body = page_.split('id="plan-and-recipe"')[1].split("</section>")[0]
    before, said, after = body.partition("<summary>The other 3 settings</summary>")
    assert said
    assert "<dt>lr</dt>" in before
    assert "<dt>net</dt>" not in before
    assert "<dt>net</dt>" in after


def test_layers_are_a_tree_with_short_sums_and_exact_figures():
    layer = {"op": "conv2d", "output": [6, 8, 8], "field": {"size": [5, 5]}}
    layers = [
        layer | {"path": "stem", "params": 156, "macs": 9600},
        layer | {"path": "stages.0.a", "params": 11_000_000, "macs": 333_000_000},
        layer | {"path": "stages.0.b", "params": 170_000, "macs": 1},
        layer | {"path": "", "op": "flatten", "params": 0, "macs": 0},
    ]
    totals = {"params": 11_170_156, "macs": 333_009_601}
    sheet = {"inputs": [[1, 8, 8]], "layers": layers, "totals": totals}
    page_ = render(content(sheet=sheet))
    text = words(page_)
    assert "total 11.2 M 333 M MACs 44.7 MB" in text
    assert f"stages 2 operations {formats.size([6, 8, 8])} 11.2 M 333 M MACs 44.7 MB" in text
    assert 'title="11,170,156 parameters"' in page_
    assert 'title="333,009,601 multiply-adds"' in page_
    assert 'title="44,680,624 bytes at 4 bytes a parameter"' in page_
    assert f'title="receptive field {formats.size([5, 5])}"' in page_
    assert "the net itself flatten" in text
    assert Tags(page_).open == []


def test_classes_are_counted_by_split():
    text = words(render(full(3, balance={"train": [40, 10, 20], "test": [5, 5, 0]})))
    assert (
        "class train share of the largest test share of the largest class 0 40 5 class 2 20 0"
        in text
    )
    assert "The largest class has 3 times the items of the smallest." in text


@pytest.mark.parametrize("task", [Classify, Instances])
def test_classes_of_pixels_are_no_classes_of_objects(task):
    names = ("background", "inside", "border")
    text = words(render(content(classes=names, classes_of=task.classes_of)))
    said = "classes of pixels" if task is Instances else "classes"
    assert f" {said} 3 background, inside, border " in text
    assert f" {said} background, inside, border " in text  # of the data
    assert ("classes of pixels" in text) == (task is Instances)


def test_the_best_epoch_is_marked_and_may_be_given():
    assert "epoch 3, kept" in words(render(content()))
    assert "epoch 2, kept" in words(render(content(best_epoch=2)))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, formats.DASH),
        ((), formats.DASH),
        (0, "0"),
        (False, "no"),
        ((28, 28), "28, 28"),
        ({"a": 1}, "a: 1"),
    ],
)
def test_setting(value, said):
    assert formats.setting(value) == said


def test_changed_settings_are_marked():
    text = render(full())
    assert re.search(r'<div class="changed"><dt>lr</dt>', text)
    assert len(re.findall(r'class="changed"', text)) == 1


def test_pictures_show_the_pixels():
    sources = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="truth', render(content()))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sources[0]))))
    assert np.array_equal(shown, np.arange(64).reshape(8, 8))


def test_kernel_tiles_show_the_weights():
    kernels = see.kernels(net())
    sources = re.findall(
        r'src="data:image/png;base64,([^"]+)" alt="kernel', render(content(kernels=kernels))
    )
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(s)))) for s in sources]
    assert np.array_equal(np.stack(shown), np.stack(kernels.tiles()))


def test_confusion_cells_carry_their_counts():
    svg, _ = by_class.confusion([[8, 2], [0, 10]], ["a", "b"])
    assert "truth a, answered b: 2 (20.0\xa0% of the row)" in svg
    assert "truth b, right: 10 (100.0\xa0% of the row)" in svg
    assert re.findall(r'<rect[^>]*class="((?:right|wrong)-[0-9]+)"><title>', svg) == [
        "right-9",
        "wrong-5",
        "right-10",
    ]
    sums = re.findall(r'class="mid sum">([0-9]+)<', svg)
    assert sums == ["10", "10", "8", "12", "20"]
    assert ">80\xa0%</text>" in svg


@pytest.mark.parametrize("share", [0.0, 1e-6, 0.01, 0.0101, 0.25, 0.5, 0.999, 1.0])
def test_colours_of_cells_are_one_scale(share):
    level = svg.level(share)
    assert level == math.ceil(10 * math.sqrt(share) - 1e-9)
    counts_ = [[1_000_000 - round(1e6 * share), round(1e6 * share)], [0, 1]]
    drawn_, _ = by_class.confusion(counts_, ["a", "b"])
    if share not in (0.0, 1.0):
        assert f'class="wrong-{level}"><title>' in drawn_


@pytest.mark.parametrize("dark", [False, True])
def test_counts_can_be_read_on_every_colour_of_a_cell(dark):
    found = svg.cells(dark=dark)
    assert len(found) == 2 * svg.LEVELS
    for name, (color, ink) in found.items():
        assert svg.contrast(color, ink) >= 4.5, name


def test_confusion_pixels_are_clear_without_items_and_strong_where_sure():
    pixels = by_class.confusion_pixels([[10, 0], [1, 99]])
    assert pixels[0, 0].tolist() == [*by_class.BLUE, 255]
    assert pixels[0, 1, 3] == 0
    assert pixels[1, 0, :3].tolist() == list(by_class.ORANGE)
    assert pixels[1, 0, 3] == round(255 * 0.1)


def test_worst_class_comes_first_and_empty_classes_last():
    rows = per_class(3)
    rows[1] |= {"recall": 0.2, "low": 0.1, "high": 0.4}
    rows[2] |= {"support": 0, "recall": 0.0, "low": 0.0, "high": 1.0}
    text = words(render(content(3, **answered(scored(3, rows=rows)))))
    table = text[text.index("Class by class") :]
    assert (
        table.index("class 1 10 20.0 %")
        < table.index("class 0 10 90.0 %")
        < table.index(f"class 2 0 {formats.DASH} no items held out {formats.DASH} {formats.DASH}")
    )


def test_classes_say_what_they_were_trained_on_and_weigh():
    shown = answered(
        scored(3), trained={f"class {i}": 1000 + i for i in range(3)}, weights=(1, 2, 0.5)
    )
    text = words(render(content(3, **shown)))
    assert "class trained on weight in the loss items recall" in text
    assert "class 1 1,001 2 10 90.0 %" in text


# ------------------------------------------------------------------------------------- hardness


EVERY = [
    Text(HOSTILE),
    Table(
        [
            Column(HOSTILE, kind)
            for kind in ("words", "name", "code", "wrong", "number", "share", "interval", "bar")
        ],
        [[HOSTILE] * 8, [*[None] * 6, Interval(0.5, 0.4, 0.6), 0.5]],
        title=HOSTILE,
        note=HOSTILE,
        caption=HOSTILE,
        total=[HOSTILE] * 8,
        first=1,
        rest=HOSTILE,
        tall=True,
    ),
    Figure(
        by_class.confusion([[1, 1], [0, 1]], [HOSTILE, "b"])[0],
        HOSTILE,
        HOSTILE,
        legend=Legend([(HOSTILE, "s1")]),
    ),
    Figure("", HOSTILE, picture=PICTURE, alt=HOSTILE),
    *(
        Gallery(
            [Tile(PICTURE, HOSTILE, [HOSTILE], HOSTILE, HOSTILE)], form, HOSTILE, [HOSTILE], HOSTILE
        )
        for form in ("cards", "row", "small", "channels")
    ),
    Legend([(HOSTILE, (1, 2, 3)), (HOSTILE, "sequential")]),
    Facts({HOSTILE: HOSTILE}, HOSTILE, HOSTILE, {HOSTILE}),
    Code([HOSTILE], HOSTILE),
    Listing([(HOSTILE, HOSTILE)]),
    Shares({HOSTILE: 1}),
    Scale(HOSTILE, HOSTILE, "grey"),
    Beside([Text(HOSTILE), [Text(HOSTILE)]]),
    Fold(HOSTILE, [Text(HOSTILE)], open=True),
    Gallery(
        [Tile(PICTURE, HOSTILE, code=HOSTILE, hint=HOSTILE, bars=[Bar(HOSTILE, 0.5, right=True)])]
    ),
    Gallery([Tile(PICTURE, alt=HOSTILE, wrong=True)], "strip", HOSTILE),
    Tree(
        [Column(HOSTILE)],
        [Branch(HOSTILE, [(HOSTILE, HOSTILE)], [Branch(HOSTILE, [(HOSTILE, "")])], HOSTILE)],
        Branch(HOSTILE, [(HOSTILE, HOSTILE)]),
    ),
    Links([(HOSTILE, "report.html")]),
]


def test_hostile_names_are_text():
    classes = [HOSTILE, "</style><script>alert(1)</script>"]
    rows = [row | {"label": c} for row, c in zip(per_class(2), classes, strict=True)]
    shown = answered(scored(2, rows=rows), name=HOSTILE, noun=HOSTILE, trained={HOSTILE: 3})
    shown["sections"] += [Section(HOSTILE, HOSTILE, EVERY), Section(HOSTILE)]
    hostile = full(
        2,
        title=HOSTILE,
        run=HOSTILE,
        created=HOSTILE,
        net=HOSTILE,
        command=HOSTILE,
        map_titles=[HOSTILE],
        notes=[HOSTILE],
        recipe={HOSTILE: HOSTILE},
        recipe_changed={HOSTILE},
        machine={HOSTILE: HOSTILE},
        measures={"accuracy": Measure(HOSTILE, HOSTILE)},
        curve_words={"loss": HOSTILE, "accuracy": HOSTILE},
        data={
            "path": HOSTILE,
            "splits": {HOSTILE: 1},
            "problems": [{"file": HOSTILE, "reason": HOSTILE}],
        },
        **shown,
    )
    allowed = {tag for tag, _ in Tags(render(full(2))).seen} | {"ul", "li", "h4", "tfoot"}
    text = render(hostile)
    found = Tags(text)
    assert found.open == []
    assert {tag for tag, _ in found.seen} <= allowed
    for tag, attributes in found.seen:
        assert not [name for name in attributes if name.startswith("on")], tag
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "49" not in words(render(content(2, title="{{ 7*7 }}")))
    assert "\\u202egpj.\\x00{{ 7*7 }}" in words(text)


def test_anchors_are_plain_and_none_is_there_twice():
    shown = [
        Section("Worst: a & b"),
        Section("Worst a b"),
        Section("\u202e"),
        Section(HOSTILE, name="x"),
    ]
    found = [section["anchor"] for section in drawn.sections(shown)]
    assert found == ["worst-a-b", "worst-a-b-2", "section", "x"]


def test_broken_unicode_and_endless_names_are_written(tmp_path):
    rows = [row | {"label": c} for row, c in zip(per_class(2), ("a", "b" * 10_000), strict=True)]
    shown = answered(scored(2, rows=rows), name="bad\udcff.png")
    write_text(tmp_path / "report.html", render(content(2, **shown)))
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "bad\\udcff.png" in text
    assert "b" * 700 not in text


@pytest.mark.parametrize("k", [2, 10, 100])
def test_nothing_comes_from_outside(k):
    text = render(full(k))
    bare = re.sub(r'src="data:[^"]*"', "", text).lower()
    assert not re.search(r"https?:|//[a-z]|@import|<script|<link|<iframe|javascript:", bare)
    assert all(found.startswith("data:image/") for found in re.findall(r'src="([^"]*)"', text))
    assert all(found.startswith("#") for found in re.findall(r'href="([^"]*)"', text))
    assert "url(" not in text
    assert (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
        in html.unescape(text)
    )


@pytest.mark.parametrize("k", [2, 3, 10, 26, 60, 61, 100])
def test_every_number_of_classes_gives_whole_markup_and_a_small_file(k):
    text = render(full(k))
    assert Tags(text).open == []
    assert len(text) < 400_000
    body = text.split("<h2>What is taken for what</h2>")[1]
    assert ("<svg viewBox" in body.split("<table>")[0]) == (k <= 60)
    for source in re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', text):
        Image.open(io.BytesIO(base64.b64decode(source))).load()


def test_anchors_lead_somewhere():
    for shown in (content(), full()):
        tags = Tags(render(shown)).seen
        ids = {a["id"] for _, a in tags if "id" in a}
        assert {(a["href"] or "")[1:] for tag, a in tags if tag == "a"} <= ids


def test_every_picture_has_words():
    tags = Tags(render(full())).seen
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    charts_ = [a for tag, a in tags if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in charts_)


@pytest.mark.parametrize(
    "changes",
    [
        {"history": []},
        {"history": [{"epoch": 1, "val_accuracy": None, "train_loss": math.nan, "lr": 0.0}]},
        {"history": [{"epoch": 1, "val_accuracy": 0.5, "train_loss": 0.0, "val_loss": 0.0}]},
        {"scores": {}},
        {"scores": {"accuracy": {"value": math.nan, "low": 0.0, "high": 1.0}}, "items": 0},
        {"scores": {"accuracy": {"value": None, "low": None, "high": None}}, "items": 0},
        {"sections": []},
        {"sections": [Section("Nothing", parts=[Table([], []), Gallery([]), Beside([])])]},
        {"classes": ()},
        answered(scored(10, confusion=[[0] * 10] * 10)),
        {"data": {}},
        {"seconds": None, "created": "yesterday"},
    ],
)
def test_parts_may_be_missing(changes):
    assert Tags(render(content(**changes))).open == []


def test_the_head_explains_an_interval_only_where_there_is_one():
    told = outcome.head(content())["meaning"]
    assert told[0].startswith("The interval covers the chance of which ")
    lone = {"accuracy": {"value": 0.9, "low": None, "high": None}}
    told = outcome.head(content(scores=lone, test=None))
    assert told["interval"].startswith("No interval can be had")
    assert told["meaning"][0] == "Pictures from another source may fare worse."


@pytest.mark.parametrize(("rows", "said"), [(60, True), (5, False)])
def test_a_table_that_scrolls_says_so(rows, said):
    history = [{"epoch": k + 1, "lr": 0.1, "train_loss": 1.0, "val_loss": 1.0} for k in range(rows)]
    assert (f"{rows} rows; the table scrolls." in render(content(history=history))) is said


def test_one_epoch_is_a_point():
    text = render(content(history=content().history[:1]))
    assert "polyline" not in text.split('id="scores"')[0]
    assert text.count('class="dot held"') >= 2
    assert "epoch 1: train 50.0 %, held-out 40.0 %" in html.unescape(text).replace("\xa0", " ")


def test_curves_are_of_the_main_score_of_parts_of_the_loss_and_of_other_scores():
    row = {"lr": 0.1, "train_loss": 2.0, "train_dice": 0.5, "train_focal": 1.5, "val_loss": 2.5}
    scores = {"val_dice": 0.8, "val_mae": 3.25, "val_miou": 0.4, "val_boundary_f1": 0.3}
    history = [{"epoch": e} | row | scores | {"seconds": 1.5} for e in (1.0, 2.0)]
    shown = content(
        history=history,
        best_epoch=2,
        counted=(),
        headline=Headline("miou", "of 6 pictures"),
        measures={"miou": Measure("Mean IoU", "overlap")},
        curve_words={"loss": "dice+focal, by epoch."},
    )
    page_ = render(shown)
    titles = re.findall(r"<h3><bdi>([^<]*)</bdi></h3>", page_.split('id="scores"')[0])
    assert titles == [
        "Loss",
        "Mean IoU",
        "Learning rate",
        "Parts of the training&#39;s loss",
        "Other scores",
        "mae",
    ]
    assert page_.count("dice by epoch") == 0  # its part of the loss is not beside the score
    text = words(page_)
    assert "dice+focal, by epoch. Lower is better." in text
    assert "Overlap, by epoch. At epoch 2: held-out 40.0 %." in text
    assert "epoch 2: dice 80.0 %, boundary_f1 30.0 %" in html.unescape(page_).replace("\xa0", " ")
    table = text[text.index("Table of epochs") :]
    head = "epoch learning rate train loss dice focal held-out loss held-out dice"
    assert table.startswith(f"Table of epochs {head} held-out mae held-out mean IoU")
    assert "2 0.1 2.0000 0.5000 1.5000 2.5000 80.0 % 3.2500 40.0 % 30.0 % 1.5 s" in table


def test_gaps_break_the_curve():
    axis = svg.Axis(0.0, 1.0, "{:g}".format)
    line = svg.Line("train", "train", [0.1, 0.2, None, 0.4, math.inf, 0.6, 0.7])
    assert svg.curves(range(1, 8), [line], axis, best=None, label="x").count("<polyline") == 2


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((8, 8, 1), "png"), ((300, 200, 3), "jpeg"), ((300, 200, 4), "png"), ((1, 900, 3), "jpeg")],
)
def test_pictures_become_thumbnails(shape, kind):
    tag = drawn.picture_tag(np.zeros(shape, np.uint8))
    assert tag["src"].startswith(f"data:image/{kind};base64,")
    assert max(tag["width"], tag["height"]) <= 192
    assert tag["pixelated"] == (max(shape[:2]) < 64 or shape[2] == 4)


# ------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.98888, "98.9 %"),
        (0.99996, "99.996 %"),
        (1.0, "100.0 %"),
        (1 - 1e-10, "100.0 %"),
        (0.99999999, "99.999999 %"),
        (math.nan, formats.DASH),
        (None, formats.DASH),
    ],
)
def test_percent(share, said):
    assert formats.plain(formats.percent(share)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (61706, "61,706"),
        (-3, "\u22123"),
        (0.1, "0.1"),
        (0.0005, "0.0005"),
        (0.00002, "0.00002"),
        (1e-9, "1e\u221209"),
    ],
)
def test_number(value, said):
    assert formats.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(156, "156"), (61_706, "61.7 k"), (999_600, "1 M"), (1_814_073_344, "1.81 G")],
)
def test_compact(value, said):
    assert formats.compact(value).replace("\xa0", " ") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(6.25, "6.25 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_duration(value, said):
    assert formats.duration(value).replace("\xa0", " ") == said


@pytest.mark.parametrize(
    ("span", "parts", "step"), [(0.9, 4, 0.5), (7, 4, 2.0), (1e-9, 4, 5e-10), (10, 10, 1.0)]
)
def test_round_step(span, parts, step):
    assert math.isclose(svg.round_step(span, parts), step)


# ---------------------------------------------------------------------------------- a browser

PHONE = """<!doctype html><body style="margin:0"><iframe id=f width=360 height=250000 style="border:0"></iframe>
<script>
const frame = document.getElementById("f");
frame.onload = () => {
  const page = frame.contentDocument.documentElement;
  frame.contentDocument.querySelectorAll("details").forEach(d => { d.open = true; });
  document.body.dataset.width = page.scrollWidth;
  document.body.dataset.sections = frame.contentDocument.querySelectorAll("section").length;
  document.body.dataset.broken = [...frame.contentDocument.images].filter(i => !i.naturalWidth).length;
};
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("PAGE"), c => c.charCodeAt(0)));
</script>"""


def chromium() -> str:
    found = next(
        (
            p
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (p := shutil.which(name))
        ),
        None,
    )
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium here: the browser test must run where CI is set")
    if found is None:
        pytest.skip("no Chromium here: install it to open the report in a browser")
    return found


def opened(path: Path, profile: Path) -> str:
    """The page's own markup after a browser has laid it out."""
    quiet = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-component-update",
    ]
    offline = [
        "--disable-background-networking",
        "--disable-sync",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]
    command = [chromium(), *quiet, *offline, f"--user-data-dir={profile}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.slow
def test_a_browser_shows_the_page(tmp_path):
    write_text(tmp_path / "report.html", render(full()))
    shown = opened(tmp_path / "report.html", tmp_path / "profile")
    assert "made by Striate" in shown
    assert shown.count("<section") == 11


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 26, 100])
def test_nothing_overflows_on_a_phone(tmp_path, k):
    rows = [
        row | {"label": f"{i} {'long name ' * 4}" + "x" * 60} for i, row in enumerate(per_class(k))
    ]
    shown = full(k, **answered(scored(k, rows=rows)), run="runs/" + "y" * 90, title="z" * 90)
    packed = base64.b64encode(render(shown).encode()).decode()
    (tmp_path / "phone.html").write_text(PHONE.replace("PAGE", packed))
    body = opened(tmp_path / "phone.html", tmp_path / "profile")
    facts = dict(re.findall(r'data-(\w+)="(\d+)"', body))
    # 15 pixels less where a bar to scroll by stands beside a long page.
    assert facts.pop("width") in ("360", "345")
    assert facts == {"sections": "11", "broken": "0"}


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#1f62ae", "#1f62ae", 1.0)],
)
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert svg.contrast(svg.rgb(one), svg.rgb(other)) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("paper", ["paper", "panel"])
def test_words_and_lines_stand_out_from_the_paper(dark, paper):
    ground = svg.rgb(svg.COLORS[paper][dark])
    least = {"ink": 7, "soft": 4.5, "held": 4.5} | dict.fromkeys(("train", "rate", *svg.SERIES), 3)
    for name, ratio in least.items():
        assert svg.contrast(svg.rgb(svg.COLORS[name][dark]), ground) >= ratio, name


@pytest.mark.parametrize("recall", [0.15, 0.4, 0.63, 0.85])
def test_middling_intervals_lie_inside_their_axis(recall):
    low, high = recall - 0.1, recall + 0.12
    axis = svg.share_axis([low, high])
    assert axis.low <= low
    assert axis.high >= high
    assert (100 * axis.high) % 1 == pytest.approx(0, abs=1e-6)
