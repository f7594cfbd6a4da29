"""Makes the pictures of gallery.md by running its blocks, in docs/gallery. `python docs/gallery.py`; `make docs` does it.

A picture that its command no longer makes is missing then, which the build of the site takes for an error.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import blocks  # noqa: E402


def main() -> int:
    """Run the page from the start."""
    folder = HERE / "gallery"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.environ.setdefault("STRIATE_CACHE", str(folder / ".cache"))
    with contextlib.chdir(folder):
        blocks.run(blocks.read(HERE / "gallery.md"))
        for made in ("runs", "digits-8x8", ".cache"):
            shutil.rmtree(made, ignore_errors=True)
    print(f"{len(list(folder.iterdir()))} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
