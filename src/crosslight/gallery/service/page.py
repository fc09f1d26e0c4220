"""The page and its files: read once from the package, so that no request ever names a file."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGES = {"/": "index.html", "/docs": "api.html"}


def page_router() -> APIRouter:
    """The routes of the page, of the description of the API, and of what they load."""
    folder = files("crosslight.gallery") / "static"
    contents = {item.name: item.read_bytes() for item in folder.iterdir() if _kind(item.name)}
    tags = {name: f'"{hashlib.sha256(it).hexdigest()[:32]}"' for name, it in contents.items()}
    router = APIRouter(include_in_schema=False)

    def answer(request: Request, name: str) -> Response:
        if name not in contents:
            raise HTTPException(404, "There is no such file.")
        headers = {"etag": tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(contents[name], media_type=_kind(name), headers=headers)

    for route, name in PAGES.items():

        def page(request: Request, name: str = name) -> Response:
            return answer(request, name)

        router.add_api_route(route, page, methods=["GET"])

    @router.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        return answer(request, name)

    return router


def _kind(name: str) -> str | None:
    return KINDS.get(name[name.rfind(".") :])
