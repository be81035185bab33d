"""One SVG for light and dark readers: it takes the colours that the reader's system prefers. For notebooks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from unrollviz.draw import svg
from unrollviz.draw.sheet import Sheet

_SHAPE = re.compile(r"<(?:rect|ellipse|path|polygon|text)\b[^>]*?(?=/?>)")
_PAINT = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')


def adaptive(light: Sheet, dark: Sheet) -> str:
    """The picture on light paper, and on dark paper where the reader's system is dark; both sheets show the same.

    Text is escaped, so that nothing in it looks like the start of a shape. The rules hold in this picture alone: a page
    may have several in it, and then all style sheets are everybody's."""
    by_day, by_night = (svg.written(sheet).decode("utf-8") for sheet in (light, dark))
    others: Iterator[str] = iter(_SHAPE.findall(by_night))
    names: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        pairs = zip(_PAINT.findall(match[0]), _PAINT.findall(next(others)), strict=True)
        rule = ";".join(f"{paint}:{other}" for (paint, colour), (_, other) in pairs if colour != other)
        return f'{match[0]} class="{names.setdefault(rule, f"c{len(names)}")}"' if rule else match[0]

    made = _SHAPE.sub(named, by_day)
    own = f"u{zlib.crc32(made.encode()):08x}"
    rules = "".join(f"#{own} .{name}{{{rule}}}" for rule, name in names.items())
    head, start, rest = made.partition("<svg ")
    opening, end, body = rest.partition(">\n")
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n"
    return f'{head}{start}id="{own}" {opening}{end}{style}{body}'
