"""The same screen in a browser: textual-serve starts the debugger anew for everyone who opens the page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

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


def serve(arguments: Sequence[str], port: int) -> None:
    """Serve until interrupted. Raises MissingExtra; UnrollvizError where the port is taken."""
    check_installed()
    from textual_serve.server import Server

    try:
        Server(command(arguments), host=HOST, port=port, title="unrollviz").serve()
    except OSError as error:
        raise UnrollvizError(
            f"port {port} cannot be used ({error.strerror or error}); choose another with --port"
        ) from error
