"""What is public, and what importing and asking for help may cost."""

import subprocess
import sys

import pytest

import striate

HEAVY = {
    "torch",
    "numpy",
    "PIL",
    "sklearn",
    "scipy",
    "pydantic",
    "jinja2",
    "matplotlib",
    "rich",
    "yaml",
    "onnx",
}


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.plain
def test_every_public_name_is_there_and_listed():
    assert striate.__all__ == sorted(striate.__all__)
    for name in striate.__all__:
        assert getattr(striate, name).__doc__
    assert set(dir(striate)) == {*striate.__all__, "__version__"}
    with pytest.raises(AttributeError, match="module 'striate' has no attribute 'trian'"):
        _ = striate.trian


@pytest.mark.plain
def test_import_is_light():
    assert not loaded_after("import striate") & HEAVY


@pytest.mark.plain
@pytest.mark.parametrize("words", ["['--help']", "['train', '--help']", "['nets']"])
def test_help_and_nets_are_light(words):
    code = f"from striate.cli import main; import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): assert main({words}) == 0"
    assert not loaded_after(code) & HEAVY


@pytest.mark.plain
def test_training_imports_nothing_it_does_not_need():
    loaded = loaded_after("import striate.workbench.train")
    assert not loaded & {"matplotlib", "onnx", "sklearn", "rich", "jinja2", "pandas"}
