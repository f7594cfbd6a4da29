"""The Studio's server: limits, types, errors, superseded requests, long work, a path prefix, the process itself."""

import contextlib
import http.client
import json
import mimetypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from client import Client
from torch import nn

from striate.errors import ArgumentError
from striate.studio import server, threads
from striate.studio.launch import Studio, begun
from striate.studio.routes import Refusal, Request, Route, Superseded
from striate.studio.threads import Job, ModelThread

MB = 2**20


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    one = ModelThread()
    yield one
    one.close()


@pytest.mark.parametrize(("size", "status"), [(20 * MB, 400), (20 * MB + 1, 413), (10**15, 413)])
def test_a_body_is_refused_by_its_length_before_it_is_read(client: Client, size: int, status: int):
    net = client.get("session")["open"][0]
    body = bytes(size) if size <= 20 * MB else None
    sent = {
        "Content-Length": str(size),
        "Content-Type": "application/octet-stream",
        "X-Kind": "u8",
        "X-Shape": "1,1,1",
    }
    found, _, answer = client.ask("POST", f"/api/net/{net}/input", body, sent)
    assert found == status, answer


@pytest.mark.parametrize("length", ["", "-1", "1e3", "0x10", "\u0663", "9" * 400])
def test_a_length_that_is_none_is_refused(client: Client, length: str):
    sent = {"Content-Length": length.encode().decode("latin-1")}
    assert client.ask("POST", "/api/open", None, sent)[0] in (411, 413)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"net": 3}']
)
def test_a_body_that_says_nothing_is_one_line(client: Client, body: bytes):
    status, _, answer = client.ask("POST", "/api/open", body)
    assert status == 400
    assert "\n" not in json.loads(answer)["error"]


def test_types_are_ours_and_not_the_machine_s(client: Client, monkeypatch: pytest.MonkeyPatch):
    for suffix in (".js", ".css", ".json", ".html"):
        monkeypatch.setitem(mimetypes.types_map, suffix, "text/plain")
        mimetypes.add_type("text/plain", suffix)
    kinds = {
        path: client.ask("GET", path)[1]["content-type"]
        for path in ("/", "/main.js", "/studio.css", "/words/ru.json")
    }
    assert kinds == {
        "/": "text/html; charset=utf-8",
        "/main.js": "text/javascript; charset=utf-8",
        "/studio.css": "text/css; charset=utf-8",
        "/words/ru.json": "application/json; charset=utf-8",
    }
    mimetypes.init()


def test_every_file_of_the_page_is_served(client: Client):
    files = [path for path in server.PAGE.rglob("*") if path.suffix in server.TYPES]
    assert len(files) > 10
    for path in files:
        status, _, body = client.ask("GET", f"/{path.relative_to(server.PAGE).as_posix()}")
        assert (status, body) == (200, path.read_bytes())


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Refusal(409, "no", "x"), 409, "no"),
        (ArgumentError("wrong"), 400, "wrong"),
        (RuntimeError("sizes\n  differ"), 400, "the net: sizes differ"),
        (MemoryError("out of memory"), 503, "the memory did not suffice"),
        (KeyError("x"), 500, "KeyError: 'x'"),
    ],
)
def test_every_failure_is_one_line(
    error: Exception, status: int, says: str, capsys: pytest.CaptureFixture[str]
):
    answer = server.failed(error)
    assert answer.status == status
    assert json.loads(answer.body)["error"].startswith(says)
    assert bool(capsys.readouterr().err) == (
        status == 500
    )  # a fault of ours is told where it can be mended


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("api/net/{net}", "api/net/resnet50", {"net": "resnet50"}),
        ("api/net/{net}", "api/net/a.b-c_d", {"net": "a.b-c_d"}),
        ("api/net/{net}", "api/net/..", None),
        ("api/net/{net}", "api/net/a/b", None),
        ("api/net/{net}", "api/net/", None),
        ("api/net/{net}", "api/net/ä", None),
        ("api/net/{net}", "api/net/" + "a" * 121, None),
        ("api/net/{net}/items/{index}", "api/net/x/items/3.png", {"net": "x", "index": "3.png"}),
    ],
)
def test_ids_match_a_strict_pattern(pattern: str, path: str, found: dict[str, str] | None):
    assert Route("GET", pattern, lambda *_: server.Answer()).match(path) == found


@pytest.mark.parametrize("text", ["", "1.5", "0x3", "\u0661", "1e3", "9" * 20, "nan", " 1"])
def test_a_number_that_is_none_is_refused(text: str):
    with pytest.raises(Refusal, match="whole number") as caught:
        Request("GET", "x", query={"c": text}).whole("c")
    assert (caught.value.status, caught.value.field) == (400, "c")


def test_of_a_view_the_latest_waits_and_the_others_are_superseded(thread: ModelThread):
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def busy() -> None:
        begun.set()
        assert go.wait(10)

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(thread.do, busy)
        assert begun.wait(10)
        asked = []
        for i in range(8):
            asked.append(pool.submit(thread.do, lambda i=i: done.append(i), "pad"))
            while len(thread._waiting) == 0 or not (i == 0 or asked[i - 1].done()):
                time.sleep(0.001)
        other = pool.submit(thread.do, lambda: "other", "another view")
        plain = [pool.submit(thread.do, lambda: "plain") for _ in range(2)]
        time.sleep(0.05)
        go.set()
        assert first.result(10) is None
        assert [type(each.exception(10)) for each in asked[:-1]] == [Superseded] * 7
        assert asked[-1].exception(10) is None
        assert (other.result(10), [each.result(10) for each in plain]) == ("other", ["plain"] * 2)
    assert done == [7]


def test_a_superseded_request_says_so():
    answer = server.failed(Superseded())
    assert (answer.status, json.loads(answer.body)["superseded"]) == (409, True)


def test_work_on_the_model_thread_may_ask_for_more(thread: ModelThread):
    assert thread.do(lambda: thread.do(lambda: 3)) == 3


def test_long_work_lets_requests_through_and_can_be_cancelled(thread: ModelThread):
    ended: list[str] = []

    def steps() -> Generator[tuple[str, object], None, None]:
        try:
            for i in range(10_000):
                time.sleep(0.001)
                yield "tile", {"i": i}
        finally:
            ended.append("closed")

    job = Job(steps())
    thread.start(job)
    start = time.perf_counter()
    assert thread.do(lambda: "soon") == "soon"
    assert time.perf_counter() - start < 5
    job.cancel()
    events = list(job.follow())
    assert events[-1] == ("cancelled", {})
    assert [e for e, _ in events[:-1]] == ["tile"] * (len(events) - 1)
    assert ended == ["closed"]


def test_what_may_be_asked_next_is_made_when_nothing_else_is_to_do(
    thread: ModelThread, monkeypatch: pytest.MonkeyPatch
):
    """Only the newest, never before what waits, and not at all once it is called off."""
    monkeypatch.setattr(threads, "QUIET", 0.15)
    done: list[str] = []
    made = threading.Event()
    thread.later(lambda: done.append("old"))
    thread.later(lambda: (done.append("new"), made.set()))
    for i in range(5):
        time.sleep(0.02)
        thread.do(lambda i=i: done.append(str(i)))
    assert made.wait(10)
    assert done == [*"01234", "new"]
    thread.later(lambda: done.append("never"))
    thread.later(None)
    time.sleep(0.4)
    assert done[-1] == "new"
    thread.later(lambda: 1 / 0)
    time.sleep(0.4)
    assert thread.do(lambda: "goes on") == "goes on"


def test_long_work_that_fails_says_why(thread: ModelThread):
    def steps() -> Generator[tuple[str, object], None, None]:
        yield "tile", 1
        raise RuntimeError("two\nlines")

    job = Job(steps())
    thread.start(job)
    assert list(job.follow()) == [("tile", 1), ("failed", {"error": "two lines"})]
    assert list(job.follow(1)) == [("failed", {"error": "two lines"})]


def test_events_are_streamed(client: Client, page: Studio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(
        server.job_kinds(),
        "count",
        lambda _s, body: iter([("n", i) for i in range(int(body["to"]))]),
    )
    job = client.post("jobs", {"kind": "count", "to": 3})["id"]
    status, headers, body = client.ask("GET", f"/api/jobs/{job}/events")
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert body.decode() == "".join(
        f"event: {name}\ndata: {data}\n\n"
        for name, data in [("n", 0), ("n", 1), ("n", 2), ("done", "{}")]
    )
    assert client.tried("jobs", {"kind": "nope"})[0] == 400
    assert client.ask("GET", "/api/jobs/nope/events")[0] == 404


class _Prefixing(BaseHTTPRequestHandler):
    """A proxy that serves another server below /some/prefix/, as a notebook server does."""

    target = 0

    def do_GET(self) -> None:
        assert self.path.startswith("/some/prefix/")
        link = http.client.HTTPConnection("127.0.0.1", self.target)
        sent = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        link.request(self.command, self.path.removeprefix("/some/prefix"), None, sent)
        answer = link.getresponse()
        body = answer.read()
        link.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_it_works_below_a_path_prefix(page: Studio):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Prefixing) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        port = proxy.server_address[1]
        name = f"127.0.0.1:{port}"
        one = Studio(page.session, allowed=[name])
        _Prefixing.target = one.server.server_address[1]
        try:
            client = Client(one)
            client.port = port
            key = one.address().partition("?")[2]
            status, headers, _ = client.ask("GET", f"/some/prefix/?{key}", bare=True)
            assert (status, headers["location"]) == (303, "./")  # relative, so below the prefix
            client.cookie = headers["set-cookie"].partition(";")[0]
            status, _, body = client.ask("GET", "/some/prefix/")
            assert status == 200
            for file in re.findall(rb'(?:src|href)="([^"]+)"', body):
                assert not file.startswith((b"/", b"http"))
                assert client.ask("GET", f"/some/prefix/{file.decode()}")[0] == 200
            assert client.ask("GET", "/some/prefix/api/nets")[0] == 200
        finally:
            one.server.shutdown()
            one.server.server_close()
            page.session.token = page.server.access.token
            proxy.shutdown()


@pytest.mark.slow
def test_many_connections_are_not_all_taken(page: Studio):
    port = page.server.server_address[1]
    links = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(80)]
    try:
        closed = 0
        for link in links[-16:]:
            link.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                closed += link.recv(1) == b""
        assert closed >= 10
    finally:
        for link in links:
            link.close()
    time.sleep(0.3)
    assert Client(page).ask("GET", "/", bare=True)[0] == 401


@pytest.mark.slow
def test_the_command_prints_an_address_and_ends_at_a_signal():
    command = [sys.executable, "-m", "striate", "studio", "lenet5", "--no-browser"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/\?key=[\w-]+)", address)
            assert found, address
            link = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
            link.request("GET", found[2])
            assert link.getresponse().status == 303
            link.close()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
            assert process.returncode == 130, said
            assert "Traceback" not in said
            assert found[2] not in said
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says", "status"),
    [
        (["lenet55"], "no net is called 'lenet55'; did you mean lenet5", 2),
        (["/nowhere"], "no net is called", 2),
        (["lenet5", "--data", "/nowhere"], "/nowhere", 3),
        (["lenet5", "--port", "70000"], "70000", 2),
        (["lenet5", "--allow-host", "http://x"], "--allow-host", 2),
        (["--save", "x.html"], "--save writes the page of one net or run; got 0", 2),
        (["lenet5", "--save", "no/x.html"], "--save no/x.html: cannot be written (there is no", 2),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(words: list[str], says: str, status: int):
    done = subprocess.run(
        [sys.executable, "-m", "striate", "studio", *words, "--no-browser"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_closed_ends_the_connections_that_are_open():
    """A tab that holds one would be answered by the old session for ever."""
    with begun([nn.Conv2d(1, 1, 3)], shape=(1, 5, 5)) as one:
        client = Client(one).enter()
        link = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
        link.request("GET", "/api/session", headers={"Cookie": client.cookie})
        assert link.getresponse().read()
    assert link.sock is not None
    with contextlib.suppress(OSError):
        link.sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert link.sock.recv(1) == b""
    link.close()
