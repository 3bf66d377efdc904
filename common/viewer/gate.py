"""The gate before the server: requests come from a page of this server, opened with its token, or are refused.

Other web pages in the same browser can send requests to loopback. They have another Origin, or a Host that was made to
resolve to loopback, and do not know the token.
"""

import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
REFUSAL = "Refused: open the address that the command printed, with its token."
#: The page may load its own files only, and no other page may embed it.
SAFETY_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Gate:
    """ASGI middleware. The token arrives in the address of the page and then in a cookie, one for each port."""

    def __init__(self, app: ASGIApp, port: int, token: str):
        self.app, self.token, self.cookie = app, token, f"dreamer-{port}"
        self.hosts = {f"{name}:{port}" for name in LOOPBACK_NAMES}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on, with the cookie and `SAFETY_HEADERS` in the answer; refuse others with 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not self.allows(scope):
            await self.refuse(scope, receive, send)
        else:
            await self.app(scope, receive, lambda message: send(self.with_headers(message)))

    def allows(self, scope: Scope) -> bool:
        """Whether Host, Origin and token are right; a socket needs an Origin, since browsers always send it."""
        headers = Headers(scope=scope)
        origin = headers.get("origin", "" if scope["type"] == "websocket" else next(iter(self.origins)))
        return (
            headers.get("host") in self.hosts
            and origin in self.origins
            and any(map(self.knows, tokens(scope, self.cookie)))
        )

    def knows(self, token: str) -> bool:
        """Whether a token is the right one, compared in constant time."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def with_headers(self, message: Message) -> Message:
        """Add the cookie and `SAFETY_HEADERS` to the start of an answer."""
        if message["type"] != "http.response.start":
            return message
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        added = {**SAFETY_HEADERS, "set-cookie": cookie}
        pairs = [(name.encode(), value.encode()) for name, value in added.items()]
        kept = [pair for pair in message["headers"] if pair[0].decode().lower() not in added]
        return {**message, "headers": [*kept, *pairs]}

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403; a socket is closed before it is accepted, which is also a 403."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)


def tokens(scope: Scope, cookie: str) -> Iterable[str]:
    """Yield the tokens of a request: from its address and from its cookie."""
    yield from parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return
    if cookie in found:
        yield found[cookie].value
