"""`Studio`: a server with its session, started from the command line or from Python."""

import contextlib
import html
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from torch import nn

from striate.errors import ArgumentError
from striate.runs import Run
from striate.studio import nets
from striate.studio.runs import is_run, listed
from striate.studio.server import Server
from striate.studio.session import Session, Source
from striate.workbench.nets import Named

HEIGHT = 720  # pixels of a frame in a notebook
RUNS = Path("runs")  # where trainings lie if nothing else is said


class Studio:
    """The page that looks inside nets, served by this process until it is closed; `with` closes it.

    Attributes:
        session: what is open.
        server: on 127.0.0.1.
        inline: whether a notebook on this machine shows the page in a frame.
    """

    def __init__(
        self, session: Session, *, port: int = 0, allowed: Sequence[str] = (), inline: bool = False
    ) -> None:
        """Bind the port and begin to answer.

        Raises:
            ServeError: the port is taken.
            ArgumentError: `allowed` holds what is no host.
        """
        self.session = session
        self.inline = inline
        self.server = Server(session, port, tuple(allowed), framed=inline)
        self._thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    def address(self) -> str:
        """An address of the page; it works once, so ask for another to open it again in another browser."""
        return self.server.address()

    def close(self) -> None:
        """Stop answering, and free what was held."""
        self.server.shutdown()
        self.server.server_close()
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Studio(port={self.server.server_address[1]}, {len(self.session.nets)} nets open)"

    def _repr_html_(self) -> str:
        """A link; where it was asked for a frame above it, of the name under which notebooks are opened by default."""
        address = html.escape(self.address())
        link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">Open the Studio</a> (this link works once)'
        if not self.inline:
            return link
        # A browser sends the cookie within one name alone: that of the frame has to be that of the notebook.
        source = html.escape(self.server.address("localhost"))
        frame = f'<iframe src="{source}" title="Studio" width="100%" height="{HEIGHT}" style="border: 0"></iframe>'
        return f"{frame}<br>{link}; the frame needs a notebook whose address begins with http://localhost"


def sources_of(
    given: Sequence[Any],
    *,
    data: Any = None,
    shape: tuple[int, ...] | None = None,
    classes: Sequence[str] = (),
    own: nn.Module | None = None,
) -> tuple[dict[str, Source], dict[str, Path]]:
    """What can be opened: what is given, runs beside it and in `runs`, the catalogue; and all run folders known.

    Args:
        given: nets, runs, or words as on the command line.
        data: shown to those that are given.
        shape: of one input of those that do not say it.
        classes: names of the outputs of nets that are given as modules.
        own: the user's own net, for runs that trained one.

    Raises:
        ArgumentError: something is no net.
    """
    paths = [path for each in given if (path := _folder(each)) is not None]
    folders = listed([*paths, *(path.parent for path in paths), *([RUNS] if RUNS.is_dir() else [])])
    found: dict[str, Source] = {}
    for i, each in enumerate(given, 1):
        key = f"given-{i}"
        if (path := _folder(each)) is not None:
            key = next((k for k, p in folders.items() if p.resolve() == path.resolve()), key)
            found[key] = nets.run_source(key, path, data, _own(each) or own)
        elif isinstance(each, nn.Module):
            name = type(each).__name__
            found[key] = nets.given_source(key, Named(name, each, shape), data, classes)
        elif isinstance(each, str):
            found[_word(each, key)] = nets.named_source(_word(each, key), each, shape, data)
        else:
            raise ArgumentError(
                f"{type(each).__name__} is no net: give a torch.nn.Module, a run, or a name as `striate studio` takes it"
            )
    rest = {k: nets.run_source(k, p, None, own) for k, p in folders.items() if k not in found}
    return {
        **found,
        **rest,
        **{k: s for k, s in nets.catalogue().items() if k not in found},
    }, folders


def _folder(each: object) -> Path | None:
    """The run folder that is given, if one is."""
    if isinstance(each, Run):
        return each.path
    if isinstance(each, Path) or (isinstance(each, str) and ":" not in each):
        path = Path(each)
        return path if is_run(path) else None
    return None


def _own(each: object) -> nn.Module | None:
    return each.net if isinstance(each, Run) and each.config.net.own else None


def _word(word: str, key: str) -> str:
    """A name of the catalogue is its own id; another word has a number."""
    return word if word in nets.catalogue() else key


def begun(
    given: Sequence[Any],
    *,
    data: Any = None,
    shape: tuple[int, ...] | None = None,
    classes: Sequence[str] = (),
    own: nn.Module | None = None,
    port: int = 0,
    allowed: Sequence[str] = (),
    inline: bool = False,
) -> Studio:
    """A Studio with everything that is given open already, so that what is wrong with it is said at once.

    Raises:
        StriateError: a net, a run or the data cannot be opened, or the port is taken.
    """
    sources, folders = sources_of(given, data=data, shape=shape, classes=classes, own=own)
    session = Session(sources, folders)
    studio = Studio(session, port=port, allowed=allowed, inline=inline)
    try:
        for key in list(sources)[: len(given)]:
            nets.open_net(session, key)
    except BaseException:
        studio.close()
        raise
    return studio


def show(address: str) -> bool:
    """Open the page in the user's browser; whether there is one."""
    with contextlib.suppress(webbrowser.Error, OSError):
        return webbrowser.open(address)
    return False


def on_enter(say: Callable[[], object]) -> None:
    """Call a function whenever a line is entered on the terminal."""

    def listen() -> None:
        for _line in sys.stdin:
            say()

    threading.Thread(target=listen, daemon=True).start()


def wait() -> None:
    """Until a signal; in parts, since some systems hear none while they wait."""
    never = threading.Event()
    while not never.wait(1.0):
        pass
