"""What a view can be written as: one table, a row a format. Files are written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.draw.view import View


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffixes: endings of file names that mean it, with their dots; none where only `--format` can ask for it.
        meaning: what it is, in a few words for --help.
        maker: `module:function`, imported when the format is asked for. The function takes a `View` and returns the
            bytes of the file.
    """

    suffixes: tuple[str, ...]
    meaning: str
    maker: str

    def make(self, view: View) -> bytes:
        """The bytes of the file that shows `view`."""
        module, _, function = self.maker.partition(":")
        data: bytes = getattr(import_module(module), function)(view)
        return data


FORMATS: dict[str, Format] = {
    "svg": Format((".svg",), "a drawing for browsers, slides and papers", "unrollviz.draw.made:svg"),
    "pdf": Format((".pdf",), "the same for LaTeX and printers", "unrollviz.draw.made:pdf"),
    "png": Format((".png",), "the same in pixels", "unrollviz.draw.made:png"),
    "dot": Format((".dot", ".gv"), "Graphviz's own text, every position given", "unrollviz.draw.made:dot"),
}
"""Name -> format. To add one: a row here, and the function that it names."""


def format_of(path: str | Path, name: str | None = None) -> Format:
    """The format called `name`; where not given, the one that the ending of `path` means.

    Raises UnknownName for another name, UnrollvizError for an ending that means none."""
    if name is not None:
        if name not in FORMATS:
            raise UnknownName("format", clean(name), FORMATS)
        return FORMATS[name]
    ending = Path(path).suffix.lower()
    for format in FORMATS.values():
        if ending in format.suffixes:
            return format
    endings = ", ".join(suffix for format in FORMATS.values() for suffix in format.suffixes)
    raise UnrollvizError(f"{clean(str(path))}: the ending names the format; choose one of {endings}, or give --format")


def write(view: View, path: str | Path, name: str | None = None) -> None:
    """Write `view` to a file whose ending, or `name`, says the format; an existing file stays until then.

    Raises UnknownName, UnrollvizError, BadFile before the work starts; DrawingFailed, see `engine.render`."""
    format = format_of(path, name)
    check_writable(path)
    write_atomically(path, format.make(view))
