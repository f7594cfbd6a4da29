"""Tasks: what a net is asked, how its answer is judged, written and drawn. One file a task.

`TASKS` is the only table of them; nothing outside this room imports one.
"""

from importlib import import_module

from striate.errors import ArgumentError, nearest
from striate.tasks import section
from striate.tasks.section import Headline, Measure, Section, Tile
from striate.tasks.task import Answer, HeldOut, Item, Learned, Meter, Task

# The name of a task, and the class, or where it is to be found: it is imported when it is used.
TASKS: dict[str, str | type[Task]] = {
    "classify": "striate.tasks.classify:Classify",
    "multilabel": "striate.tasks.multilabel:Multilabel",
    "localise": "striate.tasks.localise:Localise",
    "segment": "striate.tasks.segment:Segment",
    "detect": "striate.tasks.detect:Detect",
    "regress": "striate.tasks.regress:Regress",
    "forecast": "striate.tasks.forecast:Forecast",
    "instances": "striate.tasks.instances:Instances",
    "reconstruct": "striate.tasks.reconstruct:Reconstruct",
}


def named(name: str) -> type[Task]:
    """The task of a name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in TASKS:
        raise ArgumentError(f"task={name}: no such task; {nearest(name, TASKS)}")
    found = TASKS[name]
    if isinstance(found, str):
        module, _, item = found.partition(":")
        return getattr(import_module(module), item)
    return found


__all__ = [
    "TASKS",
    "Answer",
    "Headline",
    "HeldOut",
    "Item",
    "Learned",
    "Measure",
    "Meter",
    "Section",
    "Task",
    "Tile",
    "named",
    "section",
]
