"""Who may talk to the Studio: FAULTS W1 to W5, each way in tried and shut."""

import ast
import contextlib
import io
import re
import socket
from pathlib import Path

import pytest
from client import Client
from torch import nn

import striate
from striate.errors import ArgumentError, ServeError
from striate.studio import access
from striate.studio.access import FRAMED, Access
from striate.studio.launch import Studio
from striate.studio.routes import Refusal
from striate.studio.server import Server
from striate.studio.session import Session

FORM = "application/x-www-form-urlencoded"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost:99999",
        "[::ffff:7f00:1]:{port}",
        "127.0.0.1.evil.example:{port}",
        "evil@127.0.0.1:{port}",
        "127.0.0.1:{port}/",
        "",
    ],
)
def test_a_foreign_name_is_refused(client: Client, host: str):
    said = host.format(port=client.port)
    status, _, body = client.ask("GET", "/api/nets", headers={"Host": said})
    assert status == 403, body


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "LOCALHOST:{port}"]
)
def test_the_names_of_this_machine_are_answered(client: Client, host: str):
    status, _, _ = client.ask("GET", "/api/nets", headers={"Host": host.format(port=client.port)})
    assert status == 200


def test_a_name_that_is_allowed_is_answered_with_its_own_port_alone():
    access = Access(8000, ["Lab.Example:443"])
    access.check_origin({"host": "lab.example:443", "origin": "https://lab.example:443"})
    with pytest.raises(Refusal, match="Host"):
        access.check_origin({"host": "lab.example:8000"})


@pytest.mark.parametrize(
    "name", ["http://x", "a b", "*", "*.example", "user@host", "host:port", ""]
)
def test_what_is_no_name_cannot_be_allowed(name: str):
    with pytest.raises(ArgumentError, match="--allow-host"):
        Access(1, [name])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "file://127.0.0.1:{port}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"X-Striate-Token": ""}, 401),
        ({"X-Striate-Token": "wrong"}, 401),
        ({"Cookie": ""}, 401),
        ({"Cookie": "striate-studio-{port}=wrong"}, 401),
        ({"Content-Type": FORM}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({}, 200),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_a_change_needs_all_of_it(client: Client, headers: dict[str, str], status: int):
    net = client.get("session")["open"][0]
    sent = {name: value.format(port=client.port) for name, value in headers.items()}
    found, _, body = client.ask("POST", "/api/open", f'{{"net": "{net}"}}'.encode(), sent)
    assert found == status, body


@pytest.mark.parametrize("kind", [FORM, "text/plain", "multipart/form-data; boundary=x", ""])
def test_pixels_do_not_come_by_what_a_form_can_send(client: Client, kind: str):
    net = client.get("session")["open"][0]
    sent = {"Content-Type": kind, "X-Kind": "u8", "X-Shape": "1,1,3"}
    assert client.ask("POST", f"/api/net/{net}/input", b"abc", sent)[0] == 415


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_not_answered(client: Client, method: str):
    status, headers, _ = client.ask(method, "/api/nets")
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_an_address_works_once(page: Studio):
    path = "/" + page.address().split("/", 3)[3]
    client = Client(page)
    status, headers, _ = client.ask("GET", path, bare=True)
    assert status == 303
    assert headers["location"] == "./"
    assert re.search(r"; Path=/; HttpOnly; SameSite=Strict$", headers["set-cookie"])
    assert client.ask("GET", path, bare=True)[0] == 401
    client.cookie = headers["set-cookie"].partition(";")[0]
    assert client.ask("GET", path)[0] == 303  # who has entered already is led on


def test_a_link_on_another_page_leads_on_without_a_redirect(page: Studio):
    path = "/" + page.address().split("/", 3)[3]
    status, headers, body = Client(page).ask(
        "GET", path, headers={"Sec-Fetch-Site": "cross-site"}, bare=True
    )
    assert status == 200  # a strict cookie does not follow a redirect that another site began
    assert b'content="0;url=./"' in body
    assert "SameSite=Strict" in headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/api/nets", "/api/session", "/?key=", "/?key=%00%c3%a9"]
)
def test_without_the_cookie_there_is_nothing(page: Studio, path: str):
    status, headers, body = Client(page).ask("GET", path, bare=True)
    assert status == 401
    assert "set-cookie" not in headers
    assert page.session.token.encode() not in body


def test_only_the_last_addresses_that_nobody_opened_count():
    access = Access(1)
    keys = [access.new_key() for _ in range(20)]
    with pytest.raises(Refusal):
        access.exchange(keys[0])
    assert access.exchange(keys[-1])


def test_no_secret_is_ever_written(page: Studio, client: Client):
    written = io.StringIO()
    with contextlib.redirect_stderr(written), contextlib.redirect_stdout(written):
        address = page.address()
        client.ask("GET", "/" + address.split("/", 3)[3], bare=True)
        client.ask("GET", "/api/nope")
        client.ask("POST", "/api/open", b"{", {})
    assert written.getvalue() == ""


def test_secrets_are_compared_in_constant_time():
    tree = ast.parse((Path(access.__file__)).read_text("utf-8"))
    compared = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Compare) and isinstance(n.ops[0], (ast.Eq, ast.In, ast.NotIn))
    ]
    names = {n.attr for c in compared for n in ast.walk(c) if isinstance(n, ast.Attribute)}
    assert not names & {"token", "_cookie", "_keys"}


@pytest.mark.parametrize("path", ["/", "/main.js", "/api/nets", "/api/nope", "/nope", "/api/open"])
def test_every_answer_has_the_policy(client: Client, path: str):
    _, headers, _ = client.ask("GET", path)
    policy = headers["content-security-policy"]
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert not [name for name in headers if name.startswith("access-control")]
    assert "Python" not in headers["server"]


@pytest.mark.parametrize("inline", [False, True])
def test_a_frame_is_allowed_where_it_was_asked_for(inline: bool):
    """Of this machine's own pages alone; the key, the cookie and the token are asked for as ever."""
    net = nn.Conv2d(1, 1, 3)
    with striate.studio(net, shape=(1, 5, 5), browser=False, inline=inline) as page:
        client = Client(page)
        markup = page._repr_html_()
        for status, headers, _ in (
            client.ask("GET", "/", bare=True),
            client.enter().ask("GET", "/"),
            client.ask("POST", "/api/open", b"{}", {"X-Striate-Token": ""}),
        ):
            policy = headers["content-security-policy"]
            assert ("frame-ancestors 'none'" in policy) is not inline
            assert (FRAMED in policy) is inline
            assert headers.get("x-frame-options") == (None if inline else "DENY")
            assert "connect-src 'self'" in policy
            assert status in (200, 401)
        assert client.ask("GET", "/api/nets", bare=True)[0] == 401
        assert client.ask("GET", "/", headers={"Host": "evil.example"}, bare=True)[0] == 403
    assert ("<iframe" in markup) is inline
    assert 'target="_blank"' in markup
    assert inline is ('src="http://localhost:' in markup)


@pytest.mark.parametrize(
    "path",
    [
        "/../access.py",
        "/%2e%2e/access.py",
        "/..%2faccess.py",
        "/words/../../access.py",
        "/words/..%5c..%5caccess.py",
        "//etc/passwd",
        "/etc/passwd",
        "/%00",
        "/wire.d.ts",
        "/words",
        "/api/net/..",
        "/api/net/..%2f..%2fetc",
        "/api/run/../net",
        "/api/net/given-1/items/..%2f0.png",
        "/api/run/" + "a" * 5000,
    ],
)
def test_no_path_leads_out(client: Client, path: str):
    status, _, body = client.ask("GET", path)
    assert status in (400, 404), body
    assert b"import" not in body


def test_ranges_change_nothing(client: Client):
    many = "bytes=" + ",".join(f"{i}-{i}" for i in range(2000))
    status, headers, body = client.ask("GET", "/main.js", headers={"Range": many})
    assert status == 200
    assert len(body) == int(headers["content-length"])


@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://evil.example/api/nets HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        b"GET /api/nets HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n",
        b"POST /api/open HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["absolute", "two-hosts", "chunked", "no-host", "tls", "long"],
)
def test_raw_requests_that_are_off_are_refused(page: Studio, raw: bytes):
    port = page.server.server_address[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(raw.replace(b"{port}", str(port).encode()))
        answer = link.recv(4096)
    assert re.match(rb'HTTP/1\.1 (400|401|403|405|414)|\{"error"', answer), answer[:100]


def test_a_body_that_nobody_reads_is_no_second_request(client: Client):
    hidden = b"GET /api/session HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    status, headers, _ = client.ask("GET", "/api/nets", hidden)
    assert (status, headers.get("connection")) == (200, "close")


def test_a_port_that_is_taken_is_said_in_one_line(page: Studio):
    session = Session()
    with pytest.raises(ServeError, match=r"--port \d+: .*another one"):
        Server(session, page.server.server_address[1])
    session.close()


def test_the_server_is_for_this_machine_alone(page: Studio):
    assert page.server.server_address[0] == "127.0.0.1"
