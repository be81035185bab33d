"""The chain rule for a loss and a target as LaTeX: what `explain` says, in aligned equations that compile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.latex import aligned, document, figure, fraction, math, matrix, name, table
from unrollviz.draw.layout import kind_of
from unrollviz.draw.text import UNDEFINED, integer, percent
from unrollviz.explain import (
    LARGEST_MATRIX,
    SHOWN,
    SLOPES,
    first_and_last,
    partner_of,
    state_chain,
    state_products,
    step_formulas,
)
from unrollviz.flows.flow import Flow, flow
from unrollviz.gradient import gradient
from unrollviz.jacobians import frobenius
from unrollviz.names import derivative
from unrollviz.paths.pathset import Path, PathSet
from unrollviz.sweep import FOLDS
from unrollviz.unrolled import Unrolled

_PACKAGES = (r"\usepackage[margin=2.2cm]{geometry}", r"\allowdisplaybreaks", r"\setlength{\parindent}{0pt}")
_WIDEST = 8
"""Columns of a matrix that a page has room for."""

_FACTORS = 8
"""Factors of a product that a line has room for."""

_NORMS = (
    r"Frobenius norms; the share is $\langle \text{term}, G \rangle / \langle G, G \rangle$ with $G$ the whole sum."
)


def explain(unrolled: Unrolled, paths: PathSet, numbers: bool = True) -> str:
    """The derivation of ∂L_t/∂target for the `paths` of one loss as a LaTeX document; without `numbers` in symbols."""
    loss, target = paths.losses[0], paths.target
    if paths.count == 0:
        return _document([f"${name(loss)}$ does not depend on ${name(target)}$: no path leads there."], loss, target)
    shown = first_and_last(paths)
    sections = [_formulas(unrolled, loss), _words(paths, shown), _sum(paths, shown), _short_circuited(unrolled, paths)]
    if numbers:
        sections += [_figures(paths, shown), _terms(paths, shown), _proof(paths)]
    return _document([line for section in sections for line in [*section, ""] if section], loss, target)


def explain_total(unrolled: Unrolled, by_loss: Flow, numbers: bool = True) -> str:
    """∂L/∂target as the sum over the losses, from the flow `by_loss`, as a LaTeX document."""
    target = by_loss.target
    whole = fraction("L", target)
    terms = [fraction(f"L{int(t)}", target) for (t,) in by_loss.labels]
    if len(terms) > SHOWN:
        terms = [*terms[: SHOWN - 2], r"\cdots", terms[-1]]
    body = aligned(
        [
            rf"L &= \sum_{{t=1}}^{{{unrolled.steps}}} L_t",
            rf"{whole} &= \sum_{{t=1}}^{{{unrolled.steps}}} \frac{{\partial L_t}}{{\partial {name(target)}}}",
            f"&= {' + '.join(terms)}",
        ]
    )
    if numbers:
        figures = (by_loss.counts, by_loss.norms.tolist(), by_loss.shares.tolist())
        rows = [
            [str(int(t)), _count(count), figure(norm), _percent(share)]
            for (t,), count, norm, share in zip(by_loss.labels, *figures, strict=True)
        ]
        if len(rows) > 2 * SHOWN:
            rows = [*rows[:SHOWN], [r"\vdots", "", "", ""], rows[-1]]
        one = rf"\| \partial L_t / \partial {name(target)} \|"
        body += ["", _NORMS, "", *table(["t", r"\text{paths}", one, r"\text{share}"], rows)]
        norm, cancelled = figure(by_loss.total_norm), figure(by_loss.cancellation)
        body += ["", rf"$\|\partial L / \partial {name(target)}\| = {norm}$, $\kappa = {cancelled}$."]
    return _document(body, "L", target)


def _document(body: Sequence[str], loss: str, target: str) -> str:
    body = [rf"\section*{{$\partial {name(loss)} / \partial {name(target)}$}}", *body]
    return document(body, f"{derivative(loss, target)}, the chain rule; compile with pdflatex", packages=_PACKAGES)


def _formulas(unrolled: Unrolled, loss: str) -> list[str]:
    """How the step of the loss is computed."""
    return aligned([math(left) + " &= " + math(right) for left, _, right in step_formulas(unrolled, loss)])


def _words(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    loss, target = name(paths.losses[0]), name(paths.target)
    if paths.count == 1:
        return [f"One path leads from ${loss}$ back to ${target}$."]
    through = ", ".join(dict.fromkeys(f"${name(path.nodes[-2])}$" if path else r"\ldots" for path in shown))
    return [rf"${loss}$ depends on ${target}$ via {through}: ${_count(paths.count)}$ paths."]


def _sum(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    more = rf"\cdots \quad ({_count(paths.count - len(shown) + 1)} \text{{ more}})"
    terms = [_product(path) if path else more for path in shown]
    whole = fraction(paths.losses[0], paths.target)
    return aligned([f"{whole} &= {terms[0]}", *(rf"&\quad + {term}" for term in terms[1:])])


def _product(path: Path) -> str:
    factors = [fraction(f.head, f.tail, not f.jacobian.per_instance) for f in path.factors]
    if len(factors) <= _FACTORS:
        return r" \cdot ".join(factors)
    return r" \cdots ".join(r" \cdot ".join(part) for part in (factors[: _FACTORS - 3], factors[-2:]))


def _short_circuited(unrolled: Unrolled, paths: PathSet) -> list[str]:
    states = state_chain(paths)
    if not states:
        return []
    loss, target = paths.losses[0], paths.target
    first, last = (paths.graph.nodes[state]["time"] for state in (states[0], states[-1]))
    kind, back = kind_of(states[0]), first < last  # a layer that reads backwards depends on later steps
    at = {step: math(f"{kind}_{step}") for step in ("k", "j")}
    before = at["j"].replace("_{j}", "_{j+1}" if back else "_{j-1}")
    low, high = sorted((first, last))
    span = rf"_{{j={first}}}^{{k-1}}" if back else rf"_{{j=k+1}}^{{{first}}}"
    now = name(states[0])
    lines = [
        rf"{fraction(loss, target)} &= \sum_{{k={low}}}^{{{high}}} {fraction(loss, states[0])} \cdot "
        rf"\frac{{\partial {now}}}{{\partial {at['k']}}} \cdot "
        rf"\frac{{\partial^{{+}} {at['k']}}}{{\partial {name(target)}}}",
        rf"\frac{{\partial {now}}}{{\partial {at['k']}}} &= \prod{span} "
        rf"\frac{{\partial {at['j']}}}{{\partial {before}}}",
    ]
    if unrolled.network.cell == "elman":
        prefix = states[0].rpartition(".")[0]
        slope = SLOPES[unrolled.network.activation]
        if prefix:
            slope = slope.replace("a_j", f"{prefix}.a_j").replace("W", f"{prefix}.W")
        lines.append(rf"\frac{{\partial {at['j']}}}{{\partial {before}}} &= {math(slope)}")
    words = r"Here $\partial^{+}$ is the immediate derivative, with the other states held fixed"
    other = partner_of(unrolled.graph, target, first)
    if other:
        stem, _, step = other.rpartition("_")
        shown = math(f"{stem}_j").replace("_{j}", f"_{{{step.strip('()')}}}")
        words += rf"; in $\partial^{{+}} {at['k']} / \partial {name(target)}$ it is ${shown}$ that multiplies it"
    return [*aligned(lines), f"{words}."]


def _figures(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    """A row a path: where it enters, norms, its share; where paths branch also all of them by the step of entry."""
    states = state_chain(paths)
    headings = ["k", "t-k", r"\|\text{term}\|", r"\text{share}"]
    rows = [[str(p.entry), str(p.lag), figure(p.norm), _percent(p.share)] if p else _gap(4) for p in shown]
    if states:
        longest = max((p for p in shown[: SHOWN - 2] if p), key=lambda p: p.lag) if None in shown else paths[-1]
        products = state_products(paths, longest)
        head = figure(frobenius(gradient(paths.graph, paths.losses, states[0])))
        kind, target = math(f"{kind_of(states[0])}_k"), name(paths.target)
        headings[2:2] = [
            rf"\|\partial {name(paths.losses[0])} / \partial {name(states[0])}\|",
            rf"\|\partial {name(states[0])} / \partial {kind}\|",
            rf"\|\partial^{{+}} {kind} / \partial {target}\|",
        ]
        for row, path in zip(rows, shown, strict=True):
            known = path is not None and path.lag < len(products)
            between = figure(products[path.lag]) if path and known else r"\ldots"
            row[2:2] = [head, between, figure(path.factors[-1].norm)] if path else [""] * 3
        return [_NORMS, "", *table(headings, rows)]
    through = [[name(path.nodes[-2])] if path else [""] for path in shown]
    by_path = table([r"\text{via}", *headings], [[*via, *row] for via, row in zip(through, rows, strict=True)])
    if paths.count == 1:
        return [_NORMS, "", *by_path]
    entry = flow(paths.graph, paths.losses, paths.target, FOLDS["entry"], "entry")
    figures = (entry.counts, entry.norms.tolist(), entry.shares.tolist())
    by_step = [
        [str(k), _count(count), figure(norm), _percent(share)]
        for (k,), count, norm, share in zip(entry.labels.tolist(), *figures, strict=True)
    ][::-1]
    if len(by_step) > 2 * SHOWN:
        by_step = [*by_step[:SHOWN], _gap(4), by_step[-1]]
    heads = ["k", r"\text{paths}", r"\|\sum\text{terms}\|", r"\text{share}"]
    return [
        _NORMS,
        "",
        *by_path,
        "",
        r"All paths by the step $k$ at which they enter:\nopagebreak",
        *table(heads, by_step),
    ]


def _gap(columns: int) -> list[str]:
    return [r"\vdots", *[""] * (columns - 1)]


def _terms(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    """Every term as a matrix, where they are small enough to be read."""
    value = paths.gradient
    if value.size > LARGEST_MATRIX or _rows(value).shape[1] > _WIDEST or paths.count < 2 or None in shown:
        return []
    terms = [
        rf"\underbrace{{{matrix(_rows(path.term).tolist())}}}_{{\text{{via }} {name(path.nodes[-2])}}}"
        for path in shown
        if path
    ]
    lines = [f"{fraction(paths.losses[0], paths.target)} &= {terms[0]}", *(rf"&\quad + {term}" for term in terms[1:])]
    return aligned([*lines, f"&= {matrix(_rows(value).tolist())}"])


def _rows(value: Array) -> Array:
    return value[:, None] if value.ndim == 1 else np.atleast_2d(value)


def _proof(paths: PathSet) -> list[str]:
    whole = rf"\|\partial {name(paths.losses[0])} / \partial {name(paths.target)}\| = {figure(paths.total_norm)}"
    if paths.count > SHOWN and paths.count > 10**5:
        return [f"${whole}$."]
    cancelled = (
        rf"\sum \|\text{{term}}\| = {figure(paths.norm_sum)}$, cancellation $\kappa = {figure(paths.cancellation)}"
    )
    return [f"${whole}$, ${cancelled}$."]


def _count(count: int) -> str:
    """A number of paths: `500{,}500`, `8.670 \\cdot 10^{24}`."""
    shown, e, power = integer(count).partition("e+")
    return rf"{shown} \cdot 10^{{{power}}}" if e else shown.replace(",", "{,}")


def _percent(share: float) -> str:
    shown, e, power = percent(share).removesuffix(" %").partition("e")
    if shown == UNDEFINED:
        return r"\text{--}"
    return (rf"{shown} \cdot 10^{{{int(power)}}}" if e else shown) + r"\,\%"
