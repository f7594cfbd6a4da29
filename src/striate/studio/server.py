"""The Studio's server: Python's own threading HTTP server, on this machine alone, one thread a connection.

Every request goes the same way: the host and origin, the entry, the limits, then the one handler whose route fits, then
the same headers. Files of the page are those of the package and no others, their types are ours and not the machine's.
"""

import importlib
import importlib.util
import json
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from striate.errors import ServeError, StriateError, out_of_memory
from striate.studio.access import Access
from striate.studio.routes import Answer, Refusal, Request, Route, shown
from striate.studio.session import Session
from striate.studio.threads import Job, Work
from striate.studio.wire import as_json, json_answer

HANDLERS = (
    "activations",
    "inputs",
    "nets",
    "number",
    "map_routes",
    "looking",
    "neighbours",
    "runs",
    "audits",
)
PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
BODIES = ("application/json", "application/octet-stream")
MOST_BODY = 20 * 2**20  # bytes of one upload
MOST_CONNECTIONS = 64
FIXED = "private, max-age=31536000, immutable"
ONWARD = b'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=./"><title>Striate</title>'


@cache
def _tables() -> tuple[Any, ...]:
    names = (f"striate.studio.{name}" for name in HANDLERS)
    return tuple(importlib.import_module(n) for n in names if importlib.util.find_spec(n))


@cache
def job_kinds() -> dict[str, Callable[[Session, dict[str, Any]], Work]]:
    """What makes the steps of each kind of long work, of all handler files."""
    return {kind: make for table in _tables() for kind, make in getattr(table, "JOBS", {}).items()}


@cache
def routes() -> tuple[Route, ...]:
    """All rows of all handler files, in their order."""
    return tuple(row for table in _tables() for row in table.ROUTES) + tuple(JOB_ROUTES)


class Server(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        session: Session,
        port: int = 0,
        allowed: tuple[str, ...] = (),
        *,
        framed: bool = False,
    ) -> None:
        """Bind a port; 0 takes a free one.

        Raises:
            ServeError: the port is taken or may not be bound.
        """
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: set[socket.socket] = set()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"--port {port}: {getattr(error, 'strerror', '') or error}; another one, or 0 for a free one"
            ) from error
        self.session = session
        self.access = Access(self.server_address[1], allowed, framed=framed)
        session.token = self.access.token

    def address(self, host: str = "127.0.0.1") -> str:
        """An address of the page that works once."""
        return f"http://{host}:{self.server_address[1]}/?key={self.access.new_key()}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """A connection gets a thread while there are not too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and make room for another."""
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._free.release()

    def server_close(self) -> None:
        """Listen no longer, and end the connections that browsers hold open: they would be answered for ever."""
        super().server_close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error; what else happens outside of a handler is one of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "striate", ""
    timeout = 60  # seconds that a connection may be silent
    disable_nagle_algorithm = True

    @property
    def _server(self) -> Server:
        return cast(Server, self.server)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written down: addresses hold keys."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses, in our form and with our headers."""
        del explain
        self.close_connection = True
        self._send(_refused(Refusal(405 if code == 501 else code, message or "no such request")))

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            answer = self._found()
        except Exception as error:  # noqa: BLE001 - every failure is an answer
            answer = failed(error)
        unread = self.headers.get("content-length", "0") != "0" and self.command != "POST"
        if unread or (answer.status >= 400 and self.command == "POST"):
            self.close_connection = True  # what was not read of it is no next request
        self._send(answer)

    def _found(self) -> Answer:
        headers = {name.lower(): value for name, value in self.headers.items()}
        target = urlsplit(self.path)
        if not self.path.startswith("/") or self.path.startswith("//"):
            raise Refusal(400, "the address is no path")
        path = unquote(target.path)[1:]
        query = dict(parse_qsl(target.query, keep_blank_values=True, max_num_fields=40))
        access, front = self._server.access, path == "" and self.command == "GET"
        if len(self.headers.get_all("host", [])) > 1:
            raise Refusal(400, "more than one Host")
        access.check_origin(headers, navigation=front)
        if front:
            return self._front(query, headers)
        access.check_entry(headers, changes=self.command == "POST")
        if not path.startswith("api/"):
            return _file(path)
        route, params = _routed(self.command, path)
        body = self._body(headers) if self.command == "POST" else b""
        return route.handler(
            self._server.session, Request(self.command, path, params, query, headers, body)
        )

    def _front(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The page, or the exchange of the key in its address for the cookie."""
        access = self._server.access
        if "key" not in query:
            access.check_entry(headers, changes=False)
            return _file("index.html")
        if access.entered(headers):
            return Answer(status=303, location="./")
        cookie = access.exchange(query["key"])
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return Answer(status=303, location="./", cookie=cookie)
        # A strict cookie does not follow a redirect that another page's link began; a page of our own goes on with it.
        return Answer(ONWARD, TYPES[".html"], cookie=cookie)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in BODIES:
            raise Refusal(415, f"Content-Type {kind or 'missing'}: expected {' or '.join(BODIES)}")
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            raise Refusal(411, "the length of the body is not given")
        if len(length) > 12 or int(length) > MOST_BODY:
            raise Refusal(
                413,
                f"{int(length[:15]) / 2**20:,.0f} MB: an upload has at most {MOST_BODY >> 20} MB",
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refusal(400, "the body ended early")
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in self._server.access.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Cache-Control", FIXED if answer.fixed else "no-store")
        if answer.location:
            self.send_header("Location", answer.location)
        if answer.cookie:
            self.send_header("Set-Cookie", answer.cookie)
        if answer.events is None:
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.events is not None or self.close_connection:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if answer.events is None:
            self.wfile.write(answer.body)
            return
        for part in _stream(answer.events):
            self.wfile.write(part)
            self.wfile.flush()


def _routed(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a path, and what stands in its places."""
    fitting = [(row, found) for row in routes() if (found := row.match(path)) is not None]
    for row, found in fitting:
        if row.method == method:
            return row, found
    if fitting:
        raise Refusal(405, f"{path} answers {fitting[0][0].method}")
    raise Refusal(404, f"there is no {path[:80]!r}")


def _file(path: str) -> Answer:
    """A file of the page, by its name in the listing and never as a path."""
    file = _files().get(path)
    if file is None:
        if path == "favicon.ico":
            return Answer(status=204)
        raise Refusal(404, f"there is no {path[:80]!r}")
    return Answer(file.read_bytes(), TYPES[file.suffix])


def _files() -> dict[str, Path]:
    """The files that the page is made of, by their addresses."""
    return {
        file.relative_to(PAGE).as_posix(): file
        for file in PAGE.rglob("*")
        if file.suffix in TYPES and file.is_file() and not file.is_symlink()
    }


def _stream(events: Iterator[tuple[str, object]]) -> Iterator[bytes]:
    """Events as a browser reads them; "still" is a comment, that keeps the connection."""
    for name, value in events:
        yield (
            b":\n\n"
            if name == "still"
            else b"event: %s\ndata: %s\n\n"
            % (
                name.encode(),
                as_json(value),
            )
        )


def failed(error: Exception) -> Answer:
    """What a failure is answered with: one line, and a traceback on the terminal where the fault is ours."""
    if isinstance(error, Refusal):
        return _refused(error)
    line = " ".join(str(error).split())[:500]
    if isinstance(error, StriateError):
        return _refused(Refusal(400, line))
    if out_of_memory(error):
        return _refused(Refusal(503, f"the memory did not suffice: {line[:200]}"))
    if isinstance(error, RuntimeError):  # what PyTorch says of a net and an input that do not fit
        return _refused(Refusal(400, f"the net: {line}"))
    traceback.print_exception(error)
    return _refused(Refusal(500, f"{type(error).__name__}: {line}"))


def _refused(refusal: Refusal) -> Answer:
    said: dict[str, object] = {"error": str(refusal)}
    if refusal.field:
        said["field"] = refusal.field
    if refusal.status == 409:
        said["superseded"] = True
    return Answer(json.dumps(said).encode(), "application/json; charset=utf-8", refusal.status)


# --------------------------------------------------------------------------------------- long work


def _begin(session: Session, request: Request) -> Answer:
    body = request.json()
    make = job_kinds().get(str(body.get("kind")))
    if make is None:
        known = ", ".join(sorted(job_kinds())) or "none yet"
        raise Refusal(400, f"kind={shown(body.get('kind'))}: there are {known}", "kind")
    return json_answer({"id": session.job(make(session, body)).id})


def _job(session: Session, request: Request) -> Job:
    with session.lock:
        found = session.jobs.get(request.params["job"])
    if found is None:
        raise Refusal(404, "there is no such work, or it is long over", "job")
    return found


def _follow(session: Session, request: Request) -> Answer:
    return Answer(kind="text/event-stream", events=_job(session, request).follow())


def _cancel(session: Session, request: Request) -> Answer:
    _job(session, request).cancel()
    return json_answer({"cancelled": True})


JOB_ROUTES = [
    Route("POST", "api/jobs", _begin),
    Route("GET", "api/jobs/{job}/events", _follow),
    Route("POST", "api/jobs/{job}/cancel", _cancel),
]
