"""How a net is executed here: device, memory layout, precision, compiled; chosen by measuring, not by belief."""

from striate.plan.choosing import Learn, choose
from striate.plan.faults import crashing_layer
from striate.plan.form import LAYOUTS, PRECISIONS, Plan, device, explicit

__all__ = ["LAYOUTS", "PRECISIONS", "Learn", "Plan", "choose", "crashing_layer", "device", "explicit"]
