"""From a view to its page."""

from __future__ import annotations

from dataclasses import replace

from unrollviz.draw.dot import Drawing
from unrollviz.draw.highlight import highlighted
from unrollviz.draw.legend import signed
from unrollviz.draw.page.content import Chosen, Content, Drawn, losses_of
from unrollviz.draw.page.document import document
from unrollviz.draw.page.markup import markup
from unrollviz.draw.page.replay import replay
from unrollviz.draw.style import DARK, LIGHT
from unrollviz.draw.text import integer, number
from unrollviz.draw.view import View
from unrollviz.names import clean, derivative, typeset

FLOWS = ("temporal", "lag", "loss")

HEAVIEST = 3
"""Paths whose steps are drawn though their neighbours are folded."""

_CELLS = {"elman": "an Elman network", "gru": "a GRU", "lstm": "an LSTM"}


def page(view: View) -> bytes:
    """One HTML document in UTF-8 that needs no other file and no network."""
    run, paths = view.run, view.paths
    shown = _with_heaviest(view)
    plain = {time: words[:1] for time, words in shown.scene.spans.items()}  # the page highlights by itself
    light, dark = (
        Drawing(replace(shown.scene, path=None, group=None, title=None, spans=plain, theme=theme))
        for theme in (LIGHT, DARK)
    )
    picture = markup(light, dark, f"The network unrolled over {run.steps} steps: columns are time steps.")
    passes = replay(view.graph, paths.losses, light.graph)
    content = Content(view.graph, run.graph, Drawn.of(light, shown.folded), passes)
    flows = {by: run.flow(paths.target, by, paths.losses, detail=view.options.get("detail", "state")) for by in FLOWS}
    data = content.json(paths, flows, _chosen(view))
    title = view.options.get("title")
    heading = clean(title) if title else _heading(view)
    html = document(heading, _facts(view), view.options.get("theme"), picture.svg, picture.css, data)
    return html.encode("utf-8")


def _with_heaviest(view: View) -> View:
    """The view, with the steps of the heaviest paths among those that are drawn, where not all are."""
    if view.highlight is not None or not view.folded.spans or view.options.get("steps") or view.paths.count == 0:
        return view
    detail = view.options.get("detail", "state")
    return replace(view, highlight=highlighted(view.run, view.paths, detail, f"top:{HEAVIEST}"))


def _chosen(view: View) -> Chosen | None:
    """What the page opens with."""
    found = view.highlight
    if found is None:
        return None
    total = found.sum
    words = f"{found.words}: {integer(total.count)} of {integer(found.of)} paths"
    return Chosen(found.path, tuple(found.edges), f"{words}, norm {number(total.norm)}, share {signed(total.share)}")


def _heading(view: View) -> str:
    cell = view.run.network.cell
    symbol = derivative(losses_of(view.paths), view.paths.target)
    return clean(f"{symbol} of {_CELLS.get(cell, cell)} over {view.run.steps} steps")


def _facts(view: View) -> str:
    source, target = typeset(losses_of(view.paths)), typeset(view.paths.target)
    count = view.paths.count
    led = "path leads" if count == 1 else "paths lead"
    return clean(f"{integer(count)} {led} from {source} back to {target}. Each contributes one term to the gradient.")
