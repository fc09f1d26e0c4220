"""Refuses fields that a call does not have: an ignored filter would find everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import Depends, HTTPException, Request

from crosslight.registry import did_you_mean

_LONGEST = 60
_API = "/api/"


async def _require_known(request: Request) -> None:
    """Lets a call of the API pass that has known fields alone, each where it belongs.

    Raises:
        HTTPException: 422, a field is unknown, stands in the wrong place, or a body is not wanted.
    """
    route: Any = request.scope["route"]
    if not route.path.startswith(_API):  # health checks and scrapers may add what they like
        return
    address = [field.alias for field in route.dependant.query_params]
    form = [field.alias for field in route.dependant.body_params]
    _check(request.query_params, address, form, "send it as a field of the form")
    if form:
        _check(await request.form(), form, address, "write it into the address")
        return
    sent = request.headers
    if sent.get("content-length", "0") != "0" or "transfer-encoding" in sent:
        takes = f"its fields stand in the address: {', '.join(address)}" if address else "send none"
        raise HTTPException(422, f"This call takes no body; {takes}.")


def _check(sent: Iterable[str], known: list[str], elsewhere: list[str], remedy: str) -> None:
    for name in sent:
        if name in elsewhere:
            raise HTTPException(422, f"{name} stands in the wrong place; {remedy}.")
        if name not in known:
            hint = did_you_mean(name, known or elsewhere) if known or elsewhere else "; send none."
            raise HTTPException(422, f"Unknown field {name[:_LONGEST]!r}{hint}")


KNOWN_FIELDS_ONLY = Depends(_require_known)
"""As one of a router's `dependencies`."""
