"""What a route asks of whoever makes the request; the guard has found out who that is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from crosslight.gallery.service.guard import VISITOR
from crosslight.gallery.service.users import Role, Visitor


def visitor_of(request: Request) -> Visitor:
    """Who makes the request."""
    visitor: Visitor = getattr(request.state, VISITOR)
    return visitor


VisitorOf = Annotated[Visitor, Depends(visitor_of)]


class Needs:
    """A route's dependency: refuses visitors whose role does not reach.

    Args:
        role: What they must be allowed.
    """

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, visitor: VisitorOf) -> None:
        """Lets the request pass.

        Raises:
            HTTPException: 403, the role does not reach.
        """
        if visitor.role >= self.role:
            return
        wanted = self.role.spoken
        if visitor.name is None:
            raise HTTPException(
                403,
                f"Only users with a name of their own and the role {wanted} may do this; start the "
                "service with --users FILE.",
            )
        raise HTTPException(
            403,
            f"{visitor.name} has the role {visitor.role.spoken}, and this needs the role {wanted}; "
            "ask whoever keeps the users of this service.",
        )


def needs(role: Role) -> Any:
    """As one of a route's `dependencies`."""
    return Depends(Needs(role))
