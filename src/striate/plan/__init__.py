"""How a net is executed here: device, memory layout, precision, compiled; chosen by measuring, not by belief."""

from striate.plan.choosing import Learn, Watch, choose, crash_words, crashing_layer, timed
from striate.plan.machine_speed import learning_speed
from striate.plan.malloc import kept_pages
from striate.plan.plan import LAYOUTS, PRECISIONS, Plan, device, explicit

__all__ = [
    "LAYOUTS",
    "PRECISIONS",
    "Learn",
    "Plan",
    "Watch",
    "choose",
    "crash_words",
    "crashing_layer",
    "device",
    "explicit",
    "kept_pages",
    "learning_speed",
    "timed",
]
