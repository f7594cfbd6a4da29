"""The README's Python runs as it is written."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture = np.zeros((28, 28), np.uint8)
    picture[5:8, 6:20] = picture[8:24, 17:20] = 255
    Image.fromarray(picture).save("seven.png")
    # The first block stands alone; the others need weights or a net of the reader's own.
    code, *others = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert all(compile(block, "README.md", "exec") for block in others)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - this is the point of the test
    printed = capsys.readouterr().out
    assert "Interval(value=" in printed
    assert "'label': '7'" in printed
    assert "11,181,642" in printed
    with Image.open("kernels.png") as kernels:
        assert min(kernels.size) > 5


def test_every_command_of_the_readme_exists():
    from striate.cli.app import app

    verbs = set(re.findall(r"`striate (\w+)", README.read_text())) | set(
        re.findall(r"^striate (\w+)", README.read_text(), re.MULTILINE)
    )
    assert verbs == set(app.commands)
