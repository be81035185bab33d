"""The same screen in a browser: textual-serve starts the debugger anew for everyone who opens the page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from unrollviz.errors import MissingExtra, UnrollvizError

HOST = "127.0.0.1"
"""Nobody else's machine: the page can write files here."""


def in_browser() -> bool:
    """Whether this process has been started by textual-serve, and draws for a browser."""
    return os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")


def command(arguments: Sequence[str]) -> str:
    """The shell's command that opens the debugger with these arguments."""
    return shlex.join([sys.executable, "-m", "unrollviz", "debug", *arguments])


def check_installed() -> None:
    """Raise MissingExtra without textual-serve."""
    try:
        import textual_serve.server  # noqa: F401
    except ImportError as error:
        raise MissingExtra("showing the debugger in a browser", "web") from error


def origins(port: int) -> tuple[str, ...]:
    """Where the page that is served may have come from."""
    return tuple(f"http://{host}:{port}" for host in ("localhost", HOST))


def server(arguments: Sequence[str], port: int) -> Any:
    """textual-serve's server, which lets any page in the person's browser connect, made to let only its own."""
    from aiohttp import web
    from textual_serve.server import Server

    class OwnPage(Server):
        async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
            if request.headers.get("Origin") not in origins(port):
                raise web.HTTPForbidden(text=f"only the page at {origins(port)[0]} may connect")
            return await super().handle_websocket(request)

    return OwnPage(command(arguments), host=HOST, port=port, title="unrollviz")


def serve(arguments: Sequence[str], port: int) -> None:
    """Serve until interrupted. Raises MissingExtra; UnrollvizError where the port is taken."""
    check_installed()
    try:
        server(arguments, port).serve()
    except OSError as error:
        raise UnrollvizError(
            f"port {port} cannot be used ({error.strerror or error}); choose another with --port"
        ) from error
