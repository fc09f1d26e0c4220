"""Who may use a service: names, what each may do, and how their tokens are recognised.

A file of users has a line for each: a name, a role, and the SHA-256 of what the user's cookie
holds, which is itself made from the token. So the file tells nobody a token or a cookie, and both
go on being recognised when the service is started anew.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal, get_args

from crosslight.errors import ConfigError
from crosslight.files import followed, written_whole
from crosslight.locking import FolderLock

_NAME = re.compile(r"[\w.@+-]{1,64}")
_MARK = re.compile(r"[0-9a-f]{64}")
_TITLE = "# Users of crosslight serve: name, role, mark of the token. See crosslight users.\n"


RoleName = Literal["search", "label", "remove"]


class Role(IntEnum):
    """What a user may do; each may also what those before it may."""

    SEARCH = 1
    LABEL = 2
    REMOVE = 3

    @property
    def spoken(self) -> RoleName:
        """As users write it."""
        return _SPOKEN[self]


_SPOKEN: dict[Role, RoleName] = dict(zip(Role, get_args(RoleName), strict=True))
ROLES: dict[str, Role] = {spoken: role for role, spoken in _SPOKEN.items()}
"""By the name that users write."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Whoever made a request.

    Attributes:
        name: Of a user; None for who has the one token, or for anybody where none is needed.
        role: What the visitor may do.
    """

    name: str | None = None
    role: Role = Role.LABEL


@dataclass(frozen=True, kw_only=True)
class User:
    """A line of the file.

    Attributes:
        name: Letters, digits and `.@+-_`, at most 64.
        role: What the user may do.
        mark: What recognises the token, see `mark_of`.
    """

    name: str
    role: Role
    mark: str


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def session_of(token: str) -> str:
    """What the cookie of a client that has shown the token holds; not the token itself."""
    return hmac.digest(token.encode(), b"crosslight session", hashlib.sha256).hex()


def mark_of(session: str) -> str:
    """What is kept to recognise a session, and by it a token; nothing leads back from it."""
    return hashlib.sha256(session.encode()).hexdigest()


class UsersFile:
    """The users of a file, which may change while a service runs.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: bytes | None = None
        self._users: dict[str, User] = {}

    def users(self) -> tuple[User, ...]:
        """All of them, in the file's order.

        Raises:
            ConfigError: The file cannot be read, is no file of users, or is open to others.
        """
        return tuple(self._now().values())

    def by_session(self, session: str) -> Visitor | None:
        """The user whose token made this session, as the file says now.

        Raises:
            ConfigError: As `users`; nobody is let in by what the file said before.
        """
        found = self._now().get(mark_of(session))
        return None if found is None else Visitor(name=found.name, role=found.role)

    def add(self, name: str, role: Role) -> str:
        """Adds a user and makes the file where there is none; gives the token, which is not kept.

        Raises:
            ConfigError: The name is taken or cannot be used, or as `users`.
            OSError: The file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The name {name!r} cannot be used; take letters, digits and . @ + - _, at most 64."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            known = self.users() if self.path.exists() else ()
            if any(user.name == name for user in known):
                raise ConfigError(
                    f"{self.path} has a user {name} already; for another token or role, remove "
                    f"the user first: crosslight users remove {self.path} {name}"
                )
            token = new_token()
            self._write((*known, User(name=name, role=role, mark=mark_of(session_of(token)))))
        return token

    def remove(self, name: str) -> None:
        """Removes a user, whose token and cookies are worth nothing from then on.

        Raises:
            ConfigError: There is no such user, or as `users`.
            OSError: The file cannot be written.
        """
        self.users()
        with self._alone():
            known = self.users()
            kept = tuple(user for user in known if user.name != name)
            if len(kept) == len(known):
                names = ", ".join(user.name for user in known) or "nobody"
                raise ConfigError(f"{self.path} has no user {name}; it has {names}.")
            self._write(kept)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile; two at once would lose one's change."""
        place = followed(self.path)
        lock = FolderLock(place.parent, name := f".{place.name}.lock")
        lock.acquire_when_free()
        while not lock.is_in_place():  # whoever had it took its file away
            lock.release()
            lock.acquire_when_free()
        try:
            yield
        finally:
            # Root's would keep the file's owner out.
            with suppress(OSError):
                (place.parent / name).unlink()
            lock.release()

    def _now(self) -> dict[str, User]:
        # All of it at every request: a few lines, and a change is never missed.
        try:
            with self.path.open("rb") as file:
                exposed = exposure_of(self.path, os.fstat(file.fileno()).st_mode)
                content = file.read()
        except OSError as error:
            raise ConfigError(
                f"The users cannot be read from {self.path} ({error.strerror}); make the file with "
                f"crosslight users add {self.path} NAME."
            ) from error
        if exposed:
            raise ConfigError(exposed)
        if content != self._content:
            self._users = {user.mark: user for user in _parsed(content, self.path)}
            self._content = content
        return self._users

    def _write(self, users: tuple[User, ...]) -> None:
        lines = (f"{user.name} {user.role.spoken} {user.mark}\n" for user in users)
        before = self.path.stat() if self.path.exists() else None
        mode = 0o600 if before is None else stat.S_IMODE(before.st_mode)
        with written_whole(self.path, mode=mode) as file:
            if before is not None and os.name != "nt" and os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)  # the service's, not root's
            file.write("".join((_TITLE, *lines)).encode())


def exposure_of(path: Path, mode: int) -> str | None:
    """What to say where others on this machine can read a file of this mode, or change it."""
    if os.name == "nt" or not mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        return None
    can = "read" if mode & stat.S_IROTH else "change"
    return (
        f"Other users of this machine can {can} {path} (mode {stat.S_IMODE(mode):03o}); say: "
        f"chmod 600 {path}"
    )


def _parsed(content: bytes, path: Path) -> list[User]:
    users: list[User] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if (
            len(words) != 3
            or not _NAME.fullmatch(words[0])
            or words[1] not in ROLES
            or not _MARK.fullmatch(words[2])
        ):
            raise ConfigError(
                f"Line {number} of {path} is no user; expected a name, one of {', '.join(ROLES)}, "
                f"and 64 hexadecimal digits, as crosslight users add {path} NAME writes them."
            )
        if any(user.name == words[0] for user in users):
            raise ConfigError(f"Line {number} of {path} names {words[0]} again; keep one of them.")
        users.append(User(name=words[0], role=ROLES[words[1]], mark=words[2]))
    return users
