"""The chain rule for a loss and a target, in typeset words and symbols, with the numbers.

Follows the article's derivation: the sum over all paths, the same with the states short-circuited, then the
figures of every factor and every term.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.text import bar, matrix, number, percent, side_by_side, table
from unrollviz.flow import Flow, gradient
from unrollviz.graph import Graph, formula
from unrollviz.jacobians import frobenius
from unrollviz.names import derivative, subscript, typeset
from unrollviz.paths import Path, PathSet
from unrollviz.sweep import leading_to
from unrollviz.unrolled import Unrolled

WIDTH = 100
_SHOWN = 8
_LARGEST_MATRIX = 36

_SLOPES = {"tanh": "diag(tanh′(a_j)) W", "sigmoid": "diag(σ′(a_j)) W", "relu": "diag(relu′(a_j)) W", "identity": "W"}


def explain(unrolled: Unrolled, paths: PathSet, width: int = WIDTH) -> str:
    """The derivation of ∂L_t/∂target for the `paths` of one loss, as text.

    Works for every parameter and node and any T; long sums show their first and last terms and say how many
    lie between.
    """
    loss, target = paths.losses[0], paths.target
    if paths.count == 0:
        return f"{typeset(loss)} does not depend on {typeset(target)}: no path leads from one to the other."
    shown = _first_and_last(paths)
    sections = [
        _heading(unrolled, paths),
        _words(paths, shown),
        _sum_over_paths(paths, shown),
        _short_circuited(unrolled, paths),
        _figures(paths, shown),
        _terms(paths, shown, width),
        _proof(unrolled, paths),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def explain_total(unrolled: Unrolled, by_loss: Flow) -> str:
    """∂L/∂target as the sum over the losses, from the flow `by_loss`, as text."""
    target = by_loss.target
    whole, one = derivative("L", target), derivative("L_t", target)
    rows = [
        [f"L{subscript(int(t))}", f"{count:,}", number(norm), percent(share), bar(share)]
        for (t,), count, norm, share in zip(by_loss.labels, by_loss.counts, by_loss.norms, by_loss.shares, strict=True)
    ]
    if len(rows) > 2 * _SHOWN:
        rows = [*rows[:_SHOWN], ["⋮", "", f"⋯ {len(rows) - _SHOWN - 1:,} more ⋯", "", ""], rows[-1]]
    graph = unrolled.graph
    feed_forward = not any(graph.nodes[name]["role"] == "state" for name in leading_to(graph, frozenset([target])))
    words = (
        "Each loss reaches it along one path, a feed-forward chain as in a network with one hidden layer; "
        "the chains are computed step by step and summed."
        if feed_forward
        else f"Each loss reaches it along several paths; `explain L{unrolled.steps} {target}` shows those of one loss."
    )
    lines = [
        whole,
        "",
        f"  L = Σ_t L_t over T = {unrolled.steps} steps, so {whole} = Σ_(t=1…{unrolled.steps}) {one}",
        "",
        words,
        "",
        *("  " + line for line in table(["", "paths", f"‖{one}‖", "share", ""], rows, left=(0, 4))),
        "",
        f"‖{whole}‖ = {number(by_loss.total_norm)}, {sum(by_loss.counts):,} paths, "
        f"cancellation between losses κ = {number(by_loss.cancellation)}.",
    ]
    return "\n".join(lines)


def _first_and_last(paths: PathSet) -> list[Path | None]:
    """The paths to show, None standing for those left out."""
    if paths.count <= _SHOWN:
        return list(paths)
    return [*paths[: _SHOWN - 2], None, paths[-1]]


def _heading(unrolled: Unrolled, paths: PathSet) -> list[str]:
    """The derivative, and the formulas of the step it starts from."""
    network, loss = unrolled.network, paths.losses[0]
    landmarks = [name for name, role in paths.graph.nodes(data="role") if role not in ("hidden", "logits")]
    time = paths.graph.nodes[loss]["time"]
    computed = [name for name, node in paths.graph.nodes(data=True) if node["time"] == time and node["op"]]
    return [
        derivative(loss, paths.target),
        "",
        *("  " + formula(unrolled.graph, name, stop=landmarks) for name in computed),
        f"  n = {network.inputs}, d = {network.hidden}, k = {network.outputs}, T = {unrolled.steps}, "
        f"B = {unrolled.instances}",
    ]


def _words(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    loss, target = typeset(paths.losses[0]), typeset(paths.target)
    if paths.count > 1:
        through = ", ".join(typeset(p.nodes[-2]) if p else "…" for p in shown)
        return [f"{loss} depends on {target} via {through}: {paths.count:,} paths lead from {loss} back to {target}."]
    nodes = paths[0].nodes
    if not _states(paths, paths[0]):
        return [
            f"1 path leads from {loss} back to {target}: a feed-forward chain, as in a network with one hidden layer."
        ]
    return [f"1 path leads from {loss} back to {target}, through {', '.join(map(typeset, nodes[1:-1]))}."]


def _sum_over_paths(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    left = derivative(paths.losses[0], paths.target)
    lines = ["The sum over its paths"]
    for index, path in enumerate(shown):
        start = f"  {left} = " if index == 0 else " " * (len(left) + 3) + "+ "
        lines.append(start + (_product(path) if path else _left_out(paths)))
    return lines


def _product(path: Path) -> str:
    symbols = [factor.symbol for factor in path.factors]
    if len(symbols) > 2 + _SHOWN:
        symbols = [*symbols[:4], f"⋯ {len(symbols) - 6} factors ⋯", *symbols[-2:]]
    return " · ".join(symbols)


def _left_out(paths: PathSet) -> str:
    return f"⋯ {paths.count - _SHOWN + 1:,} more ⋯"


def _states(paths: PathSet, path: Path) -> list[str]:
    return [name for name in path.nodes[:-1] if paths.graph.nodes[name]["role"] == "state"]


def _chain(paths: PathSet) -> list[str]:
    """The states that the longest path passes, latest first, where every path is a beginning of it; else nothing."""
    states = _states(paths, paths[-1])
    return states if paths.count == len(states) > 1 else []


def _short_circuited(unrolled: Unrolled, paths: PathSet) -> list[str]:
    chain = _chain(paths)
    if not chain:
        return []
    loss, target = paths.losses[0], paths.target
    time = paths.graph.nodes[chain[0]]["time"]
    t, whole = subscript(time), derivative(loss, target)
    lines = [
        "Short-circuited",
        f"  {whole} = Σ_(k=1…{time}) {derivative(loss, chain[0])} · ∂s{t}/∂s_k · ∂⁺s_k/∂{typeset(target)}",
        f"  ∂s{t}/∂s_k = ∏_(j=k+1…{time}) ∂s_j/∂s_(j-1),   ∂s_j/∂s_(j-1) = {_SLOPES[unrolled.network.activation]}",
        "  ∂⁺ is the immediate derivative, with the earlier states held fixed",
    ]
    partner = _partner(unrolled.graph, target, time)
    if partner:
        lines[-1] += f"; in ∂⁺s_k/∂{typeset(target)} it is {partner} that multiplies it"
    lines[-1] += "."
    return lines


def _partner(graph: Graph, target: str, time: int) -> str | None:
    """What the parameter is multiplied by at step k, as `x_k` or `s_(k-1)`; None where it is only added."""
    for head in graph.successors(target):
        if graph.nodes[head]["op"] == "matvec" and graph.nodes[head]["time"] == time:
            other = next(tail for tail in graph.pred[head] if tail != target)
            back = time - graph.nodes[other]["time"]
            return f"{other.removesuffix(str(time - back))}_" + ("k" if back == 0 else f"(k-{back})")
    return None


def _figures(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    """A row a path: the norms of its factors, of its term, and its share."""
    chain = _chain(paths)
    if not chain:
        path = paths[0]
        factors = [f"‖{factor.symbol}‖ = {number(factor.norm)}" for factor in path.factors[:_SHOWN]]
        more = ["…"] if len(path.factors) > _SHOWN else []
        return ["The numbers", "  " + "   ".join([*factors, *more, f"‖term‖ = {number(path.norm)}"])]
    loss, last, target = paths.losses[0], chain[0], typeset(paths.target)
    norms = [derivative(loss, last), f"∂{typeset(last)}/∂s_k", f"∂⁺s_k/∂{target}", "term"]
    headings = ["k", "lag", *(f"‖{symbol}‖" for symbol in norms), "share", ""]
    longest = max((p for p in shown[: _SHOWN - 2] if p), key=lambda p: p.lag) if None in shown else paths[-1]
    products = _state_products(paths, longest)
    head = number(frobenius(gradient(paths.graph, [loss], last)))
    rows = []
    for row in shown:
        if row is None:
            rows.append(["⋮", "", "", _left_out(paths), "", "", "", ""])
            continue
        product = number(products[row.lag]) if row.lag < len(products) else "…"
        figures = [head, product, number(row.factors[-1].norm), number(row.norm)]
        rows.append([str(row.entry), str(row.lag), *figures, percent(row.share), bar(row.share)])
    steps = [f"‖{f.symbol}‖ = {number(f.norm)}" for f in longest.factors[2:-1]]
    return [
        "The numbers: Frobenius norms; share = ⟨term, G⟩/⟨G, G⟩ with G the whole sum",
        *("  " + line for line in table(headings, rows, left=(7,))),
        *(["", "  each step back: " + "   ".join(steps)] if steps else []),
    ]


def _state_products(paths: PathSet, path: Path) -> list[float]:
    """‖∂s_t/∂s_k‖ for lag 0, 1, … along `path`: norms of the growing product of the Jacobians in between."""
    instances, units = paths.graph.nodes[path.nodes[2]]["value"].shape
    product: Array = np.broadcast_to(np.eye(units), (instances, units, units))
    norms = [frobenius(product)]
    for factor in path.factors[2:-1]:
        product = product @ factor.matrix()
        norms.append(frobenius(product))
    return norms


def _terms(paths: PathSet, shown: Sequence[Path | None], width: int) -> list[str]:
    """Every term as a matrix, where they are small enough to be read."""
    if paths.gradient.size > _LARGEST_MATRIX or paths.count < 2 or None in shown:
        return []
    blocks = [(f"via {typeset(path.nodes[-2])}", matrix(path.term)) for path in shown if path]
    blocks.append((derivative(paths.losses[0], paths.target), matrix(paths.gradient)))
    joiners = ["  ", *[" + "] * (len(blocks) - 2), " = "]
    return ["The terms and their sum", *side_by_side(blocks, joiners, width)]


def _proof(unrolled: Unrolled, paths: PathSet) -> list[str]:
    """The sum of the terms against the gradient of one reverse sweep over the primitives."""
    difference = float(np.abs(paths.sum() - gradient(unrolled.graph, paths.losses, paths.target)).max())
    scale = paths.norm_sum
    relative = difference / scale if scale > 0 else 0.0
    terms = f"{paths.count:,} term{'s' if paths.count > 1 else ''}"
    return [
        f"Sum of the {terms} against the reverse sweep: largest difference {relative:.1e} of Σ‖term‖.",
        f"‖{derivative(paths.losses[0], paths.target)}‖ = {number(paths.total_norm)}, Σ‖term‖ = {number(scale)}, "
        f"cancellation κ = {number(paths.cancellation)}.",
    ]
