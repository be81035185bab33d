"""A training run's history: how loss, reach, routes and norms changed, as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.panels import ROUTE_WORDS
from unrollviz.draw.text import number, percent, table
from unrollviz.errors import UnknownName
from unrollviz.history import COLUMNS, LABELS, ROUTES, History
from unrollviz.names import clean, typeset
from unrollviz.report.figures import Json, exact
from unrollviz.report.train import picked
from unrollviz.training.checkpoints import Checkpoint

WIDTH = 60
"""Columns of a curve: of more records, as many are picked evenly."""

ROWS = 12
"""Rows of the table and of the heat map."""


def history_json(history: History) -> Json:
    """Every column of the history as nested lists, by its name; null where a figure is undefined."""

    def listed(values: object) -> object:
        if isinstance(values, list):
            return [listed(one) for one in values]
        return exact(values) if isinstance(values, float) else values

    labels = {name: list(getattr(history, name)) for name in LABELS}
    columns = {name: listed(getattr(history, name).tolist()) for name in COLUMNS}
    derived = {"reach": history.reach().tolist(), "update_ratios": listed(history.update_ratios.tolist())}
    return {**labels, "routes": list(ROUTES), **columns, **derived}


def history_csv(history: History) -> list[str]:
    """A line of headings and one a record; undefined figures are left empty."""
    columns: list[tuple[str, Array]] = [
        ("update", history.updates.astype(np.float64)),
        ("epoch", history.epochs.astype(np.float64)),
        ("loss", history.losses),
        ("seconds", history.seconds),
    ]
    for place, name in enumerate(history.params):
        columns += [
            (f"gradient_norm {name}", history.gradient_norms[:, place]),
            (f"weight_norm {name}", history.weight_norms[:, place]),
            (f"update_ratio {name}", history.update_ratios[:, place]),
        ]
    for place, name in enumerate(history.watched):
        columns += [
            (f"reach {name}", history.reach()[:, place].astype(np.float64)),
            (f"cancellation {name}", history.cancellations[:, place]),
            *((f"share {name} route {route}", history.route_shares[:, place, i]) for i, route in enumerate(ROUTES)),
        ]
        for kind, first in (("lag", 0), ("loss", 1)):
            norms, shares = getattr(history, f"{kind}_norms"), getattr(history, f"{kind}_shares")
            for step in range(norms.shape[2]):
                columns += [
                    (f"norm {name} {kind} {step + first}", norms[:, place, step]),
                    (f"share {name} {kind} {step + first}", shares[:, place, step]),
                ]
    columns += [(f"jacobian_norm {name}", history.jacobian_norms[:, i]) for i, name in enumerate(history.links)]
    with io.StringIO() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([clean(name) for name, _ in columns])
        writer.writerows(zip(*([_written(x) for x in values.tolist()] for _, values in columns), strict=True))
        return file.getvalue().splitlines()


def _written(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def history_text(found: Checkpoint, param: str | None = None) -> list[str]:
    """Curves, a heat map of the lags over the updates, and a table, of one watched parameter.

    Raises UnknownName where it was not watched."""
    history = found.state.history
    assert history is not None
    if param is not None and param not in history.watched:
        raise UnknownName("watched parameter", param, history.watched)
    place = history.watched.index(param) if param else 0
    name = typeset(history.watched[place])
    last = int(history.updates[-1])
    return [
        f"{found.network.cell} network, {len(history)} records of {last:,} updates by {found.settings.optimizer}; "
        f"the gradient taken apart is ∂L/∂{name}",
        "",
        *_curves(history, place),
        "",
        f"‖∂L/∂{name}‖ by lag, each record relative to its largest: how far back the gradient reaches",
        "",
        *_heat(history, place),
        "",
        *_table(history, place),
        "",
        "reach: lags that carry 90 % of Σ‖row‖; κ: cancellation between lags; routes: signed shares of the paths that",
        "stay within their step, use recurrent weights only, the highway only (c′ = f ⊙ c, (1 − z) ⊙ h), or both;",
        "‖∂s_t/∂s_t₋₁‖: per unit, 1 keeps lengths on average; update: ‖Δθ‖/‖θ‖ of all parameters together",
    ]


def _curves(history: History, place: int) -> list[str]:
    """One curve a figure, with its first and last value."""
    at = picked(len(history), WIDTH)
    named: list[tuple[str, Array, Callable[[Array], Array]]] = [
        ("loss", history.losses, _log),
        ("gradient norm", history.total_norms, _log),
        ("reach", history.reach()[:, place].astype(np.float64), lambda x: x),
        ("cancellation κ", history.cancellations[:, place], _log),
        ("‖∂s_t/∂s_t₋₁‖", _mean_jacobian(history), lambda x: x),
        ("update ‖Δθ‖/‖θ‖", _ratios(history), _log),
    ]
    rows = []
    for words, values, scale in named:
        if not np.isfinite(values).any():
            continue
        known = values[np.isfinite(values)]
        rows.append([words, number(float(known[0])), spark(scale(values[at])), number(float(known[-1]))])
    return table(["", "first", "over the updates", "last"], rows, left=(0, 2))


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(values))


def _mean_jacobian(history: History) -> Array:
    """(R,) mean over the links; NaN where there is none."""
    if history.jacobian_norms.shape[1] == 0:
        return np.full(len(history), np.nan)
    return np.asarray(history.jacobian_norms.mean(axis=1))


def _ratios(history: History) -> Array:
    """(R,) ‖Δθ‖/‖θ‖ of all parameters as one vector."""
    sizes = np.sqrt((history.weight_norms**2).sum(axis=1))
    return np.asarray(np.sqrt((history.update_norms**2).sum(axis=1)) / np.where(sizes > 0, sizes, np.nan))


_LEVELS = "▁▂▃▄▅▆▇█"


def spark(values: Array) -> str:
    """A curve in a line, between its least and its largest finite value; a blank where a value is not finite."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return ""
    low, span = float(finite.min()), float(finite.max() - finite.min())
    heights = np.where(np.isfinite(values), (values - low) / span if span > 0 else 0.0, 0.0)
    shown = (_LEVELS[min(7, int(height * 8))] for height in heights)
    return "".join(mark if ok else " " for mark, ok in zip(shown, np.isfinite(values).tolist(), strict=True))


_SHADES = " ·░▒▓█"


def _heat(history: History, place: int) -> list[str]:
    """Lags from top to bottom, updates from left to right; a shade is a power of ten."""
    at = picked(len(history), WIDTH)
    norms = history.lag_norms[at, place]
    largest = norms.max(axis=1, keepdims=True)
    relative = norms / np.where(largest > 0, largest, 1.0)
    lags = norms.shape[1]
    edges = np.unique(np.linspace(0, lags, min(lags, ROWS) + 1).round().astype(int))
    rows = []
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        levels = np.clip(np.ceil(5 + _log(relative[:, first:end].max(axis=1))), 0, 5).astype(int)
        words = f"lag {first}" if end - first == 1 else f"lag {first}–{end - 1}"
        rows.append(f"{words:>10}  {''.join(_SHADES[level] for level in levels.tolist())}")
    updates = f"{int(history.updates[at[0]])}"
    end_of = f"{int(history.updates[at[-1]]):,}"
    axis = f"{'update':>10}  {updates}{' ' * max(1, len(at) - len(updates) - len(end_of))}{end_of}"
    scale = f"{'':>10}  █ over 0.1 of the largest, ▓ over 0.01, ▒ over 0.001, ░ over 0.0001, · over 0.00001"
    return [*rows, axis, scale]


def _table(history: History, place: int) -> list[str]:
    reach, jacobian = history.reach()[:, place], _mean_jacobian(history)
    routes = [i for i in range(len(ROUTES)) if history.route_norms[:, place, i].any()]
    rows = [
        [
            f"{int(history.updates[row]):,}",
            number(float(history.losses[row])),
            number(float(history.total_norms[row])),
            str(int(reach[row])),
            number(float(history.cancellations[row, place])),
            *(percent(float(history.route_shares[row, place, i])) for i in routes),
            number(float(jacobian[row])),
            number(float(_ratios(history)[row])),
        ]
        for row in picked(len(history), ROWS)
    ]
    routed: Sequence[str] = [ROUTE_WORDS[ROUTES[i]] for i in routes]
    return table(["update", "loss", "‖g‖", "reach", "κ", *routed, "‖∂s_t/∂s_t₋₁‖", "update ratio"], rows)
