"""How much one client may ask for, and what counts how much it has asked."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from crosslight.gallery.service.settings import Allowed

KEPT_CLIENTS = 4096
"""Clients remembered; the one that was silent longest is forgotten first."""


@dataclass(frozen=True, kw_only=True)
class Limits(Allowed):
    """What the service accepts.

    Attributes:
        body_s: Seconds that a client may take to send its body.
        reads_per_minute: All other requests, per client: the page, pictures, lists.
        failures_per_minute: Wrong tokens, per client.
        waiting: Requests that may wait for the model, over all clients.
    """

    body_s: float = 30.0
    reads_per_minute: float = 6000.0
    failures_per_minute: float = 30.0
    waiting: int = 16


class Allowance:
    """Requests per minute for each client; what was not used is saved up for a fifth of a minute.

    Args:
        per_minute: How fast an allowance grows.
        clock: Seconds that never go back.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, per_minute / 5)
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """0 where the client may make a request now, else the seconds until it may."""
        now = self._clock()
        saved, then = self._clients.get(client, (self._most, now))
        saved = min(self._most, saved + (now - then) * self._per_s)
        return 0.0 if saved >= 1 else (1 - saved) / self._per_s

    def spend(self, client: str) -> float:
        """As `wait_s`; where it is 0, one request is taken from the allowance."""
        now = self._clock()
        saved, then = self._clients.pop(client, (self._most, now))
        saved = min(self._most, saved + (now - then) * self._per_s)
        wait = 0.0 if saved >= 1 else (1 - saved) / self._per_s
        self._clients[client] = (saved if wait else saved - 1, now)
        while len(self._clients) > KEPT_CLIENTS:
            self._clients.popitem(last=False)
        return wait


def client_of(address: str) -> str:
    """Whom an address belongs to: IPv6 networks hand out 2^64 addresses to one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that is bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
