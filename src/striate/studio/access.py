"""Who may talk to the Studio: this machine's own browser, through an address that works once.

The page's address carries a key that is exchanged for a cookie (HttpOnly, SameSite=Strict) and is then worth nothing. A
request that changes something needs a second token in a header, which the page reads with its cookie; another site can
send neither. Host and Origin are held against the names of this machine, so that a name which an attacker points at
127.0.0.1 (DNS rebinding) is refused. Secrets are compared in constant time, and written down nowhere. No page may frame
this one, unless it was asked for by the program that began it; a frame enters with the key and the cookie as a window does.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from striate.errors import ArgumentError
from striate.studio.routes import Refusal, shown

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HELD_KEYS = 8  # addresses that were given out and not opened yet
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; {framed}; "
    "require-trusted-types-for 'script'; trusted-types studio"
)
UNFRAMED = "frame-ancestors 'none'"
FRAMED = "frame-ancestors http://localhost:* http://127.0.0.1:*"  # a notebook on this machine, asked for by the user
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}


class Access:
    """The secrets of one server, the checks of a request, and the headers of every answer.

    Attributes:
        headers: what the browser is told to refuse.
    """

    def __init__(self, port: int, allowed: Sequence[str] = (), *, framed: bool = False) -> None:
        """Draw the secrets.

        Args:
            port: of the server; that of a request to a loopback name must be the same.
            allowed: further hosts, as a Host header writes them, such as "lab.example:8888": those of a proxy.
            framed: whether pages of this machine, such as a notebook, may show the page in a frame.

        Raises:
            ArgumentError: one of them is no host.
        """
        policy = POLICY.format(framed=FRAMED if framed else UNFRAMED)
        self.headers = {"Content-Security-Policy": policy, **HEADERS}
        if not framed:  # it knows no list of pages
            self.headers["X-Frame-Options"] = "DENY"
        self.token = secrets.token_urlsafe(32)
        self.cookie_name = f"striate-studio-{port}"  # browsers tell no ports apart
        self._cookie = secrets.token_urlsafe(32)
        self._keys: list[str] = []
        self._lock = threading.Lock()
        self._allowed = {_host(name) for name in allowed}
        self._port = port

    def new_key(self) -> str:
        """A key for one opening of the page; of those not used the last few count."""
        key = secrets.token_urlsafe(24)
        with self._lock:
            self._keys = [*self._keys, key][-HELD_KEYS:]
        return key

    def exchange(self, key: str) -> str:
        """The Set-Cookie value for a key, which is then worth nothing.

        Raises:
            Refusal: 401, it was used or was never given out.
        """
        with self._lock:
            kept = [each for each in self._keys if not _same(each, key)]
            known = len(kept) < len(self._keys)
            self._keys = kept
        if not known:
            raise Refusal(
                401, "this address was used, or is no address of this Studio: ask for a new one"
            )
        return f"{self.cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    def entered(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the cookie."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._cookie)

    def check_origin(self, headers: Mapping[str, str], *, navigation: bool = False) -> None:
        """Refuse what comes through a foreign name, or from a foreign page.

        Args:
            headers: names in lower case.
            navigation: the page itself is opened, to which any page may link.

        Raises:
            Refusal: 403.
        """
        host = headers.get("host", "")
        if not self._known(host):
            raise Refusal(
                403, f"Host {shown(host)} is no name of this Studio; see --allow-host", "host"
            )
        origin = headers.get("origin")
        if origin is not None and not self._own(origin, host):
            raise Refusal(403, f"Origin {shown(origin)} is another page", "origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") and not navigation:
            raise Refusal(403, f"a request from another page (Sec-Fetch-Site: {shown(site)})")

    def check_entry(self, headers: Mapping[str, str], *, changes: bool) -> None:
        """Refuse whoever has no cookie, or for a change no token.

        Raises:
            Refusal: 401.
        """
        if not self.entered(headers):
            raise Refusal(401, "no entry: open the address that `striate studio` prints")
        if changes and not _same(headers.get("x-striate-token", ""), self.token):
            raise Refusal(401, "a change needs the header X-Striate-Token", "x-striate-token")

    def _known(self, host: str) -> bool:
        if host.lower() in self._allowed:
            return True
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname, parts.port or 80
        except ValueError:
            return False
        plain = host.lower() in (f"{name}:{port}", f"[{name}]:{port}", name, f"[{name}]")
        return plain and name in LOOPBACK and port == self._port

    def _own(self, origin: str, host: str) -> bool:
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and rest.lower() == host.lower()


def _same(a: str, b: str) -> bool:
    return compare_digest(a.encode(), b.encode())


def _host(text: str) -> str:
    """A host as a Host header writes it."""
    try:
        parts = urlsplit(f"//{text}")
        right = bool(parts.hostname) and parts.netloc == text and "@" not in text
        _ = parts.port
    except ValueError:
        right = False
    if not right or any(c.isspace() or c in "*," for c in text):
        raise ArgumentError(
            f"--allow-host {text!r}: expected a name as a browser writes it, such as lab.example or lab.example:8888"
        )
    return text.lower()
