"""What a handler is given and what it gives: `Request`, `Answer`, `Refusal`, and `Route`, one row of a handler file's table.

A handler is a plain function of the session and the request. It reads what it needs through the methods of the request,
which refuse what does not fit in one line that names the field; whatever striate's own errors say is an answer too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.studio.session import Session

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}"  # of nets, runs and jobs in an address; looked up in tables, never a path


class Refusal(Exception):  # noqa: N818 - an answer to the page, no error of the program
    """A request that cannot be answered: the status, one line, and the field that it is about."""

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status, self.field = status, field


class Superseded(Refusal):
    """A later request of the same view has taken the place of this one."""

    def __init__(self) -> None:
        super().__init__(409, "a later request took the place of this one")


@dataclass(frozen=True)
class Request:
    """One request whose access has been checked.

    Attributes:
        method: GET or POST.
        path: below the root of the page, such as "api/nets".
        params: what stands in the places of the route's pattern.
        query: of each name in the query its last value.
        headers: names in lower case.
        body: of a POST, within the limits.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @property
    def view(self) -> str:
        """The part of one page that asks: of its requests that wait, the latest wins."""
        return self.headers.get("x-view", "")[:80]

    def has(self, name: str) -> bool:
        """Whether the query holds a name."""
        return name in self.query

    def text(self, name: str, default: str | None = None) -> str:
        """A text of the query."""
        value = self.query.get(name, default)
        if value is None:
            raise Refusal(400, f"{name}= is missing in {self.path}", name)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number of the query."""
        if name not in self.query and default is not None:
            return default
        return whole(self.text(name), name)

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number of the query, with a point."""
        if name not in self.query and default is not None:
            return default
        text = self.text(name)
        if not re.fullmatch(
            r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})(e[+-]?\d{1,2})?", text, re.ASCII
        ):
            raise Refusal(400, f"{name}={shown(text)}: expected a number such as 0.5", name)
        return float(text)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, f"{self.path} takes application/json")
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refusal(400, f"the body is {type(value).__name__}, expected an object")
        return value


def whole(text: object, name: str) -> int:
    """A whole number that stands in a query, or in a JSON body, under a name."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if not isinstance(text, str) or not re.fullmatch(r"-?\d{1,12}", text, re.ASCII):
        raise Refusal(400, f"{name}={shown(text)}: expected a whole number", name)
    return int(text)


def shown(value: object) -> str:
    """A value that a page sent, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


@dataclass(frozen=True)
class Answer:
    """What goes back: bytes of a kind, or a stream of events.

    Attributes:
        body: the bytes.
        kind: their media type.
        status: HTTP status.
        fixed: the same address will always answer the same, so the browser may keep it.
        events: instead of bytes, what a stream sends as it comes: (name, value that JSON takes).
        location: where the browser goes on, with status 303.
        cookie: a cookie to set, whole.
    """

    body: bytes = b""
    kind: str = "application/octet-stream"
    status: int = 200
    fixed: bool = False
    events: Iterator[tuple[str, object]] | None = None
    location: str = ""
    cookie: str = ""


Handler = Callable[["Session", Request], Answer]


@dataclass(frozen=True)
class Route:
    """One row: `Route("GET", "api/run/{run}/maps", maps)`. A name in braces stands for one id, `request.params["run"]`."""

    method: str
    pattern: str
    handler: Handler

    def match(self, path: str) -> dict[str, str] | None:
        """What stands in the places of the pattern; None if the path is another."""
        found = self._regex.fullmatch(path)
        return None if found is None else found.groupdict()

    @property
    def _regex(self) -> re.Pattern[str]:
        parts = re.split(r"(\{\w+\})", self.pattern)
        return re.compile(
            "".join(f"(?P<{p[1:-1]}>{NAME}?)" if p[:1] == "{" else re.escape(p) for p in parts),
            re.ASCII,
        )
