"""What every request passes before the service sees it: names, token, rate, size, time.

Plain ASGI, so that a body is counted as it arrives and nothing is kept of one that is refused.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crosslight.gallery.service.access import Access, comes_from_elsewhere
from crosslight.gallery.service.limits import Allowance, Limits, client_of
from crosslight.gallery.service.metrics import Metrics

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


class RefusalError(Exception):
    """A request that is answered with a sentence instead of being passed on."""

    def __init__(
        self, status: int, sentence: str, *, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.reason = status, sentence, reason
        self.headers = dict(headers or {})


class Guard:
    """Wraps the service.

    Args:
        app: The service.
        access: Who may ask.
        limits: How much.
        metrics: Counts every answer.
        clock: Seconds that never go back; allowances grow with it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._searches = Allowance(limits.searches_per_minute, clock=clock)
        self._reads = Allowance(limits.reads_per_minute, clock=clock)
        self._failures = Allowance(limits.failures_per_minute, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
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
        if costly and comes_from_elsewhere(headers):
            raise RefusalError(
                403, "Pages of other sites may not use this service.", reason="origin"
            )
        allowance = self._searches if costly else self._reads
        self._refuse_hurry(allowance.spend(client))
        if not (path in OPEN_ROUTES or path.startswith(OPEN_FOLDER)):
            self._check_token(headers, client)

    def _check_token(self, headers: Mapping[str, str], client: str) -> None:
        access = self._access
        if not access.needs_token or access.shows_cookie(headers):
            return
        # A client that has guessed too often is not told whether it guesses right now.
        self._refuse_hurry(self._failures.wait_s(client))
        if access.shows_token(headers):
            return
        self._failures.spend(client)
        raise RefusalError(
            401,
            "This service needs its token: send the header Authorization: Bearer TOKEN.",
            reason="token",
            headers={"www-authenticate": "Bearer"},
        )

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
        size = stated if stated > most else 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                while size <= most:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusalError(400, "The client left.", reason="left")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise RefusalError(
                408,
                f"The request took more than {self._limits.body_s:g} s to arrive; try again.",
                reason="time",
            ) from None
        if size > most:
            raise RefusalError(
                413,
                f"The request has more than the {most / 2**20:.3g} MiB that are accepted; "
                "send a smaller image, for instance the person alone.",
                reason="size",
                headers={"connection": "close"},
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
