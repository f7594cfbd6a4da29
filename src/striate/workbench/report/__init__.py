"""The report of a finished training: `collect` gathers what it shows, `page` makes one HTML file of it."""

from striate.workbench.report.collect import write

__all__ = ["write"]
