"""How a net is watched: what its layers give, and every function it calls. The only place that sets hooks.

`hooks` watches the caller's own net and takes its hooks off again; `tracing` runs a copy and lists every torch function
it calls, `recording` does so on real inputs and keeps every number; `copies` are what runs in their place.
"""

from striate.probe.calls import Call, Trace, Value
from striate.probe.copies import Kept, copied, keeping, preserved_random_state, saved_bytes, settled
from striate.probe.hooks import (
    Running,
    Scale,
    Watched,
    as_eval,
    cut,
    frozen,
    layer_input,
    layer_output,
    layer_outputs,
    leaves,
    ran_until,
    running,
    scales,
    shapes,
    watch,
)
from striate.probe.inputs import Inputs, tensors
from striate.probe.outputs import Outputs, outputs
from striate.probe.recording import Recording, record
from striate.probe.tracing import runs, trace

__all__ = [
    "Call",
    "Inputs",
    "Kept",
    "Outputs",
    "Recording",
    "Running",
    "Scale",
    "Trace",
    "Value",
    "Watched",
    "as_eval",
    "copied",
    "cut",
    "frozen",
    "keeping",
    "layer_input",
    "layer_output",
    "layer_outputs",
    "leaves",
    "outputs",
    "preserved_random_state",
    "ran_until",
    "record",
    "running",
    "runs",
    "saved_bytes",
    "scales",
    "settled",
    "shapes",
    "tensors",
    "trace",
    "watch",
]
