"""The examples of every page run as they stand there, on small data; what is left out says why.

Trainings are cut to one epoch, or two where the page says how many, and run as PyTorch runs them (`plan=default`); an
audit is given half a minute. Nothing else of an example is changed.
"""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks import conftest as made

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def _module(name: str):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


blocks, links, generated = _module("blocks"), _module("links"), _module("generated")
ELSEWHERE = {
    "gallery.md": "`make docs` runs it whenever it builds the site",
    "results.md": "it needs the data that it names, and hours",
}
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in DOCS.rglob("*.md")
    if blocks.read(path) and path.name not in ELSEWHERE and "_build" not in path.parts
)


def _picture(rng: np.random.Generator, kind: int) -> np.ndarray:
    """Noise with a bright bar, upright or lying, [32, 32, 3]."""
    picture = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
    high, wide = ((18, 6), (6, 18))[kind]
    top, left = rng.integers(1, 13, 2)
    picture[top : top + high, left : left + wide] = rng.integers(180, 255, 3)
    return picture


def write_photos(root: Path, count: int = 40, wrong: int = 0, nested: bool = False) -> Path:
    """cat/ and dog/, the first few of which lie in the wrong folder; by the day they were taken on if nested."""
    rng = np.random.default_rng(len(root.name))
    rows = ["path,patient"]
    for i in range(count):
        folder = root / ("cat", "dog")[(i + (i < wrong)) % 2]
        day = ("monday", "tuesday", "friday")[i // 2 % 3]
        place = folder / day / f"{day}_{i:02d}.png" if nested else folder / f"{i // 2:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(rng, i % 2)).save(place)
        rows.append(f"{place.relative_to(root)},p{i // 2 % 5}")
    if nested:
        (root.parent / "patients.csv").write_text("\n".join(rows) + "\n")
    return root


def write_sounds(root: Path) -> Path:
    """hum/ and hiss/, a quarter of a second each."""
    import wave

    rng = np.random.default_rng(3)
    for i in range(24):
        name = ("hum", "hiss")[i % 2]
        (root / name).mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * rng.uniform(100, 300) * np.arange(2000) / 8000) * (1 - i % 2)
        sound = 0.6 * tone + 0.1 * rng.normal(size=2000)
        with wave.open(str(root / name / f"{i // 2:03d}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return root


DATA: dict[str, Callable[[Path], object]] = {
    "classes": write_photos,
    "many": lambda root: write_photos(root, 160),
    "mislabelled": lambda root: write_photos(root, 160, wrong=6),
    "days": lambda root: write_photos(root, 60, nested=True),
    "sounds": write_sounds,
    "masks": made.write_masks,
    "boxes": made.write_boxes,
    "one_box": made.write_one_box,
    "labels": made.write_labels,
    "sound_labels": made.write_sound_labels,
    "pictures": made.write_pictures,
    "instances": made.write_instances,
    "numbers": made.write_numbers,
    "volumes": made.write_volumes,
    "volume_masks": made.write_volume_masks,
    "series": made.write_series,
    "items": made.write_items,
}


def shortened(words: list[str]) -> list[str]:
    """A training of one epoch where none says how many, of two at most, without trying plans; an audit of half a minute."""
    if words[:1] == ["audit"] and "--only" not in words and "--budget" not in words:
        return [*words, "--budget", "30s"]
    if words[:1] != ["train"] or {"--show", "--find-lr", "--resume"} & set(words):
        return words
    cut = [re.sub(r"^epochs=\d+$", "epochs=2", word) for word in words]
    keys = {word.partition("=")[0] for word in cut}
    more = {"epochs": "epochs=1", "plan": "plan=default"}
    return [*cut, *(word for key, word in more.items() if key not in keys)]


@pytest.mark.full
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, kind in blocks.data(ROOT / page).items():
        DATA[kind](tmp_path / name)
    found = blocks.read(ROOT / page)
    try:
        blocks.run(found, change=shortened)
    except RuntimeError as error:
        pytest.fail(f"{page}, {error}\n{capsys.readouterr().err[-2000:]}")


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("train photos/", "train photos/ epochs=1 plan=default"),
        ("train photos/ epochs=30 plan=auto", "train photos/ epochs=2 plan=auto"),
        ("train photos/ --find-lr", "train photos/ --find-lr"),
        ("audit runs/a", "audit runs/a --budget 30s"),
        ("audit runs/a --only leaks", "audit runs/a --only leaks"),
        ("data photos/", "data photos/"),
    ],
)
def test_of_trainings_alone_epochs_and_plan_are_changed(words, run):
    assert " ".join(shortened(words.split())) == run


def test_what_is_not_run_says_why():
    for page in PAGES:
        text = (ROOT / page).read_text()
        assert len(blocks.read(ROOT / page)) == len(
            re.findall(r"^```(python|sh)$", text, re.MULTILINE)
        ), page
        for block in blocks.read(ROOT / page):
            assert not block.why or len(block.why) > 15, (page, block.line)


def test_a_failing_example_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```sh\n# why\nstriate nets lenet5\nstriate data nowhere/\n```\n")
    with pytest.raises(RuntimeError, match="line 3: striate data nowhere/ ended with status 3"):
        blocks.run(blocks.read(page))
    page.write_text(
        "<!-- not run: nowhere is not there, as said -->\n```sh\nstriate data nowhere/\n```\n"
    )
    blocks.run(blocks.read(page))


def test_every_command_that_a_page_names_exists():
    from striate.cli.app import app

    for page in DOCS.rglob("*.md"):
        named = re.findall(r"(?:^|`)striate ([a-z]+)", page.read_text(), re.MULTILINE)
        assert set(named) <= set(app.commands), page


def test_every_setting_that_a_page_names_exists():
    from striate.training import Recipe

    more = {"name", "recipe", "out", "layout", "net"}  # of the command
    options = {"act", "batch_norm", "path", "aux_weights", "backbone"}  # of nets
    for page in [ROOT / "README.md", *(DOCS / "guides").glob("*.md"), DOCS / "tutorial.md"]:
        lines = re.findall(r"^striate train (.*)$", page.read_text(), re.MULTILINE)
        named = {word for line in lines for word in re.findall(r"(?<=\s)([a-z_]+)=", line)}
        assert named <= {*Recipe.model_fields, *more, *options}, page


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="https://x.org/">x</a><h2 id="top">'
    )
    (tmp_path / "b.html").write_text(
        '<h1 id="there">x</h1><a href="a.html#top">x</a><img src="c.png">'
    )
    assert links.broken(tmp_path) == ["b.html: c.png is not there"]
    (tmp_path / "c.png").write_bytes(b"")
    assert links.broken(tmp_path) == []
    (tmp_path / "b.html").write_text("")
    assert links.broken(tmp_path) == ["a.html: b.html#there has no such place"]


def test_what_the_code_says_of_itself():
    settings = generated.settings()
    assert "| `accumulate` | `1` | parts" in settings  # 1 equals True
    assert "| `smoothing` | `0.0` |" in settings
    assert "| `nesterov` | `false` |" in settings
    assert "| `lr` |  | largest" in settings
    assert "| `lenet5` | 1998 |" in generated.networks()
    assert "`momentum=0.9`" in generated.recipes()
    commands = generated.commands()
    assert "## striate train\n" in commands
    assert "### striate see kernels\n" in commands
    for name, part in generated.PARTS.items():
        assert len(part()) > 500, name


def test_every_public_name_has_its_place_in_the_reference():
    import striate
    from striate import see

    page = (DOCS / "reference" / "python.md").read_text()
    names = [name for name in striate.__all__ if name != "see"]
    assert [name for name in names if f":: striate.{name}\n" not in page] == []
    page = (DOCS / "reference" / "see.md").read_text()
    assert [name for name in see.__all__ if f":: {name}\n" not in page] == []
