"""The page of a training run: what its script knows as one JSON object, and the document around it."""

from __future__ import annotations

from typing import Any

from unrollviz.draw.page.content import Json, exact
from unrollviz.draw.page.document import HISTORY, document
from unrollviz.draw.panels import PANELS, ROUTE_WORDS, Course, Panel, panels, pooled
from unrollviz.history import ROUTES, History
from unrollviz.names import clean, typeset
from unrollviz.plots import Grid

SIGNIFICANT = 6
"""Digits of the figures on the page; `--json` and `--csv` have all of them."""


def page(course: Course, place: int, title: str | None = None, theme: str | None = None) -> bytes:
    """One HTML document in UTF-8 that needs no other file and no network; it opens with watched parameter `place`.

    `theme` is light or dark; None for what the reader's system says."""
    shown = course.thinned()
    records = f"{len(shown)} records"
    if len(shown) < len(course.history):
        records += f" of {len(course.history)}, evenly picked"
    facts = f"{course.heading}; {records}. Where does the gradient come from while the network learns?"
    heading = title or f"{course.symbol(place)} while it learns"
    return document(clean(heading), clean(facts), theme, "", "", content(course, place), HISTORY).encode("utf-8")


def content(course: Course, place: int) -> Json:
    """Everything that the page knows; `opened` is the watched parameter that it begins with."""
    history = course.thinned()
    return {
        "updates": history.updates.tolist(),
        "epochs": history.epochs.tolist(),
        "losses": _short(history.losses.tolist()),
        "opened": place,
        "watched": [
            {
                "name": clean(typeset(name)),
                "symbol": clean(course.symbol(index)),
                "panels": [_panel(*named) for named in zip(PANELS, panels(course, index), strict=True)],
                "bars": _bars(history, index),
            }
            for index, name in enumerate(history.watched)
        ],
    }


def _panel(name: str, panel: Panel) -> Json:
    """A chart has `curves` over `at`, a grid `values` (rows, updates) over `rows`."""
    part = panel.part
    about: Json = {"name": name, "title": clean(panel.title), "words": clean(panel.words)}
    if isinstance(part, Grid):
        return about | {"rows": list(part.rows), "values": _short(part.values.tolist())}
    return about | {
        "reference": panel.reference_drawn,
        "ordered": panel.ordered,
        "at": list(part.at),
        "curves": [
            {"name": clean(curve.name), "unit": curve.unit, "values": _short(curve.values.tolist())}
            for curve in part.curves
        ],
    }


def _bars(history: History, place: int) -> Json:
    """By lag, loss and route: `labels` of the bars, `by` how many of them share one, `shares` one list a record."""
    found: Json = {}
    for by, shares, first in (("lag", history.lag_shares, 0), ("loss", history.loss_shares, 1)):
        summed, size = pooled(shares[:, place])
        labels = [str(first + size * index) for index in range(summed.shape[1])]
        found[by] = {"name": by, "by": size, "labels": labels, "shares": _short(summed.tolist())}
    used = [index for index in range(len(ROUTES)) if history.route_norms[:, place, index].any()] or [0]
    found["route"] = {
        "name": "route",
        "by": 1,
        "labels": [ROUTE_WORDS[ROUTES[index]] for index in used],
        "shares": _short(history.route_shares[:, place, used].tolist()),
    }
    return found


def _short(values: Any) -> Any:
    """Nested lists of SIGNIFICANT digits; null where a figure is undefined."""
    if isinstance(values, list):
        return [_short(value) for value in values]
    return exact(float(f"{values:.{SIGNIFICANT}g}"))
