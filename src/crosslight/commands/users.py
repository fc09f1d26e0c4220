"""The file of a service's users: adds, removes and lists them."""

from __future__ import annotations

import sys
from pathlib import Path

from crosslight.gallery.service.users import ROLES, RoleName, UsersFile


def add(file: Path, name: str, role: RoleName) -> None:
    """Adds a user; the token alone goes to stdout.

    Raises:
        ConfigError: The name is taken or cannot be used, or the file is none of users.
    """
    token = UsersFile(file).add(name, ROLES[role])
    print(f"{name} may {_may(role)}. This token is not kept; hand it on now:", file=sys.stderr)
    print(token)


def remove(file: Path, name: str) -> None:
    """Removes a user.

    Raises:
        ConfigError: There is no such user, or the file is none of users.
    """
    UsersFile(file).remove(name)
    print(f"{name} was removed from {file}.")


def list_users(file: Path) -> None:
    """Prints names and roles.

    Raises:
        ConfigError: The file is none of users.
    """
    users = UsersFile(file).users()
    width = max((len(user.name) for user in users), default=0)
    for user in users:
        print(f"{user.name:<{width}}  {user.role.spoken}")


def _may(role: RoleName) -> str:
    return " and ".join(list(ROLES)[: ROLES[role]])
