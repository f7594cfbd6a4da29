"""Is everything that the package needs in the wheel, and nothing else? `python .ci/contents.py WHEEL SDIST` (no packages needed).

The files of src/striate that git knows are what the wheel must hold; those beside it that users read are in the source archive.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

READ = {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "constraints.txt", "pyproject.toml"}


def main(wheel: str, archive: str) -> int:
    """Compare, and name what differs."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "src/striate"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        line.removeprefix("src/") for line in listed.stdout.splitlines() if Path(line).exists()
    }
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    with tarfile.open(archive) as file:
        top = {Path(*Path(name).parts[1:]).as_posix() for name in file.getnames()}
    wrong = [f"not in the wheel: {name}" for name in sorted(expected - held)]
    wrong += [
        f"in the wheel, but not in the repository: {name}" for name in sorted(held - expected)
    ]
    wrong += [f"not in the source archive: {name}" for name in sorted(READ - top)]
    print("\n".join(wrong) or f"{Path(wheel).name} holds all {len(expected)} files of the package")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
