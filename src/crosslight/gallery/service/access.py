"""Who may ask: whoever has the token, or a user's; or, of this machine alone, anybody.

A browser cannot send a header with a picture, so a token is exchanged once for a cookie that only
this service can read and that other sites cannot send.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from crosslight.errors import ConfigError
from crosslight.gallery.service.limits import is_loopback
from crosslight.gallery.service.users import UsersFile, Visitor, session_of

MIN_TOKEN_LENGTH = 16
_SESSION = re.compile(r"[0-9a-f]{64}")


class Access:
    """Decides whether a request may be answered.

    Args:
        token: What clients must know, or None for a service that only this machine reaches.
        users: Who may come in, in the place of whoever has the token.

    Raises:
        ConfigError: The token is too short to keep anybody out, or the users cannot be read.
    """

    def __init__(self, token: str | None = None, users: UsersFile | None = None) -> None:
        if token is not None and len(token) < MIN_TOKEN_LENGTH:
            raise ConfigError(
                f"The token has {len(token)} characters, expected {MIN_TOKEN_LENGTH} or more; "
                "leave --token-file out to have one made."
            )
        if users is not None and not users.users():
            raise ConfigError(
                f"{users.path} names nobody; say: crosslight users add {users.path} NAME"
            )
        self._session = None if token is None else session_of(token)
        self._users = users
        key = (token or "") if users is None else f"users {users.path.resolve()}"
        # Cookies of one host are shared between its ports: each service has a name of its own.
        name = hmac.digest(key.encode(), b"crosslight cookie", hashlib.sha256).hex()[:8]
        self.cookie_name = f"crosslight-{name}"

    @property
    def needs_token(self) -> bool:
        """Whether a client must show a token."""
        return self._session is not None or self._users is not None

    def by_token(self, headers: Mapping[str, str]) -> Visitor | None:
        """Whose token `Authorization: Bearer` holds; None: nobody's.

        Raises:
            ConfigError: The users cannot be read.
        """
        session = shown_session(headers)
        return None if session is None else self._visitor(session)

    def by_cookie(self, headers: Mapping[str, str]) -> Visitor | None:
        """Who showed a token to this service before, in this browser; None: nobody.

        Raises:
            ConfigError: The users cannot be read.
        """
        # By hand: the standard library drops all cookies from the first on that it does not like,
        # and other applications of the host put what they please beside ours.
        for cookie in headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.cookie_name and _SESSION.fullmatch(value):
                visitor = self._visitor(value)
                if visitor is not None:
                    return visitor
        return None

    def host_is_ours(self, headers: Mapping[str, str]) -> bool:
        """Whether the `Host` is a name of this machine, where no token protects the service.

        A foreign site can give its own name this machine's address and then read what the browser
        gets; the name gives it away.
        """
        if self.needs_token:
            return True
        return is_loopback(_host_name(headers.get("host", "")))

    def _visitor(self, session: str) -> Visitor | None:
        if self._users is not None:
            return self._users.by_session(session)
        expected = self._session or ""
        return Visitor() if hmac.compare_digest(session.encode(), expected.encode()) else None


def shown_session(headers: Mapping[str, str]) -> str | None:
    """What a cookie holds in exchange for the token of the header `Authorization: Bearer`."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    return session_of(given.strip()) if kind.lower() == "bearer" else None


def comes_from_elsewhere(headers: Mapping[str, str], *, scheme: str = "http") -> bool:
    """Whether a page of another site made the browser ask.

    Args:
        headers: Of the request.
        scheme: Of the connection, as far as it is known: where it is `https`, the same name
            without TLS is another site, which anybody on the way could have written.
    """
    if headers.get("sec-fetch-site") == "cross-site":
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    site = urlsplit(origin)
    if scheme == "https" and site.scheme != "https":
        return True
    return site.netloc.lower() != headers.get("host", "").lower()


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
