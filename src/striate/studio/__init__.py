"""The Studio: a page that looks inside any net, with the user's own data, served by this process to this machine alone.

`striate.studio` is both this package and the function that opens the page.

server, access and routes: who may ask, and which handler answers; threads and session: the one thread on which nets run,
and what is open; nets, items, inputs, activations and the other files: the handlers; wire: the shapes of all answers;
launch: a running Studio; page: what the browser shows.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.studio.launch import Studio


def studio(
    net: Any,
    data: Any = None,
    *,
    shape: tuple[int, ...] | None = None,
    classes: Sequence[str] = (),
    port: int = 0,
    browser: bool | None = None,
    inline: bool = False,
) -> "Studio":
    """Open the page that looks inside a net; it is served until this process ends, or `close()`.

    >>> page = striate.studio(run)  # doctest: +SKIP
    >>> page = striate.studio(net, (images, labels), classes=["cat", "dog"])  # doctest: +SKIP

    A notebook shows the result as a link, or with `inline` as a frame; elsewhere the browser is opened. The page sees a copy of the net as it is now.

    Args:
        net: a torch.nn.Module, a run, a name as `striate studio` takes it, or a list of these.
        data: a folder or what else `striate.open` takes; what that gave; a tensor of items [N, C, ...] as the net reads
            them, or a pair of one and the number of the class of each; that of the run if not given.
        shape: (C, H, W) of one input, where neither the net nor the data say it.
        classes: names of the outputs, where the data do not say them.
        port: of the server on 127.0.0.1; 0 takes a free one.
        browser: whether to open the browser; None means outside of a notebook alone.
        inline: let a notebook that is opened at http://localhost show the page in a frame; any other page that this
            machine serves may frame it then as well. By default no page may.

    Raises:
        UsageError: nobody says how large an input is.
        StriateError: the net, the run or the data cannot be opened, or the port is taken.
    """
    from striate.studio.launch import begun, show

    given = list(net) if isinstance(net, list | tuple) else [net]
    page = begun(given, data=data, shape=shape, classes=classes, port=port, inline=inline)
    notebook = "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
    if browser or (browser is None and not notebook):
        show(page.address())
    return page


class _Callable(ModuleType):
    """Lets `striate.studio(net)` and `from striate.studio import ...` both be said, whichever comes first."""

    def __call__(self, *args: Any, **kwargs: Any) -> "Studio":
        return studio(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
