"""The commands about the users of a service: names, flags and help; see `crosslight.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from crosslight.gallery.service.users import RoleName

users_app = SubcommandApp()

FileArgument = Positional[Annotated[Path, arg(metavar="FILE")]]


@users_app.command(name="add")
def add(file: FileArgument, name: Positional[str], *, role: RoleName = "search") -> None:
    """Add a user and print the user's token, which is kept nowhere.

    Args:
        file: File of users, made where there is none; a running service sees the change.
        name: Letters, digits and . @ + - _.
        role: What the user may do; each may also what those before it may.
    """
    from crosslight.commands.users import add as run

    run(file, name, role)


@users_app.command(name="remove")
def remove(file: FileArgument, name: Positional[str]) -> None:
    """Remove a user, whose token and open browsers are refused from then on.

    Args:
        file: File of users.
        name: Of the user.
    """
    from crosslight.commands.users import remove as run

    run(file, name)


@users_app.command(name="list")
def list_users(file: FileArgument) -> None:
    """List names and roles.

    Args:
        file: File of users.
    """
    from crosslight.commands.users import list_users as run

    run(file)
