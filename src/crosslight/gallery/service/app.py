"""The service as an ASGI application."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from crosslight.errors import ConfigError, CrosslightError, DataError
from crosslight.gallery.audit import Audit
from crosslight.gallery.search import Searcher
from crosslight.gallery.service.access import Access
from crosslight.gallery.service.desk import BusyError, Desk
from crosslight.gallery.service.guard import Guard
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.metrics import Metrics
from crosslight.gallery.service.page import page_router
from crosslight.gallery.service.people_routes import people_router
from crosslight.gallery.service.proxies import Proxies
from crosslight.gallery.service.routes import router
from crosslight.gallery.service.users import UsersFile
from crosslight.gallery.stores.complaints import StoreClosedError
from crosslight.gallery.stores.writing import StoreBusyError
from crosslight.version import __version__

DESCRIPTION = """
Search for a person across cameras that see in different light. Every error is
`{"error": "one sentence"}`. A service that others can reach needs its token in the header
`Authorization: Bearer TOKEN`. Of pictures that are sent nothing is kept.
"""

_PLAIN = {
    "Not Found": "There is nothing at this address; /docs lists what there is.",
    "Method Not Allowed": "This address does not take that method; /docs lists what it takes.",
}
"""The framework's own words, as sentences."""

_log = logging.getLogger("crosslight.service")


def create_app(
    searcher: Searcher,
    *,
    token: str | None = None,
    users: UsersFile | None = None,
    proxies: Proxies | None = None,
    limits: Limits | None = None,
    audit: Audit | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The service of one gallery.

    Args:
        searcher: Model and store; the store is closed when the service stops.
        token: What clients must know; None only where nobody but this machine can reach it.
        users: Who may come in, in place of the token.
        proxies: Whose word about their clients is believed; None: nobody's.
        limits: What is accepted; None: the usual.
        audit: Where it is kept who searches, removes and exports; None: nowhere.
        clock: Seconds that never go back.

    Raises:
        ConfigError: The token is too short, or the users cannot be read.
    """
    limits = limits or Limits()
    access, metrics = Access(token, users), Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        searcher.store.close()

    app = FastAPI(
        title="crosslight",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # the usual page loads its program from a CDN; ours is static/api.html
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.desk = Desk(searcher, limits, clock=clock)
    app.state.access = access
    app.state.metrics = metrics
    app.state.audit = audit
    app.include_router(router)
    app.include_router(people_router)
    app.include_router(page_router())
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(DataError, _unusable)
    app.add_exception_handler(ConfigError, _unusable)
    app.add_exception_handler(StoreBusyError, _written_by_another)
    app.add_exception_handler(StoreClosedError, _closed)
    app.add_exception_handler(CrosslightError, _unavailable)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(
        Guard, access=access, limits=limits, metrics=metrics, proxies=proxies, clock=clock
    )
    return app


def _sentence(status: int, sentence: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status, headers=headers or None)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][1:]) or "the request"
    return _sentence(422, f"{where}: {first['msg']}.")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = _PLAIN.get(str(error.detail), str(error.detail))
    return _sentence(error.status_code, sentence, **dict(error.headers or {}))


async def _unusable(_: Request, error: Exception) -> Response:
    return _sentence(422, str(error))


async def _written_by_another(_: Request, __: Exception) -> Response:
    sentence = "Another process is writing to the gallery; try again when it is done."
    return _sentence(503, sentence, **{"retry-after": "5"})


async def _closed(_: Request, error: Exception) -> Response:
    _log.error("%s", error)
    return _sentence(
        503,
        "The service's user may not read or write all of the gallery; its administrator has to "
        "allow that, and the service's log says where.",
    )


async def _unavailable(_: Request, error: Exception) -> Response:
    _log.error("%s", error)
    return _sentence(503, "The gallery's store or model cannot answer; the service's log says why.")


async def _busy(_: Request, __: Exception) -> Response:
    sentence = "Too many searches at once; try again in a second."
    return _sentence(429, sentence, **{"retry-after": "1"})


async def _failed(_: Request, __: Exception) -> Response:
    return _sentence(500, "The service failed; its log says why.")
