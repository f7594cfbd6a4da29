"""What a stranger finds: one version everywhere, types, files of the package, an import that costs nothing."""

import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

import striate

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_the_same_wherever_it_stands():
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/striate/__init__.py"
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == striate.__version__
    assert cited["license"] == PROJECT["project"]["license"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == striate.__version__


def test_type_checkers_are_told_that_the_package_has_types():
    assert (ROOT / "src" / "striate" / "py.typed").is_file()


def test_the_templates_of_issues_ask_for_what_is_needed():
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}
    assert forms.pop("config")["blank_issues_enabled"] is True
    for form in forms.values():
        assert {"name", "description", "body"} <= form.keys()
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len(set(ids))
    assert {"command", "came", "machine"} <= {field["id"] for field in forms["bug"]["body"]}


def test_the_tested_versions_are_allowed_ones():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    pinned = {name.lower(): version for name, version in pinned.items()}
    extras = PROJECT["project"]["optional-dependencies"]
    for wanted in [*PROJECT["project"]["dependencies"], *extras["dev"], *extras["docs"]]:
        name, _, least = wanted.partition(">=")
        found = pinned[name.partition("[")[0].lower()]
        assert tuple(map(int, found.split("."))) >= tuple(map(int, least.split("."))), wanted


@pytest.mark.plain
def test_importing_striate_takes_a_moment():
    """As a share of an interpreter's start, so that a slow machine counts for nothing: 0.02 when this was written."""

    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-c", code], check=True)
        return time.perf_counter() - began

    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); "
    empty, ours = list[float](), list[float]()
    for _ in range(7):  # in turns
        empty.append(seconds(code + "import typing, importlib"))
        ours.append(seconds(code + "import striate"))
    assert min(ours) < 1.5 * min(empty), (statistics.median(ours), statistics.median(empty))
