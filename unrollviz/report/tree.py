"""The gradient as a tree of partial paths, like a profiler's tree of calls."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice

from unrollviz.draw.text import bar, integer, magnitude, percent, table
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean, derivative, typeset
from unrollviz.paths.prefixes import Branch, Prefix, PrefixTree, heaviest_branches
from unrollviz.report.figures import Json, exact, of_losses

BRANCH_LIMIT = 5_000
"""Lines of a tree: more are no picture, and each has a norm to be worked out."""

_WIDTH = 44
"""Columns that the nodes of one branch may take."""


def _branches(start: Prefix, depth: int, min_share: float, limit: int) -> list[Branch]:
    """Raises UnrollvizError past BRANCH_LIMIT."""
    found = list(islice(heaviest_branches(start, depth, min_share, limit), BRANCH_LIMIT + 1))
    if len(found) > BRANCH_LIMIT:
        raise UnrollvizError(
            f"the tree has more than {BRANCH_LIMIT:,} branches down to depth {depth} with shares from {min_share:g}; "
            "raise --min-share, or lower --depth or --limit"
        )
    return found


def _norms(tree: PrefixTree, branches: Sequence[Branch]) -> Iterator[tuple[float, float] | None]:
    """The norm of each branch and its logarithm, None for the sum of light ones; at the end of its chain, where it
    takes the least."""
    ends = [branch.chain[-1] if branch.chain else None for branch in branches]
    tree.norms([end for end in ends if end is not None])
    return ((end.norm, end.log10_norm) if end is not None else None for end in ends)


def tree_json(tree: PrefixTree, start: Prefix, depth: int, min_share: float, limit: int) -> Json:
    """`root` is where the tree begins. Of each branch: `node` it begins with and `key` of the edge there, which tells
    parallel edges apart; `nodes` up to the next choice; `children`, and `rest`, the light ones summed."""
    branches = _branches(start, depth, min_share, limit)
    above: list[Json] = []
    for branch, norm in zip(branches, _norms(tree, branches), strict=True):
        if not branch.chain:
            summed = {"branches": branch.branches, "count": branch.count, "share": exact(branch.share)}
            above[branch.depth - 1]["rest"] = summed
            continue
        edge = branch.chain[0].edge
        row: Json = {
            "node": _name(tree, branch.chain[0]),
            "nodes": [_name(tree, prefix) for prefix in branch.chain],
            "key": edge.key if edge else None,
            "count": branch.count,
            "share": exact(branch.share),
            "norm": exact(norm[0] if norm is not None else float("nan")),
            "log10_norm": exact(norm[1] if norm is not None else float("nan")),
            "complete": branch.chain[-1].complete,
            "children": [],
            "rest": None,
        }
        if branch.depth:
            above[branch.depth - 1]["children"].append(row)
        above[branch.depth :] = [row]
    return {
        "param": tree.target,
        "loss": of_losses(tree.losses, tree.graph),
        "count": tree.root.count,
        "total_norm": exact(tree.total_norm),
        "log10_total_norm": exact(tree.total.log10_norm),
        "at": list(start.nodes),
        "root": above[0],
    }


def tree_text(tree: PrefixTree, start: Prefix, depth: int, min_share: float, limit: int) -> list[str]:
    """A line a branch: share with a bar, norm, exact number of paths, and its place in the tree."""
    source, target = of_losses(tree.losses, tree.graph), typeset(tree.target)
    symbol = derivative(source, tree.target)
    if tree.root.count == 0:
        return [f"{symbol}: no path leads from {typeset(source)} back to {target}."]
    branches = _branches(start, depth, min_share, limit)
    rows = [
        [
            percent(branch.share),
            bar(branch.share, 12),
            "" if norm is None else magnitude(*norm),
            integer(branch.count),
            clean(f"{stem}{_words(tree, branch)}"),
        ]
        for branch, norm, stem in zip(branches, _norms(tree, branches), _stems(branches), strict=True)
    ]
    count = f"{integer(tree.root.count)} path{'' if tree.root.count == 1 else 's'}"
    lines = [f"{symbol} as a tree of {count}, norm {magnitude(tree.total.norm, tree.total.log10_norm)}", ""]
    if start.nodes and start is not tree.root:
        lines[1:] = [f"below {clean(_arrows(start.nodes))}: {integer(start.count)} of them", ""]
    lines += table(["share", "", "norm", "paths", "branch, from the loss back"], rows, left=(1, 4))
    return [*lines, "", *_notes(tree, branches, depth, min_share, limit)]


def _stems(branches: Sequence[Branch]) -> Iterator[str]:
    """The lines that lead to each branch from its parent."""
    ended: list[bool] = []
    for branch in branches:
        ended[branch.depth :] = [branch.last]
        above = "".join("   " if last else "│  " for last in ended[1 : branch.depth])
        yield above + ("" if branch.depth == 0 else "└─ " if branch.last else "├─ ")


def _name(tree: PrefixTree, prefix: Prefix) -> str:
    return prefix.node or of_losses(tree.losses, tree.graph)


def _words(tree: PrefixTree, branch: Branch) -> str:
    if not branch.chain:
        return f"⋯ {branch.branches:,} more branches"
    names = [_name(tree, prefix) for prefix in branch.chain]
    first, end = branch.chain[0].edge, branch.chain[-1]
    words = _arrows(names)
    if first is not None and tree.graph.number_of_edges(first.tail, first.head) > 1:
        words += f" (argument {first.key + 1} of {typeset(first.head)})"
    return words if branch.opened or end.complete else f"{words} → ⋯"


def _arrows(names: Sequence[str]) -> str:
    """`s₉ → s₈ → s₇`; the middle of a long chain left out."""
    shown = [typeset(name) for name in names]
    if len(" → ".join(shown)) > _WIDTH:
        shown = [*shown[:2], "⋯", *shown[-2:]]
    return " → ".join(shown)


def _notes(tree: PrefixTree, branches: Sequence[Branch], depth: int, min_share: float, limit: int) -> list[str]:
    """What all ends add up to, and how to see what is not shown."""
    ends = [branch for branch in branches if not branch.opened]
    count, share = sum(branch.count for branch in ends), math.fsum(branch.share for branch in ends)
    paths = f"{integer(count)} path{'' if count == 1 else 's'}"
    notes = [f"all ends together: {paths}, share {percent(share)}; the branches of a parent add up to it"]
    if tree.total.size == 0:
        notes.append("the gradient is 0, so that shares are undefined; --min-share 0 shows every branch")
    closed = [branch for branch in ends if not (branch.chain and branch.chain[-1].complete)]
    if closed:
        light = f"branches below {percent(min_share)[1:]} (--min-share), beyond {limit} of one parent (--limit)"
        notes.append(f"⋯ goes on: {light}, {depth} levels down (--depth)")
    named = max((b for b in closed if b.chain and b.depth), key=lambda branch: abs(branch.share), default=None)
    if named is not None:
        notes.append(f"  --at {shlex.quote(','.join(named.chain[0].nodes))} begins at the heaviest that is named")
    return notes
