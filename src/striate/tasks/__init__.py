"""Tasks: what a net is asked, how its answer is judged and read."""

from striate.tasks.classify import Classify

__all__ = ["Classify"]
