"""Whom a request comes from, where it passed through proxies that were named.

Anybody may write `X-Forwarded-For`. A proxy adds the address that it was asked from at the right,
so the list is read from there for as long as the address that wrote it is one of the named.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crosslight.errors import ConfigError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PAIR = re.compile(r'\s*([\w!#$%&\'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
"""One `for=...` of RFC 7239."""


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What one kind of header says.

    Attributes:
        clients: Addresses, the nearest proxy's word last; None: not an address.
        schemes: `http` or `https` of each, or of some.
    """

    clients: tuple[_Address | None, ...]
    schemes: tuple[str, ...]


class Proxies:
    """The proxies whose word about their clients is believed.

    Args:
        named: Addresses and networks, such as 127.0.0.1 or 172.16.0.0/12.

    Raises:
        ConfigError: One is neither, or is everybody.
    """

    def __init__(self, named: Sequence[str] = ()) -> None:
        self._networks = tuple(map(_network, named))

    def seen_through(self, scope: dict[str, Any]) -> dict[str, Any]:
        """The ASGI scope with the client's own address and scheme in place of the proxy's.

        Where `Forwarded` and `X-Forwarded-*` disagree, one of them may be the client's own
        invention: then the proxy counts as the client, and the connection as not encrypted.
        """
        peer = _address((scope.get("client") or ("",))[0])
        if peer is None or not self._is_named(peer):
            return scope
        told = [said for said in (_forwarded(scope), _x_forwarded(scope)) if said is not None]
        seen = {self._client_and_scheme(peer, said) for said in told}
        if len(seen) != 1:
            return scope
        client, scheme = seen.pop()
        return {
            **scope,
            "client": (str(client), 0) if client != peer else scope["client"],
            "scheme": scheme or scope.get("scheme", "http"),
        }

    def _client_and_scheme(self, peer: _Address, told: _Told) -> tuple[_Address, str | None]:
        client, passed = peer, 0
        for said in reversed(told.clients):
            if said is None or not self._is_named(client):
                break
            client, passed = said, passed + 1
        schemes = told.schemes
        # That of the outermost proxy that was passed: the browser's own connection.
        return client, schemes[-min(max(passed, 1), len(schemes))] if schemes else None

    def _is_named(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _network(named: str) -> _Network:
    try:
        found = ipaddress.ip_network(named, strict=False)
    except ValueError:
        raise ConfigError(
            f"--trusted-proxy {named} is no address; say the one that the proxy asks from, such as "
            "127.0.0.1, or a network, such as 172.18.0.0/16."
        ) from None
    if not found.prefixlen:
        raise ConfigError(
            f"--trusted-proxy {named} is everybody, so that everybody could take any address; say "
            "the address that the proxy asks from."
        )
    return found


def _address(text: str) -> _Address | None:
    """The address in `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1` or `[2001:db8::1]:443`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _lines(scope: dict[str, Any], name: bytes) -> str:
    """A header that may be sent in several lines, as one."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ",".join(found)


def _x_forwarded(scope: dict[str, Any]) -> _Told | None:
    clients, schemes = _lines(scope, b"x-forwarded-for"), _lines(scope, b"x-forwarded-proto")
    if not clients and not schemes:
        return None
    return _Told(
        clients=tuple(map(_address, clients.split(","))) if clients else (),
        schemes=_schemes(schemes.split(",")),
    )


def _forwarded(scope: dict[str, Any]) -> _Told | None:
    text = _lines(scope, b"forwarded")
    if not text:
        return None
    hops: list[dict[str, str]] = [{}]
    place = 0
    while place < len(text):
        pair = _PAIR.match(text, place)
        if pair is None:
            return _Told(clients=(), schemes=())
        hops[-1][pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2].strip('"'))
        place = pair.end()
        if text[place : place + 1] == ",":
            hops.append({})
        elif text[place : place + 1] not in {";", ""}:
            return _Told(clients=(), schemes=())
        place += 1
    return _Told(
        clients=tuple(_address(hop.get("for", "")) for hop in hops),
        schemes=_schemes([hop["proto"] for hop in hops if "proto" in hop]),
    )


def _schemes(said: Sequence[str]) -> tuple[str, ...]:
    known = tuple(scheme.strip().lower() for scheme in said)
    return known if set(known) <= {"http", "https"} else ()
