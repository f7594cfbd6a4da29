"""The report of a run: one HTML file that needs nothing but itself.

`page_parts` turns `Content` into words and charts, `page.html.jinja` lays them out. No script, no outside
asset; whatever came from the user is text.
"""

from pathlib import Path

from striate.workbench.content import Content

HERE = Path(__file__).parent


def render(content: Content) -> str:
    """The report as one HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from striate.workbench import formats, page_parts

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=formats.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(formats.FILTERS)
    parts = page_parts.parts(content)
    return environment.get_template("page.html.jinja").render(c=content, **parts)
