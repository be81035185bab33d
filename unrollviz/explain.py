"""The chain rule for a loss and a target, in typeset words and symbols, with the numbers.

Follows the article's derivation: the sum over all paths, the same with the states short-circuited, then the
figures of every factor and every term.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrollviz.arrays import Array
from unrollviz.draw.layout import kind_of
from unrollviz.draw.text import bar, integer, magnitude, matrix, number, percent, side_by_side, table
from unrollviz.flows.flow import Flow, flow
from unrollviz.gradient import gradient
from unrollviz.graph import LEVELS, Graph, formula
from unrollviz.jacobians import frobenius
from unrollviz.names import derivative, subscript, typeset
from unrollviz.paths.pathset import Path, PathSet
from unrollviz.sweep import FOLDS
from unrollviz.unrolled import Unrolled
from unrollviz.way import leading_to

WIDTH = 100
SHOWN = 8
LARGEST_MATRIX = 36

SLOPES = {"tanh": "diag(tanh′(a_j)) W", "sigmoid": "diag(σ′(a_j)) W", "relu": "diag(relu′(a_j)) W", "identity": "W"}


def explain(unrolled: Unrolled, paths: PathSet, numbers: bool = True, width: int = WIDTH) -> str:
    """The derivation of ∂L_t/∂target for the `paths` of one loss, as text; without `numbers` in symbols only.

    Works for every parameter and node and any T; long sums show their first and last terms and say how many
    lie between.
    """
    loss, target = paths.losses[0], paths.target
    if paths.count == 0:
        return f"{typeset(loss)} does not depend on {typeset(target)}: no path leads from one to the other."
    shown = first_and_last(paths)
    sections = [
        _heading(unrolled, paths),
        _words(paths, shown),
        _sum_over_paths(paths, shown),
        _short_circuited(unrolled, paths),
    ]
    if numbers:
        sections += [_figures(paths, shown), _terms(paths, shown, width), _proof(unrolled, paths)]
    return "\n\n".join("\n".join(section) for section in sections if section)


def explain_total(unrolled: Unrolled, by_loss: Flow, numbers: bool = True) -> str:
    """∂L/∂target as the sum over the losses, from the flow `by_loss`, as text; without `numbers` in symbols only."""
    target = by_loss.target
    whole, one = derivative("L", target), derivative("L_t", target)
    rows = [
        [f"L{subscript(int(t))}", integer(count), number(norm), percent(share), bar(share)]
        for (t,), count, norm, share in zip(by_loss.labels, by_loss.counts, by_loss.norms, by_loss.shares, strict=True)
    ]
    if len(rows) > 2 * SHOWN:
        rows = [*rows[:SHOWN], ["⋮", "", f"⋯ {len(rows) - SHOWN - 1:,} more ⋯", "", ""], rows[-1]]
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
    ]
    if not numbers:
        return "\n".join(lines)
    lines += [
        "",
        *("  " + line for line in table(["", "paths", f"‖{one}‖", "share", ""], rows, left=(0, 4))),
        "",
        f"‖{whole}‖ = {number(by_loss.total_norm)}, {integer(sum(by_loss.counts))} paths, "
        f"cancellation between losses κ = {number(by_loss.cancellation)}.",
    ]
    return "\n".join(lines)


def first_and_last(paths: PathSet) -> list[Path | None]:
    """The paths to show, None standing for those left out."""
    if paths.count <= SHOWN:
        return list(paths)
    return [*paths[: SHOWN - 2], None, paths[-1]]


def _heading(unrolled: Unrolled, paths: PathSet) -> list[str]:
    """The derivative, and the formulas of the step it starts from."""
    network, loss = unrolled.network, paths.losses[0]
    return [
        derivative(loss, paths.target),
        "",
        *("  " + "".join(parts) for parts in step_formulas(unrolled, loss)),
        f"  n = {network.inputs}, d = {network.hidden}, k = {network.outputs}, T = {unrolled.steps}, "
        f"B = {unrolled.instances}",
    ]


def step_formulas(unrolled: Unrolled, loss: str) -> list[tuple[str, str, str]]:
    """How what is computed at the step of a loss is computed, typeset: (`s₄`, ` = `, `tanh(U x₄ + W s₃ + b)`)."""
    nodes = unrolled.graph.nodes(data=True)
    landmarks = {name for name, node in nodes if LEVELS["gate"](node)}
    time = unrolled.graph.nodes[loss]["time"]
    computed = [name for name, node in nodes if name in landmarks and node["time"] == time and node["op"]]
    return [formula(unrolled.graph, name, stop=landmarks).partition(" = ") for name in computed]


def _words(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    loss, target = typeset(paths.losses[0]), typeset(paths.target)
    if paths.count > 1:
        through = ", ".join(dict.fromkeys(typeset(p.nodes[-2]) if p else "…" for p in shown))
        return [
            f"{loss} depends on {target} via {through}: {integer(paths.count)} paths lead from {loss} back to {target}."
        ]
    nodes = paths[0].nodes
    parameter = paths.graph.nodes[paths.target]["role"] == "parameter"
    if parameter and not states_on(paths, paths[0]):
        return [
            f"1 path leads from {loss} back to {target}: a feed-forward chain, as in a network with one hidden layer."
        ]
    through = f", through {', '.join(map(typeset, nodes[1:-1]))}" if len(nodes) > 2 else ""
    return [f"1 path leads from {loss} back to {target}{through}."]


def _sum_over_paths(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    left = derivative(paths.losses[0], paths.target)
    lines = ["The sum over its paths"]
    for index, path in enumerate(shown):
        start = f"  {left} = " if index == 0 else " " * (len(left) + 3) + "+ "
        lines.append(start + (_product(path, WIDTH - len(start)) if path else _left_out(paths)))
    return lines


def _product(path: Path, width: int) -> str:
    """The symbols of the path's factors; where they do not fit, the ones in the middle are left out."""
    symbols = [factor.symbol for factor in path.factors]
    whole, shown = " · ".join(symbols), len(symbols)
    while len(whole) > width and shown > 4:
        shown -= 1
        left_out = len(symbols) - shown
        middle = f"⋯ {left_out} factor{'s' if left_out > 1 else ''} ⋯"
        whole = " · ".join([*symbols[: shown - 2], middle, *symbols[-2:]])
    return whole


def _left_out(paths: PathSet) -> str:
    return f"⋯ {integer(paths.count - SHOWN + 1)} more ⋯"


def states_on(paths: PathSet, path: Path) -> list[str]:
    return [name for name in path.nodes[:-1] if paths.graph.nodes[name]["role"] == "state"]


def state_chain(paths: PathSet) -> list[str]:
    """The states that the longest path passes, latest first, where every path is a beginning of it; else nothing."""
    states = states_on(paths, paths[-1])
    one_kind = len({kind_of(state) for state in states}) == 1
    return states if one_kind and paths.count == len(states) > 1 else []


def _short_circuited(unrolled: Unrolled, paths: PathSet) -> list[str]:
    chain = state_chain(paths)
    if not chain:
        return []
    loss, target = paths.losses[0], paths.target
    time = paths.graph.nodes[chain[0]]["time"]
    t, s, whole = subscript(time), typeset(kind_of(chain[0])), derivative(loss, target)
    last = paths.graph.nodes[chain[-1]]["time"]
    ahead = last > time  # a layer that reads backwards: its states depend on those of later steps
    steps = f"k={time}…{last}" if ahead else f"k={last}…{time}"
    between = f"j={time}…k-1" if ahead else f"j=k+1…{time}"
    one_step = f"∂{s}_j/∂{s}_(j{'+' if ahead else '-'}1)"
    lines = [
        "Short-circuited",
        f"  {whole} = Σ_({steps}) {derivative(loss, chain[0])} · ∂{s}{t}/∂{s}_k · ∂⁺{s}_k/∂{typeset(target)}",
        f"  ∂{s}{t}/∂{s}_k = ∏_({between}) {one_step}",
        "  ∂⁺ is the immediate derivative, with the other states held fixed",
    ]
    if unrolled.network.cell == "elman":
        prefix = chain[0].rpartition(".")[0]
        dot = f"{prefix}." if prefix else ""
        slope = SLOPES[unrolled.network.activation].replace("a_j", f"{dot}a_j").replace("W", f"{dot}W")
        lines[2] += f",   {one_step} = {slope}"
    partner = partner_of(unrolled.graph, target, time)
    if partner:
        lines[-1] += f"; in ∂⁺{s}_k/∂{typeset(target)} it is {partner} that multiplies it"
    lines[-1] += "."
    return lines


def partner_of(graph: Graph, target: str, time: int) -> str | None:
    """What the parameter is multiplied by at step k, as `x_k` or `s_(k-1)`; None where it is only added."""
    for head in graph.successors(target):
        if graph.nodes[head]["op"] == "matvec" and graph.nodes[head]["time"] == time:
            other = next(tail for tail in graph.pred[head] if tail != target)
            back = time - graph.nodes[other]["time"]
            return f"{other.removesuffix(str(time - back))}_" + ("k" if back == 0 else f"(k{-back:+d})")
    return None


def _figures(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    """A row a path: the norms of its factors, of its term, and its share."""
    chain = state_chain(paths)
    if not chain and paths.count > 1:
        return _many(paths, shown)
    if not chain:
        path = paths[0]
        factors = [f"‖{factor.symbol}‖ = {number(factor.norm)}" for factor in path.factors[:SHOWN]]
        more = ["…"] if len(path.factors) > SHOWN else []
        return [
            "The numbers",
            "  " + "   ".join([*factors, *more, f"‖term‖ = {magnitude(path.norm, path.log10_norm)}"]),
        ]
    loss, last, target = paths.losses[0], chain[0], typeset(paths.target)
    s = typeset(kind_of(last))
    norms = [derivative(loss, last), f"∂{typeset(last)}/∂{s}_k", f"∂⁺{s}_k/∂{target}", "term"]
    headings = ["k", "lag", *(f"‖{symbol}‖" for symbol in norms), "share", ""]
    longest = max((p for p in shown[: SHOWN - 2] if p), key=lambda p: p.lag) if None in shown else paths[-1]
    products = state_products(paths, longest)
    head = number(frobenius(gradient(paths.graph, [loss], last)))
    rows = []
    for row in shown:
        if row is None:
            rows.append(["⋮", "", "", "", "", "", "", _left_out(paths)])
            continue
        product = number(products[row.lag]) if row.lag < len(products) else "…"
        figures = [head, product, number(row.factors[-1].norm), magnitude(row.norm, row.log10_norm)]
        rows.append([str(row.entry), str(row.lag), *figures, percent(row.share), bar(row.share)])
    steps = [f"‖{f.symbol}‖ = {number(f.norm)}" for f in longest.factors[2:-1]]
    return [
        "The numbers: Frobenius norms; share = ⟨term, G⟩/⟨G, G⟩ with G the whole sum",
        *("  " + line for line in table(headings, rows, left=(7,))),
        *(["", "  each step back: " + "   ".join(steps)] if steps else []),
    ]


def _many(paths: PathSet, shown: Sequence[Path | None]) -> list[str]:
    """Paths that branch between the states: the shown ones, and all of them by the step at which they enter."""
    rows = [
        [typeset(p.nodes[-2]), str(p.lag), magnitude(p.norm, p.log10_norm), percent(p.share), bar(p.share)]
        if p
        else ["⋮", "", "", "", _left_out(paths)]
        for p in shown
    ]
    entry = flow(paths.graph, paths.losses, paths.target, FOLDS["entry"], "entry")
    by_step = [
        [str(k), integer(count), magnitude(norm, log10), percent(share), bar(share)]
        for (k,), count, norm, log10, share in zip(
            entry.labels.tolist(), entry.counts, entry.norms, entry.log10_norms, entry.shares, strict=True
        )
    ][::-1]
    if len(by_step) > 2 * SHOWN:
        by_step = [*by_step[:SHOWN], ["⋮", "", "", "", ""], by_step[-1]]
    return [
        "The numbers, in the order above: Frobenius norms; share = ⟨term, G⟩/⟨G, G⟩ with G the whole sum",
        *("  " + line for line in table(["through", "lag", "‖term‖", "share", ""], rows, left=(0, 4))),
        "",
        "All paths by the step k at which they enter",
        *("  " + line for line in table(["k", "paths", "‖Σ terms‖", "share", ""], by_step, left=(4,))),
    ]


def state_products(paths: PathSet, path: Path) -> list[float]:
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
    if paths.gradient.size > LARGEST_MATRIX or paths.count < 2 or None in shown:
        return []
    blocks = [(f"via {typeset(path.nodes[-2])}", matrix(path.term)) for path in shown if path]
    blocks.append((derivative(paths.losses[0], paths.target), matrix(paths.gradient)))
    joiners = ["  ", *[" + "] * (len(blocks) - 2), " = "]
    return ["The terms and their sum", *side_by_side(blocks, joiners, width)]


def _proof(unrolled: Unrolled, paths: PathSet) -> list[str]:
    """The sum of the terms against the gradient of one reverse sweep over the primitives."""
    if not paths.listable:
        return [
            f"‖{derivative(paths.losses[0], paths.target)}‖ = {number(paths.total_norm)} by the reverse sweep; "
            f"{integer(paths.count)} terms are too many to be summed one by one, and are summed by step above."
        ]
    difference = float(np.abs(paths.sum() - gradient(unrolled.graph, paths.losses, paths.target)).max())
    scale = paths.norm_sum
    relative = difference / scale if scale > 0 else 0.0
    terms = f"{integer(paths.count)} term{'s' if paths.count > 1 else ''}"
    return [
        f"Sum of the {terms} against the reverse sweep: largest difference {relative:.1e} of Σ‖term‖.",
        f"‖{derivative(paths.losses[0], paths.target)}‖ = {number(paths.total_norm)}, Σ‖term‖ = {number(scale)}, "
        f"cancellation κ = {number(paths.cancellation)}.",
    ]
