"""The page's own files, read once at the start; nothing else of the disk can be asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """`/` gives index.html; every file of the folder is at `/page/NAME`."""
    routes = []
    for path, file in _walk(files("theobot.serving") / "page", ""):
        kind = _KINDS.get(path.rpartition(".")[2])
        if kind is None:
            continue
        places = [f"/page/{path}", *(["/"] if path == "index.html" else [])]
        body = file.read_bytes()
        routes += [Route(place, _give(body, kind), methods=["GET"]) for place in places]
    return routes


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    if not folder.is_dir():
        return []
    found: list[tuple[str, Traversable]] = []
    for item in sorted(folder.iterdir(), key=lambda one: one.name):
        path = f"{prefix}{item.name}"
        found += _walk(item, f"{path}/") if item.is_dir() else [(path, item)]
    return found


def _give(body: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(request: Request) -> Response:
        return Response(body, media_type=None, headers={**_HEADERS, "Content-Type": kind})

    return give
