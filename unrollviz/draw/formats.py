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
    from unrollviz.draw.view import Options, View

WHOSE = frozenset({"highlight", "target", "losses", "detail", "color_by", "title", "caption", "parameters"})
"""Which paths are spoken of, and what is said of them: every format tells that."""

LOOKS = frozenset({"steps", "every", "fold", "theme", "values"})
"""What only a picture has: which steps it shows, and how it looks."""

PURPOSES: dict[str, tuple[str, str]] = {
    "steps": ("--steps A..B", "chooses the steps that a picture shows"),
    "every": ("--every", "chooses the steps that a picture shows"),
    "fold": ("--no-fold", "chooses the steps that a picture shows"),
    "theme": ("--theme", "chooses the colours of a picture"),
    "values": ("--values", "draws values into the nodes of a picture"),
    "engine": ("--engine", "chooses the program that draws a picture"),
    "animate": ("--animate", "makes an SVG play both passes (svg-frames are their frames)"),
}
"""Option of a view that not every format honours -> its flag, and what it is for."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffixes: endings of file names that mean it, with their dots; none where only `--format` can ask for it.
        meaning: what it is, in a few words for --help.
        maker: `module:function`, imported when the format is asked for. The function takes a `View` and returns the
            bytes of the file; of a folder its files by name.
        takes: the options of a view that change it; another one that is given is refused.
        folder: whether it is a folder.
        lists_paths: whether it tells of all paths, not only of those that are highlighted.
    """

    suffixes: tuple[str, ...]
    meaning: str
    maker: str
    takes: frozenset[str]
    folder: bool = False
    lists_paths: bool = False

    def make(self, view: View) -> bytes | dict[str, bytes]:
        """The bytes of the file that shows `view`; of a folder its files by name."""
        module, _, function = self.maker.partition(":")
        data: bytes | dict[str, bytes] = getattr(import_module(module), function)(view)
        return data


FORMATS: dict[str, Format] = {
    "svg": Format(
        (".svg",),
        "a drawing for browsers, slides and papers",
        "unrollviz.draw.made:svg",
        WHOSE | LOOKS | {"engine", "animate"},
    ),
    "pdf": Format((".pdf",), "a drawing for LaTeX and printers", "unrollviz.draw.made:pdf", WHOSE | LOOKS | {"engine"}),
    "png": Format((".png",), "a drawing in pixels", "unrollviz.draw.made:png", WHOSE | LOOKS | {"engine"}),
    "dot": Format((".dot", ".gv"), "the text that Graphviz draws", "unrollviz.draw.made:dot", WHOSE | LOOKS),
    "svg-frames": Format(
        (), "a folder of SVGs, a frame each, for slides", "unrollviz.draw.animate:frames", WHOSE | LOOKS, folder=True
    ),
    "html": Format(
        (".html", ".htm"),
        "a page with paths, matrix and replay",
        "unrollviz.draw.page.page:page",
        WHOSE | LOOKS,
        lists_paths=True,
    ),
    "tikz": Format((".tex",), "a LaTeX document with the picture in TikZ", "unrollviz.draw.tikz:tikz", WHOSE | LOOKS),
    "graphml": Format(
        (".graphml",),
        "the whole graph as data, for networkx, yEd, Gephi",
        "unrollviz.draw.graphdata:graphml",
        WHOSE,
    ),
    "json": Format(
        (".json",), "the whole graph as data, as networkx' node-link JSON", "unrollviz.draw.graphdata:node_link", WHOSE
    ),
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


def honours(name: str, options: Options) -> None:
    """Raises UnrollvizError for the first option that is given and would change nothing in that format."""
    for option, (flag, purpose) in PURPOSES.items():
        usual = option == "fold"
        if option not in FORMATS[name].takes and options.get(option, usual) not in (None, usual):
            others = [other for other, format in FORMATS.items() if option in format.takes]
            listed = ", ".join(others[:-1]) + " or " + others[-1] if others[1:] else others[0]
            raise UnrollvizError(
                f"{flag} {purpose}; {name} is {FORMATS[name].meaning}: leave it out, or write {listed}"
            )


def check(path: str | Path, name: str | None = None, options: Options | None = None) -> Format:
    """The format of the file that is to be written, and that it can be, and that every one of `options` changes it.

    Raises UnknownName, UnrollvizError, BadFile."""
    format = format_of(path, name)
    honours(next(name for name, row in FORMATS.items() if row is format), options or {})
    check_writable_folder(path) if format.folder else check_writable(path)
    return format


def write(view: View, path: str | Path, name: str | None = None) -> None:
    """Write `view` to a file whose ending, or `name`, says the format; an existing file stays until then.

    Raises UnknownName, UnrollvizError, BadFile before the work starts; DrawingFailed, see `engine.render`."""
    format = check(path, name, view.options)
    made = format.make(view)
    if isinstance(made, bytes):
        write_atomically(path, made)
    else:
        write_folder_atomically(path, made)
