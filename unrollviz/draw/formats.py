"""What a view can be written as: one table, a row a format. Files are written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.files import check_writable, check_writable_folder, write_atomically, write_folder_atomically
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
            bytes of the file; of a folder its files by name.
        folder: whether it is a folder.
        lists_paths: whether it tells of all paths, not only of those that are highlighted.
    """

    suffixes: tuple[str, ...]
    meaning: str
    maker: str
    folder: bool = False
    lists_paths: bool = False

    def make(self, view: View) -> bytes | dict[str, bytes]:
        """The bytes of the file that shows `view`; of a folder its files by name."""
        module, _, function = self.maker.partition(":")
        data: bytes | dict[str, bytes] = getattr(import_module(module), function)(view)
        return data


FORMATS: dict[str, Format] = {
    "svg": Format((".svg",), "a drawing for browsers, slides and papers", "unrollviz.draw.made:svg"),
    "pdf": Format((".pdf",), "the same for LaTeX and printers", "unrollviz.draw.made:pdf"),
    "png": Format((".png",), "the same in pixels", "unrollviz.draw.made:png"),
    "dot": Format((".dot", ".gv"), "Graphviz's own text, every position given", "unrollviz.draw.made:dot"),
    "svg-frames": Format(
        (), "a folder of SVGs, a frame each, for slides", "unrollviz.draw.animate:frames", folder=True
    ),
    "html": Format(
        (".html", ".htm"), "a page with paths, matrix and replay", "unrollviz.draw.page.page:page", lists_paths=True
    ),
    "tikz": Format((".tex",), "a LaTeX document with the picture in TikZ", "unrollviz.draw.tikz:tikz"),
    "graphml": Format((".graphml",), "the graph as data, for networkx, yEd, Gephi", "unrollviz.draw.graphdata:graphml"),
    "json": Format((".json",), "the graph as data, as networkx' node-link JSON", "unrollviz.draw.graphdata:node_link"),
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


def check(path: str | Path, name: str | None = None, animate: bool = False) -> Format:
    """The format of the file that is to be written, and that it can be.

    Raises UnknownName, UnrollvizError, BadFile."""
    format = format_of(path, name)
    if animate and format is not FORMATS["svg"]:
        raise UnrollvizError(
            "only an SVG can be animated; write to a file that ends in .svg, or take --format svg-frames"
        )
    check_writable_folder(path) if format.folder else check_writable(path)
    return format


def write(view: View, path: str | Path, name: str | None = None) -> None:
    """Write `view` to a file whose ending, or `name`, says the format; an existing file stays until then.

    Raises UnknownName, UnrollvizError, BadFile before the work starts; DrawingFailed, see `engine.render`."""
    format = check(path, name)
    made = format.make(view)
    if isinstance(made, bytes):
        write_atomically(path, made)
    else:
        write_folder_atomically(path, made)
