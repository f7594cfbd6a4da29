"""Where the workshops come together: the main job, and the report that joins what each of them gives."""

from striate.workbench.audit import audit
from striate.workbench.compare import compare
from striate.workbench.train import train

__all__ = ["audit", "compare", "train"]
