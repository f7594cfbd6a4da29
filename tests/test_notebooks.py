"""What a notebook and an interpreter show of results: one line, and markup in the colours of the theme around it."""

import html
import re

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.measuring import Comparison
from striate.metrics import Interval, Scores
from striate.result import contained, html_table, picture_tag, text_table, tile
from striate.runs.run_html import confusion
from striate.text import wide

NAMES = ["<b>x</b>", "猫猫", "a\u202eb", "long" * 40, "tab\there"]


def well_formed(markup):
    """Whether every element that opens is closed, in order."""
    stack = []
    for close, name, void in re.findall(r"<(/?)([a-zA-Z][\w-]*)(?:[^<>]*?)(/?)>", markup):
        if void or name in ("img", "br", "col", "meta"):
            continue
        if not close:
            stack.append(name)
        else:
            assert stack.pop() == name
    return not stack


def number(pattern, text):
    """The number that a pattern finds."""
    found = re.search(pattern, text)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Pictures in folders of awkward names."""
    folder = tmp_path_factory.mktemp("hostile")
    generator = np.random.default_rng(0)
    for name in NAMES[:3]:
        (folder / name.replace("/", "_")).mkdir()
        for i in range(6):
            values = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / name.replace("/", "_") / f"{i}.png")
    return striate.open(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return striate.train(
        "digits", "linear", epochs=1, out=tmp_path_factory.mktemp("runs"), plan="default"
    )


def results():
    net = striate.build("lenet5")
    scores = Scores(
        "run", "<i>data</i>", "val", 10, {"accuracy": Interval(0.5, 0.2, 0.8)},
        [{"label": name, "recall": 0.5, "precision": None, "support": 3} for name in NAMES],
    )  # fmt: skip
    sheet = striate.measure("lenet5")
    return {
        "Scores": scores,
        "NetTable": striate.nets("resnet*"),
        "Sheet": sheet,
        "Comparison": Comparison((sheet, sheet)),
        "Kernels": striate.see.kernels(net),
        "Maps": striate.see.maps(net, torch.rand(2, 1, 28, 28)),
        "Data": striate.open("digits"),
    }


@pytest.mark.parametrize("name", ["Scores", "NetTable", "Sheet", "Kernels", "Maps", "Data"])
def test_a_result_is_one_line_in_an_interpreter(name):
    line = repr(results()[name])
    assert line.startswith(f"{name}(")
    assert "\n" not in line
    assert len(line) < 200


@pytest.mark.parametrize(
    "name", ["Scores", "NetTable", "Sheet", "Comparison", "Kernels", "Maps", "Data"]
)
def test_markup_paints_no_background_and_stays_within_its_element(name):
    markup = results()[name]._repr_html_()
    assert well_formed(markup)
    assert "prefers-color-scheme" not in markup
    for rules in re.findall(r"<style>(.*?)</style>", markup, re.DOTALL):
        painted = [c for c in re.findall(r"background:([^;}]*)", rules) if c != "none"]
        assert painted == []
        assert all(
            selector.strip().startswith((".striate", ".ss", "@media"))
            for selector in re.findall(r"(?:^|\})([^{}@]+)\{", rules.split(".striate{svg")[0])
            if selector.strip()
        )
    assert NAMES[0] not in markup


def test_a_run_has_curves_scores_confusion_and_mistakes(trained):
    markup = trained._repr_html_()
    assert well_formed(markup)
    assert markup.count("<svg") == 2
    summary = trained.summary
    assert html.escape(f"val, {summary['items']:,} items") in markup
    wrong = number(r"(\d+) of 359 wrong", markup)
    right = round(summary["scores"]["accuracy"]["value"] * 359)
    assert wrong == 359 - right
    cells = re.findall(r'<td style="[^"]*">(\d*)</td>', markup)
    assert len(cells) == 100
    assert sum(int(cell or 0) for cell in cells) == 359
    assert sum(int(cell or 0) for cell in cells[::11]) == right
    assert markup.count("<img") == min(6, wrong)
    assert (
        repr(trained)
        == f"Run({str(trained.path)!r}, linear, accuracy {100 * summary['scores']['accuracy']['value']:.1f} %)"
    )


def test_a_run_without_its_tables_still_shows_its_scores(trained, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    (copy / "items.csv").write_text("file,truth\n")
    (copy / "results.csv").unlink()
    markup = striate.Run(copy)._repr_html_()
    assert "accuracy" in markup
    assert "<svg" not in markup
    assert " wrong" not in markup
    assert striate.Run(tmp_path / "none")._repr_html_().count("none&#x27;)") == 1
    assert repr(striate.Run(tmp_path / "none")) == f"Run({str(tmp_path / 'none')!r})"


def test_names_are_text_everywhere(hostile):
    markup = hostile._repr_html_()
    assert well_formed(markup)
    assert "<b>x" not in markup
    assert "\u202e" not in markup
    assert markup.count("<img") == 12
    assert "\n" not in repr(hostile)


def test_looking_at_data_reads_no_more_than_is_shown(tmp_path, monkeypatch):
    for k in ("a", "b"):
        (tmp_path / k).mkdir()
        for i in range(20):
            Image.fromarray(np.full((5, 5, 3), 10 * i, np.uint8)).save(tmp_path / k / f"{i}.png")
    data = striate.open(tmp_path)
    monkeypatch.setattr(type(data), "scan", lambda *_: pytest.fail("everything was decoded"))
    assert data._repr_html_().count("<img") == 8


def test_one_class_and_no_items_of_a_class():
    assert confusion(["only"], {("only", "only"): 3}).count("<td") == 1
    assert confusion(["a", "b"], {}).count("<td") == 4
    cells = re.findall(
        r"<td[^>]*>(.*?)</td>", confusion(["a", "b"], {("a", "b"): 3, ("b", "b"): 1})
    )
    assert cells == ["", "3", "", "1"]  # a row a truth
    assert well_formed(confusion(NAMES, {(NAMES[0], NAMES[1]): 2}))


def test_tables_and_tiles():
    lines = text_table(["class", "n"], [["猫猫", 5], ["dog", "1,234"]]).splitlines()
    assert len({wide(line) for line in lines}) == 1
    assert (
        text_table(["", "a"], [["x", "no bound"]], right=True).splitlines()[0].endswith("       a")
    )
    markup = html_table(["name", "size", "note"], [["<i>", "4.1\xa0kB", "x"], ["b", "-", "y"]])
    assert "<i>" not in markup
    assert '<td class="n">4.1\xa0kB</td>' in markup
    assert "<td>x</td>" in markup
    assert tile("", []) == "<figure></figure>"
    assert "<b>" not in tile("", ["<b>"])
    assert contained("x").endswith('<div class="striate">x</div>')


@pytest.mark.parametrize("shape", [(1, 1), (2, 500, 3), (500, 2, 1), (9, 9, 4)])
def test_a_picture_of_any_shape(shape):
    markup = picture_tag(np.zeros(shape, np.uint8), '"x"')
    width, height = (number(rf'{side}="(\d+)"', markup) for side in ("width", "height"))
    assert max(width, height) == 96
    assert min(width, height) >= 1
    assert 'alt="&quot;x&quot;"' in markup
