"""Settings of the site: Sphinx, pages in Markdown (MyST), the theme furo. `make docs` builds it; a warning is an error."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import striate

sys.path.insert(0, str(Path(__file__).parent))

import generated  # beside this file

project = "Striate"
author = "The Striate contributors"
copyright = "2026, The Striate contributors"
version = release = striate.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "gallery/runs"]
root_doc = "index"
suppress_warnings = ["myst.strikethrough"]

# Anchors of headings, so that [a link](page.md#a-heading) is checked.
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]

# Docstrings write `code` between single backticks, and sections as Google does.
default_role = "code"
smartquotes = False  # two dashes are an option
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"Striate {version}"
html_static_path = ["_static"]
html_css_files = ["striate.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


class Generated(SphinxDirective):
    """Puts one of `generated.PARTS` where it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Nodes of the Markdown, headings included."""
        return self.parse_text_to_nodes(
            generated.PARTS[self.arguments[0]](), allow_section_headings=True
        )


def literal(*given: Any) -> None:
    """Lines of a docstring in which stars, bars and final underscores mean themselves, but in code."""
    lines: list[str] = given[-1]
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def visible(_app: Sphinx, _page: str, text: list[str]) -> None:
    """Readers see too which examples are not run, and why."""
    text[0] = re.sub(
        r"^<!-- not run: (.*) -->$",
        r"{.not-run}\nNot run when this site is tested: \1.\n",
        text[0],
        flags=re.MULTILINE,
    )


def skipped(
    _app: Sphinx, _what: str, _name: str, member: object, skip: bool, _options: Any
) -> bool:
    """Leave out what the fields of a named tuple say of themselves: their number."""
    return skip or (getattr(member, "__doc__", None) or "").startswith("Alias for field number")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("generated", Generated)
    app.connect("autodoc-skip-member", skipped)
    app.connect("source-read", visible)
    app.connect("autodoc-process-docstring", literal)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
