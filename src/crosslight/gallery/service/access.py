"""Who may ask: the token of a service that others can reach, and the names of one that they cannot.

A browser cannot send a header with a picture, so the token is exchanged once for a cookie that
only this service can read and that other sites cannot send.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from crosslight.errors import ConfigError
from crosslight.gallery.service.limits import is_loopback

MIN_TOKEN_LENGTH = 16


class Access:
    """Decides whether a request may be answered.

    Args:
        token: What clients must know, or None for a service that only this machine reaches.

    Raises:
        ConfigError: The token is too short to keep anybody out.
    """

    def __init__(self, token: str | None) -> None:
        if token is not None and len(token) < MIN_TOKEN_LENGTH:
            raise ConfigError(
                f"The token has {len(token)} characters, expected {MIN_TOKEN_LENGTH} or more; "
                "leave --token-file out to have one made."
            )
        self._token = token
        key = (token or "").encode()
        self._session = hmac.digest(key, b"crosslight session", hashlib.sha256).hex()
        # Cookies of one host are shared between its ports: each service has a name of its own.
        name = hmac.digest(key, b"crosslight cookie", hashlib.sha256).hex()[:8]
        self.cookie_name = f"crosslight-{name}"

    @property
    def needs_token(self) -> bool:
        """Whether a client must show the token."""
        return self._token is not None

    @property
    def cookie_value(self) -> str:
        """What the cookie of a client that has shown the token holds; not the token itself."""
        return self._session

    def shows_token(self, headers: Mapping[str, str]) -> bool:
        """Whether `Authorization: Bearer` holds the token."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if self._token is None or kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    def shows_cookie(self, headers: Mapping[str, str]) -> bool:
        """Whether the request comes from a browser that has shown the token before."""
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        shown = cookies.get(self.cookie_name)
        return shown is not None and hmac.compare_digest(
            shown.value.encode(), self._session.encode()
        )

    def host_is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether the `Host` is a name of this machine, where no token protects the service.

        A foreign site can give its own name this machine's address and then read what the browser
        gets; the name gives it away.
        """
        if self._token is not None:
            return True
        return is_loopback(_host_name(headers.get("host", "")))


def comes_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site made the browser ask."""
    if headers.get("sec-fetch-site") == "cross-site":
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
