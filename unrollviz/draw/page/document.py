"""The page as one HTML document: markup, style, script and data, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of page: its markup, and the files that in this order are its one style sheet and its one script."""

    markup: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


RUN = Kind(
    "page.html", ("page.css",), ("dom.js", "picture.js", "paths.js", "matrix.js", "replay.js", "theme.js", "page.js")
)
HISTORY = Kind("history.html", ("page.css", "history.css"), ("dom.js", "charts.js", "theme.js", "history.js"))

_GAP = re.compile(r"\{\{(\w+)\}\}")


def document(
    title: str, facts: str, theme: str | None, svg: str, css: str, data: Mapping[str, Any], kind: Kind = RUN
) -> str:
    """The whole page.

    Args:
        title, facts: any text.
        theme: light or dark; None for what the reader's system says.
        svg, css: of the picture, as `unrollviz.draw.page.markup` makes them; may be empty.
        data: what the script reads, as `unrollviz.draw.page.content` collects it.
        kind: RUN or HISTORY.
    """
    style = "\n" + "\n".join([*map(_own, kind.styles), css])
    script = "\n" + "\n".join(map(_own, kind.scripts))
    parts = {
        "policy": policy(style, script),
        "title": html.escape(title),
        "facts": html.escape(facts),
        "theme": html.escape(f' data-theme="{theme}"', quote=False) if theme else "",
        "style": style,
        "script": script,
        "svg": svg,
        "data": escaped_json(data),
    }
    return _GAP.sub(lambda gap: parts[gap[1]], _own(kind.markup))  # in one go: no part can fill a gap of its own


def policy(style: str, script: str) -> str:
    """A content-security policy under which only this style and this script count, and nothing is ever fetched."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def escaped_json(data: Mapping[str, Any]) -> str:
    """JSON in which nothing can end the element that it stands in: `<`, `>` and `&` as `\\u003c`, …"""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
