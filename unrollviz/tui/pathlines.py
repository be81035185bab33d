"""The list of paths in words: its title, its columns, and the line below it that proves the sum."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from unrollviz.draw.text import integer, integers, percent
from unrollviz.names import clean, derivative, typeset
from unrollviz.report.figures import of_losses
from unrollviz.tui.listing import ORDERS, Listing
from unrollviz.tui.numbers import figure
from unrollviz.tui.scene import Proof, Scene

HEADINGS = ("from", "k", "lag", "‖term‖", "share", "Σ share")


def cells(width: int, steps: int) -> list[int]:
    """The cells of each column, 0 where there is no room for it: the lag goes first, then the running sum."""
    digits = len(str(steps))
    found = [max(5, 3 + digits), max(3, 1 + digits), max(4, 1 + digits), 8, 10, 9]
    for column in (2, 5):
        if sum(found) > width:
            found[column] = 0
    return found


def title(scene: Scene, found: Listing | None, width: int) -> str:
    """How many paths there are, and which of them are listed; every digit of the count where `width` allows."""
    symbol = derivative(of_losses(scene.losses, scene.run.graph), scene.target)
    if scene.listed.paths is None:
        return f"{'paths' if scene.listed.pending else 'no paths'} in {symbol}"
    count = scene.listed.paths.count
    words = f"path{'' if count == 1 else 's'} in {symbol}{_which(found)}"
    ways = [f"{said} {words}" for said in integers(count)]
    return next((said for said in ways if cell_len(said) <= width), ways[-1])


def _which(found: Listing | None) -> str:
    if found is None:
        return ""
    wanted, words = found.wanted, ""
    if wanted.branch:
        words += f" · {integer(found.count)} through {arrows(wanted.branch, 20)}"
    if wanted.words:
        words += f" · {integer(found.count)} like {wanted.words}"
    if found.heaviest is not None:
        return f"{words} · the {len(found)} heaviest by {wanted.order}"
    return words if wanted.order == "place" else f"{words} · {ORDERS[wanted.order]}"


def sum_line(scene: Scene, found: Listing | None, proof: Proof | None, width: int) -> str:
    """What all paths add up to, against the reverse sweep; or what those do that are listed. In `width` cells."""
    listed = scene.listed
    symbol = derivative(of_losses(scene.losses, scene.run.graph), scene.target)
    if listed.paths is None:
        return "" if listed.pending else "the gradient is not finite"
    if found is not None and (found.heaviest is not None or found.wanted.words or found.wanted.branch):
        return _part_line(found, symbol, width)
    return _proof_line(proof, listed.paths.total_norm, symbol, width)


def _part_line(found: Listing, symbol: str, width: int) -> str:
    """What the listed paths add up to, and what the search proved."""
    part = f"together {percent(float(found.table.shares.sum()))} of {symbol}" if found.table is not None else ""
    ways = [part or f"shares of {symbol}"]
    heaviest = found.heaviest
    if heaviest is not None:
        certain = "proved: no other is heavier" if heaviest.exact else f"{heaviest.certain} of them proved"
        ways = [f"{certain}; {part}, the rest ‖{figure(heaviest.residual)}‖", f"{certain}; {part}", part]
    return next((way for way in ways if cell_len(way) <= width), ways[-1])


def _proof_line(proof: Proof | None, total: float, symbol: str, width: int) -> str:
    """The sum line: all terms, walked one by one, against one reverse sweep; as fully as `width` allows."""
    if proof is None:
        ways = [f"too many to walk · reverse sweep ‖{figure(total)}‖ · shares of {symbol}"]
        ways += [f"too many to walk · reverse sweep ‖{figure(total)}‖", f"reverse sweep ‖{figure(total)}‖"]
    else:
        sign, mark = "=✓" if proof.holds else "≠✗"
        short = f"sum ‖{figure(proof.total)}‖ {sign} reverse sweep {mark}"
        ways = [
            f"{short} (differs by {figure(proof.error)}) · shares of {symbol}",
            f"{short} · shares of {symbol}",
            short,
            f"sum ‖{figure(proof.total)}‖ {sign} sweep {mark}",
        ]
    return next((way for way in ways if cell_len(way) <= width), ways[-1])


def aligned(words: Sequence[str], cells: Sequence[int]) -> str:
    """One line of the list: a word a column, the first one to the left, those without cells left out."""
    line = set_cell_size(" " + words[0], cells[0])
    for word, size in zip(words[1:], cells[1:], strict=True):
        if size:
            line += " " * max(size - cell_len(word), 1) + word
    return line


def arrows(nodes: Sequence[str], width: int) -> str:
    """`L₄ → ŷ₄ → s₄ → s₃ → W`, the middle left out where it does not fit."""
    keep = min(len(nodes), 42)
    while True:
        left_out = len(nodes) - keep
        shown = nodes if not left_out else [*nodes[: keep // 2], "", *nodes[keep // 2 - keep :]]
        names = [clean(typeset(name), 24) or f"… {left_out:,} more …" for name in shown]
        text = " → ".join(names)
        if cell_len(text) <= width or keep <= 4:
            return text
        keep -= 1
