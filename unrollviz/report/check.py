"""The verdict on the gradients, method by method."""

from __future__ import annotations

from unrollviz.check import BOUNDS, ENUMERATED, Report
from unrollviz.draw.text import table
from unrollviz.names import typeset
from unrollviz.report.figures import Json, exact


def check_json(report: Report) -> Json:
    """`ok`, and the worst relative error of each method."""
    return {"ok": report.ok, "worst": {method: exact(error) for method, error in report.worst.items()}}


def check_text(report: Report) -> list[str]:
    """A row a parameter, a verdict a method."""
    rows = [
        [typeset(c.param), f"{c.paths:,}{'' if c.enumerated else ' *'}", *(f"{c.errors[m]:.1e}" for m in BOUNDS)]
        for c in report.comparisons
    ]
    headings = ["", "paths", "path sum", "forward mode", "central difference"]
    lines = ["Each parameter's gradient by four methods: largest difference from the reverse sweep", ""]
    lines += table(headings, rows, left=(0,))
    lines += ["", "path sum, forward mode: relative to Σ‖term‖; central difference: to the largest entry"]
    if not all(c.enumerated for c in report.comparisons):
        lines.append(f"* more than {ENUMERATED:,} paths: summed by lag and not one by one")
    kinks = sum(c.kinks for c in report.comparisons)
    if kinks:
        lines.append(f"{kinks} directions cross a kink of the activation, where no derivative exists; left out")
    lines.append("")
    for method, error in report.worst.items():
        mark = "✓" if error <= BOUNDS[method] else "✗"
        lines.append(f"{mark} {method.replace('_', ' ')}: worst {error:.1e}, allowed {BOUNDS[method]:.0e}")
    return lines
