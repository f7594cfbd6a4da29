"""Settings of the site: Sphinx, pages in Markdown (MyST), the theme furo. `make docs` builds it; a warning is an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import striate

project = "Striate"
author = "The Striate contributors"
copyright = "2026, The Striate contributors"
version = release = striate.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
exclude_patterns = ["_build", "gallery/runs"]
root_doc = "index"
suppress_warnings = ["myst.strikethrough"]

# Anchors of headings, so that [a link](page.md#a-heading) is checked.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

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
