"""A view: everything that a picture is asked to show, checked and worked out. `Run.draw` and `render` make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict, Unpack

from unrollviz.draw import svg
from unrollviz.draw.adaptive import adaptive
from unrollviz.draw.colouring import COLOURINGS, Paint
from unrollviz.draw.dot import Drawing
from unrollviz.draw.engine import ENGINES
from unrollviz.draw.highlight import Highlight, Spec, from_neuron_to_neuron, highlighted, of_losses
from unrollviz.draw.legend import signed
from unrollviz.draw.scene import Scene
from unrollviz.draw.sheet import Picture
from unrollviz.draw.span import Folded, Span, folded, shown_times, steps_named
from unrollviz.draw.style import DARK, THEMES
from unrollviz.draw.text import integer
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Graph
from unrollviz.names import clean
from unrollviz.paths.pathset import Path, PathSet

if TYPE_CHECKING:
    from unrollviz.api import Run


class Options(TypedDict, total=False):
    """What can be asked of a picture.

    target, losses: whose paths are spoken of; the recurrent weight and all losses where not given.
    detail: the level of detail: state, gate or op.
    color_by: one of COLOURINGS.
    steps: steps to draw: `1..8`, or any steps; the others are folded.
    every: of those one in so many.
    fold: False draws every step; else long spans are folded.
    theme: light or dark.
    title: a line above;  caption: one below it.
    parameters: whether the number of parameters is told.
    values: whether nodes show their values.
    engine: who draws: None for SVG written directly and pygraphviz for the rest, or one of `engine.ENGINES`.
    animate: whether an SVG plays the forward and the backward pass.
    """

    target: str | None
    losses: str | Sequence[str] | None
    detail: str
    color_by: str | None
    steps: str | Sequence[int] | range | None
    every: int | None
    fold: bool
    theme: str | None
    title: str | None
    caption: str | None
    parameters: bool
    values: bool
    engine: str | None
    animate: bool


@dataclass(frozen=True, eq=False)
class View:
    """What is shown.

    Attributes:
        run: the unrolled network.
        paths: all paths from the losses to the target at the level of detail, counted, not walked.
        highlight: what is highlighted, None for nothing.
        options: as they were given.
    """

    run: Run
    paths: PathSet
    highlight: Highlight | None
    options: Options

    @property
    def graph(self) -> Graph:
        """The whole graph at the level of detail."""
        return self.paths.graph

    @property
    def path(self) -> Path | None:
        """The highlighted path, where it is one."""
        return None if self.highlight is None else self.highlight.path

    @property
    def engine(self) -> str | None:
        """Who draws."""
        return self.options.get("engine")

    @cached_property
    def paint(self) -> Paint | None:
        """What colours say."""
        name = self.options.get("color_by")
        return None if name is None else COLOURINGS[name].make(self.graph, self.paths.losses, self.paths.target)

    @cached_property
    def folded(self) -> Folded:
        """What of the graph is drawn."""
        steps, options = self.run.steps, self.options
        chosen = options.get("steps")
        wanted = steps_named(chosen, steps) if isinstance(chosen, str) else chosen
        needed = self.highlight.needed if self.highlight else ()
        shown = shown_times(self.graph, steps, wanted, options.get("every"), options.get("fold", True), needed)
        return folded(self.graph, shown, steps)

    @cached_property
    def scene(self) -> Scene:
        """All that is drawn."""
        options, highlight = self.options, self.highlight
        neurons = highlight.neurons if highlight is not None else ""
        notes = [f"neurons: {neurons}" if neurons else "", options.get("caption") or ""]
        if options.get("parameters"):
            notes.append(f"number of parameters: {self.run.network.count_parameters()}")
        return Scene(
            self.graph,
            self.folded,
            path=self.path,
            group=highlight if highlight is not None and highlight.path is None else None,
            of=of_losses(self.run, self.paths) if self.path is None or highlight is None else highlight.whose,
            paint=self.paint,
            theme=THEMES[options.get("theme") or "light"],
            title=options.get("title"),
            notes=tuple(note for note in notes if note),
            values=options.get("values", False),
            spans=self._on_spans(),
        )

    def _on_spans(self) -> dict[int, tuple[str, ...]]:
        """What is written on every folded span."""
        spans = self.folded.spans
        figures = self.highlight.through([span.times for span in spans.values()]) if self.highlight and spans else []
        told = dict(zip(spans, figures, strict=True)) if figures else {}
        return {time: self._on_span(span, told.get(time)) for time, span in spans.items()}

    def _on_span(self, span: Span, told: tuple[int, float] | None) -> tuple[str, ...]:
        which = f"t = {span.first} … {span.last}" if span.count > 1 else f"t = {span.first}"
        if self.highlight is None or told is None:
            return (which,)
        count, share = told
        if self.highlight.path is not None:
            return which, *(("the path goes", "through here") if count else ("not on the path",))
        if not count:
            return which, "none of", "these paths"
        return which, "through here:", f"{integer(count)} path{'s' if count != 1 else ''}", f"share {signed(share)}"

    @cached_property
    def drawing(self) -> Drawing:
        """The picture, shape by shape."""
        return Drawing(self.scene)

    def picture(self) -> Picture:
        """The picture in DOT: a `graphviz.Digraph` with every position given."""
        made = self.drawing.sheet.picture
        made.shown = self.in_notebook
        return made

    def in_notebook(self) -> str:
        """The picture as SVG; where no theme is asked for, it takes that of the reader's system."""
        if self.options.get("theme") is not None:
            return svg.written(self.drawing.sheet).decode("utf-8")
        return adaptive(self.drawing.sheet, Drawing(replace(self.scene, theme=DARK)).sheet)


def view(run: Run, highlight: Spec | None = None, **options: Unpack[Options]) -> View:
    """The view that is asked for. See `Options`.

    Raises UnknownName, UnrollvizError where there is none such."""
    for name, table, kind in (
        ("color_by", COLOURINGS, "colouring"),
        ("engine", ENGINES, "engine"),
        ("theme", THEMES, "theme"),
    ):
        given = options.get(name)
        if given is not None and given not in table:
            raise UnknownName(kind, str(given), table)
    every = options.get("every")
    if every is not None and every < 1:
        raise UnrollvizError(f"every {every}: give 1 or more, for one step in so many")
    if options.get("animate") and options.get("engine") is not None:
        raise UnrollvizError("no engine draws animations; leave the engine out")
    detail, target, losses = options.get("detail", "state"), options.get("target"), options.get("losses")
    if isinstance(highlight, Path) and target is None:
        target = highlight.nodes[-1]
    elif detail != "unit" and isinstance(highlight, Sequence):
        nodes = [name.strip() for name in (highlight.split(",") if isinstance(highlight, str) else highlight)]
        if len(nodes) > 1 and ":" not in nodes[0]:
            target = _ending(run, nodes, losses, target)
    aim = target or run.recurrent_weight
    found: Highlight | None
    if detail == "unit":
        paths, found = from_neuron_to_neuron(run, losses, aim, highlight)
        options = options | {"detail": "gate"}
    else:
        paths = run.paths(losses, aim, detail=detail)
        found = None if highlight is None else highlighted(run, paths, detail, highlight)
    made = View(run, paths, found, options)
    _ = made.folded  # what is wrong with the steps is said before anything is drawn
    return made


def _ending(run: Run, nodes: Sequence[str], losses: str | Sequence[str] | None, target: str | None) -> str:
    """Where the path through `nodes` ends. Raises UnrollvizError where the paths asked for do not begin or end so."""
    if target is not None and nodes[-1] != target:
        raise UnrollvizError(f"the path ends in {clean(nodes[-1])}, not in {clean(target)}; leave --param out")
    if losses is not None and nodes[0] in run.loss_names() and nodes[0] not in run.loss_names(losses):
        raise UnrollvizError(f"the path begins at {clean(nodes[0])}, which --loss leaves out; leave --loss out")
    return nodes[-1]
