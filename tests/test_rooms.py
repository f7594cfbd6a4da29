"""The picture of the rooms is the one that today's imports give."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_picture_of_the_rooms_is_up_to_date():
    drawn = runpy.run_path(str(DOCS / "rooms.py"))["picture"]()
    assert (DOCS / "rooms.svg").read_text() == drawn, "draw it again: python docs/rooms.py"


def test_every_file_of_the_road_is_there():
    words = (DOCS / "how-it-is-built.md").read_text().split("`")[1::2]
    named = [word for word in words if word.endswith(".py") and not word.startswith("python ")]
    assert len(named) > 6
    assert all((DOCS.parent / "src" / "striate" / word).is_file() for word in named)
