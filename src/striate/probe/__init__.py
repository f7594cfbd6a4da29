"""How a net is watched: what its layers give, and every function it calls. The only place that sets hooks.

`watch` records activations and gradients of the caller's own net by path and takes its hooks off again,
`scales` keeps a few numbers of every layer, `tapped` gives one layer's output with its gradient,
`running` knows which layer runs, `as_eval` lends a net in evaluation mode, `trace` runs a copy and lists every
torch function it calls, `record` does so on real inputs and keeps every number, `saved_bytes` counts what a
training step keeps, `settled` gives lazy layers their sizes.
"""

from striate.probe.calls import Call, Trace, Value
from striate.probe.copying import settled
from striate.probe.inputs import Inputs
from striate.probe.keeping import copied, saved_bytes
from striate.probe.recording import Recording, record
from striate.probe.running import Running, running
from striate.probe.scales import Scale, leaves, scales
from striate.probe.tracing import runs, trace
from striate.probe.watching import Watched, as_eval, tapped, tensors, watch

__all__ = [
    "Call",
    "Inputs",
    "Recording",
    "Running",
    "Scale",
    "Trace",
    "Value",
    "Watched",
    "as_eval",
    "copied",
    "leaves",
    "record",
    "running",
    "runs",
    "saved_bytes",
    "scales",
    "settled",
    "tapped",
    "tensors",
    "trace",
    "watch",
]
