"""Notes in the audit log who makes a request, and what for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from crosslight.gallery.audit import Action, Audit
from crosslight.gallery.service.roles import VisitorOf


class Note:
    """Of one request; does nothing where no log is kept.

    Args:
        request: The request.
        visitor: Who makes it.
    """

    def __init__(self, request: Request, visitor: VisitorOf) -> None:
        self._audit: Audit | None = request.app.state.audit
        self._who = visitor.name
        self._origin = request.client.host if request.client else ""

    def __call__(self, action: Action, what: Mapping[str, Any], *, rows: int | None) -> None:
        """Adds a line; see `Audit.write`.

        Raises:
            GalleryError: It cannot be written.
        """
        if self._audit is not None:
            self._audit.write(action, who=self._who, origin=self._origin, what=what, rows=rows)


NoteOf = Annotated[Note, Depends()]
