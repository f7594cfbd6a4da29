"""Fetching a file: resumed, checked, named only when whole; against a server of our own."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from striate.download import FetchError, fetch
from striate.errors import DataError

CONTENT = bytes(range(256)) * 5000


class Handler(BaseHTTPRequestHandler):
    asked: list[str | None] = []  # noqa: RUF012
    breaks_after: int | None = None
    knows_ranges = True

    def do_GET(self):
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        start = (
            int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.knows_ranges else 0
        )
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        part = CONTENT[start:]
        if self.breaks_after is not None:
            part, type(self).breaks_after = part[: self.breaks_after], None
        self.wfile.write(part)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def address():
    Handler.asked, Handler.breaks_after, Handler.knows_ranges = [], None, True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/net.pth"
    server.shutdown()
    thread.join()
    server.server_close()


SHA = f"sha256:{hashlib.sha256(CONTENT).hexdigest()[:8]}"


def test_it_is_fetched_once_and_says_so(address, tmp_path, capsys):
    target = tmp_path / "weights" / "net.pth"
    assert fetch(address, target, SHA).read_bytes() == CONTENT
    out, err = capsys.readouterr()
    assert (out, err) == ("", "fetching net.pth (1.3 MB)\n")
    fetch("http://127.0.0.1:9/", target)
    assert Handler.asked == [None]
    assert [p.name for p in target.parent.iterdir()] == ["net.pth"]


def test_a_break_keeps_what_came_and_goes_on_there(address, tmp_path):
    target = tmp_path / "net.pth"
    Handler.breaks_after = 300_000
    with pytest.raises(FetchError, match=r"broke off after 300,000 of 1,280,000 bytes"):
        fetch(address, target, SHA)
    assert not target.exists()
    fetch(address, target, SHA)
    assert target.read_bytes() == CONTENT
    assert Handler.asked == [None, "bytes=300000-"]


def test_a_server_without_ranges_starts_anew(address, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(b"x" * 1000)
    Handler.knows_ranges = False
    assert fetch(address, tmp_path / "net.pth", SHA).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(address, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch(address, tmp_path / "net.pth", SHA).read_bytes() == CONTENT
    assert Handler.asked == [f"bytes={len(CONTENT) + 1}-", None]


def test_other_content_than_published_is_thrown_away(address, tmp_path):
    with pytest.raises(
        DataError, match=r"its SHA256 is [0-9a-f]{64}, expected 12345678: try again"
    ):
        fetch(address, tmp_path / "net.pth", "sha256:12345678")
    assert list(tmp_path.iterdir()) == []


def test_no_network_says_where_to_put_it(tmp_path):
    target = tmp_path / "net.pth"
    with pytest.raises(FetchError) as error:
        fetch("http://127.0.0.1:9/net.pth", target)
    assert str(error.value).startswith("http://127.0.0.1:9/net.pth cannot be fetched (")
    assert str(error.value).endswith(f": fetch it where there is a network and put it at {target}")
    assert error.value.exit_status == 3
