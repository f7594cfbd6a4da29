"""A browser's side of HTTP, as bare as it goes: what it sends is what the test says, and nothing more."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

from safetensors.numpy import load

from striate.studio.launch import Studio


class Client:
    """Talks to a Studio, with the cookie and the token once it has entered."""

    def __init__(self, page: Studio) -> None:
        self.page, self.port = page, page.server.server_address[1]
        self.cookie, self.token = "", ""

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        bare: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; `bare` leaves out the cookie, the token and the usual headers."""
        sent = dict(headers or {})
        if not bare:
            sent = {"Cookie": self.cookie, **sent}
            if method != "GET":
                sent = {"Content-Type": "application/json", "X-Striate-Token": self.token, **sent}
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            link.putrequest(method, path, skip_host="Host" in sent)
            for name, value in sent.items():
                link.putheader(name, value)
            if body is not None and "Content-Length" not in sent:
                link.putheader("Content-Length", str(len(body)))
            link.endheaders(body)
            answer = link.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            link.close()

    def enter(self) -> "Client":
        """Open the address, as a browser does."""
        path = "/" + self.page.address().split("/", 3)[3]
        _, headers, _ = self.ask("GET", path, bare=True)
        self.cookie = headers["set-cookie"].partition(";")[0]
        self.token = self.get("session")["token"]
        return self

    def get(self, path: str) -> Any:
        """The JSON of an address that answers."""
        status, _, body = self.ask("GET", f"/api/{path}")
        assert status == 200, body
        return json.loads(body)

    def arrays(self, path: str) -> dict[str, Any]:
        """The arrays of an address that answers."""
        status, _, body = self.ask("GET", f"/api/{path}")
        assert status == 200, body
        return load(body)

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        """The JSON of a change that is made; bytes go as they are."""
        found = self.tried(path, body, **headers)
        assert found[0] == 200, found
        return found[1]

    def tried(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a change."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            sent["Content-Type"] = "application/octet-stream"
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        status, _, answer = self.ask("POST", f"/api/{path}", raw, sent)
        return status, json.loads(answer)
