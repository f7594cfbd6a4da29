"""The README: its Python runs as it is written, its links lead somewhere, and it stays short."""

import re
from pathlib import Path

import pytest
from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - this is the point of the test
    printed = capsys.readouterr().out
    assert "Interval(value=" in printed
    assert "11,181,642" in printed
    with Image.open("kernels.png") as kernels:
        assert min(kernels.size) > 5


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text()
    assert len(text.splitlines()) < 60
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 10
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_every_command_has_its_line():
    from striate.cli.app import app

    page = (README.parent / "docs" / "reference" / "commands.md").read_text()
    assert set(re.findall(r"^\| `striate (\w+)", page, re.MULTILINE)) == set(app.commands)
