"""Lessons run once in all tests of a process."""

from functools import cache

from striate import lessons


@cache
def shown(name):
    """What every step of a lesson shows, by the step's name."""
    return {step.__name__: step() for step in lessons.find(name).steps}
