"""What every request passes before the service sees it: names, token, rate, size, time.

Plain ASGI, so that a body is counted as it arrives and nothing is kept of one that is refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crosslight.errors import ConfigError
from crosslight.gallery.service.access import Access, comes_from_elsewhere
from crosslight.gallery.service.limits import Allowance, Limits, client_of
from crosslight.gallery.service.metrics import Metrics
from crosslight.gallery.service.proxies import Proxies
from crosslight.gallery.service.users import Visitor

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
OPEN_ROUTES = ("/", "/docs", "/health", "/openapi.json")
"""Answered without a token: they hold nothing of the gallery."""

OPEN_FOLDER = "/static/"

READ_OVER = 4
"""How much of a body is read in all, in the largest that is accepted: a connection that is closed
while the client or a proxy sends can lose the answer on its way. Nothing of it is kept."""

VISITOR = "visitor"
"""Where a request's state holds who made it."""

_log = logging.getLogger("crosslight.service")


class RefusalError(Exception):
    """A request that is answered with a sentence instead of being passed on."""

    def __init__(
        self, status: int, sentence: str, *, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.reason = status, sentence, reason
        self.headers = dict(headers or {})


STOPPING = RefusalError(
    503,
    "The service is stopping; send the request again when it is back.",
    reason="stopping",
    headers={"connection": "close"},
)


class Guard:
    """Wraps the service.

    Args:
        app: The service.
        access: Who may ask.
        limits: How much.
        metrics: Counts every answer.
        proxies: Whose word about their clients is believed.
        clock: Seconds that never go back; allowances grow with it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        limits: Limits,
        metrics: Metrics,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._proxies = proxies or Proxies()
        self._searches = Allowance(limits.searches_per_minute, clock=clock)
        self._reads = Allowance(limits.reads_per_minute, clock=clock)
        self._failures = Allowance(limits.failures_per_minute, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._proxies.seen_through(dict(scope))
        start = time.perf_counter()
        status, begun = 500, False

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                given = {name.lower() for name, _ in message.get("headers", ())}
                message = {**message, "headers": [*message.get("headers", ())]}
                message["headers"] += [
                    (name.encode(), value.encode())
                    for name, value in SECURITY_HEADERS.items()
                    if name.encode() not in given
                ]
            await send(message)

        try:
            self._check(scope)
            body = await self._whole_body(scope, receive)
            await self._app(scope, _replay(body, receive), sending)
        except RefusalError as refusal:
            self._metrics.refused(refusal.reason)
            await _answer(refusal, sending)
        except asyncio.CancelledError:
            # The server leaves, and has waited for this one long enough.
            self._metrics.refused(STOPPING.reason)
            if not begun:
                await _answer(STOPPING, sending)
        finally:
            seconds = time.perf_counter() - start
            self._metrics.request(scope["method"], _route_of(scope), status, seconds)

    def _check(self, scope: Scope) -> None:
        headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]}
        address = scope.get("client")
        client = client_of(address[0] if address else "")
        if not self._access.host_is_ours(headers):
            raise RefusalError(
                421,
                "This service answers under the names of this machine only; open it as "
                "http://127.0.0.1, or start it with --token-file to reach it by another name.",
                reason="host",
            )
        path, costly = scope["path"], scope["method"] == "POST"
        harmless = scope["method"] in {"GET", "HEAD", "OPTIONS"}
        if not harmless and comes_from_elsewhere(headers, scheme=scope.get("scheme", "http")):
            raise RefusalError(
                403, "Pages of other sites may not use this service.", reason="origin"
            )
        is_open = path in OPEN_ROUTES or path.startswith(OPEN_FOLDER)
        visitor = Visitor() if is_open else self._visitor(headers, client)
        # Users have an allowance of their own wherever they are; a shared token has one for each
        # address.
        payer = client if visitor is None or visitor.name is None else f"user {visitor.name}"
        self._refuse_hurry((self._searches if costly else self._reads).spend(payer))
        if visitor is None:
            self._failures.spend(client)
            raise RefusalError(
                401,
                "This service needs its token: send the header Authorization: Bearer TOKEN.",
                reason="token",
                headers={"www-authenticate": "Bearer"},
            )
        scope.setdefault("state", {})[VISITOR] = visitor

    def _visitor(self, headers: Mapping[str, str], client: str) -> Visitor | None:
        access = self._access
        if not access.needs_token:
            return Visitor()
        try:
            known = access.by_cookie(headers)
            if known is not None:
                return known
            # A client that has guessed too often is not told whether it guesses right now.
            self._refuse_hurry(self._failures.wait_s(client))
            return access.by_token(headers)
        except ConfigError as error:
            _log.error("%s", error)
            raise RefusalError(
                503,
                "Nobody is let in, because the service's users cannot be read; its log says why.",
                reason="users",
            ) from error

    def _refuse_hurry(self, wait_s: float) -> None:
        if wait_s:
            seconds = math.ceil(wait_s)
            raise RefusalError(
                429,
                f"Too many requests; try again in {seconds} s.",
                reason="rate",
                headers={"retry-after": str(seconds)},
            )

    async def _whole_body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return b""
        most = self._limits.upload_bytes
        try:
            stated = int(dict(scope["headers"]).get(b"content-length", b"0"))
        except ValueError:
            raise RefusalError(400, "The Content-Length is no number.", reason="length") from None
        parts: list[bytes] = []
        size, is_whole = 0, False
        try:
            async with asyncio.timeout(self._limits.body_s):
                while not is_whole and max(size, stated) <= READ_OVER * most:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusalError(400, "The client left.", reason="left")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        parts.clear()
                    is_whole = not message.get("more_body", False)
        except TimeoutError:
            raise RefusalError(
                408,
                f"The request took more than {self._limits.body_s:g} s to arrive; try again.",
                reason="time",
            ) from None
        if max(size, stated) > most:
            raise RefusalError(
                413,
                f"The request has more than the {most / 2**20:.3g} MiB that are accepted; "
                "send a smaller image, for instance the person alone.",
                reason="size",
                headers={} if is_whole else {"connection": "close"},
            )
        return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that has been read already, then what the connection says."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _route_of(scope: Scope) -> str:
    """The pattern that the request met; those that met none are counted together."""
    route: Any = scope.get("route")
    return getattr(route, "path", "none")


async def _answer(refusal: RefusalError, send: Send) -> None:
    body = json.dumps({"error": refusal.sentence}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **refusal.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
