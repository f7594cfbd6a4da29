"""What an audit would correct, as a file of corrections for a person to go through: fixes.csv.

The check `labels` suspects labels; it may be wrong, so nothing is corrected by itself. A row that is wrong is deleted,
or its action or value changed, before `striate train DATA fixes=FILE`.
"""

from pathlib import Path

from striate.auditing.run_checks import Audit
from striate.errors import UsageError
from striate.runs.split_answers import write_table

CHECK = "labels"
HEADER = ("file", "action", "value", "was", "margin", "split")


def write_fixes(path: Path, found: Audit) -> int:
    """Write the suspected labels of an audit as rows to relabel, the surest first, and say how many those are.

    Args:
        path: of the file.
        found: an audit in which the check `labels` was asked.

    Raises:
        UsageError: the check was not made; the message says why.
    """
    asked = [each for each in found.findings if each.check == CHECK]
    if not asked:
        raise UsageError(f"--fixes {path} takes what the check {CHECK} finds: it was not asked")
    if asked[0].severity == "skipped":
        raise UsageError(
            f"--fixes {path} takes what the check {CHECK} finds: it was skipped, {asked[0].text}"
        )
    rows = [
        (row["file"], "relabel", row["rather"], row["label"], f"{row['margin']:.3f}", row["split"])
        for each in asked
        for row in each.evidence
        if "rather" in row
    ]
    if not rows and any(each.evidence for each in asked):
        raise UsageError(
            f"--fixes {path} takes labels of items; of masks and boxes the report says which: correct their files"
        )
    write_table(path, HEADER, rows)
    return len(rows)
