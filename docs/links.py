"""Does every link of the built site lead somewhere? `python docs/links.py FOLDER`: pages, anchors, pictures, styles.

Only what lies in the folder is looked at; addresses of other sites are not fetched.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.anchors = set[str](), {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.add(value)
            if key == "id" or (key == "name" and tag == "a"):
                self.anchors.add(value or "")


def broken(folder: Path) -> list[str]:
    """A line for each link that leads nowhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    found = list[str]()
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{path.relative_to(folder)}: {link} is not there")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{path.relative_to(folder)}: {link} has no such place")
    return found


def main(folder: str) -> int:
    """Print what is broken; 1 if anything is."""
    root = Path(folder).resolve()
    wrong = broken(root)
    count = len(list(root.rglob("*.html")))
    print("\n".join(wrong) or f"every link of {count} pages leads somewhere")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
