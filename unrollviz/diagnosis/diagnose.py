"""Diagnosis: what the rules find in the symptoms, the worst first, and a verdict in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unrollviz.diagnosis.evidence import Evidence, changes, reaches, unheard
from unrollviz.diagnosis.rules import RULES, SEVERITIES, Finding, Rule
from unrollviz.diagnosis.symptoms import Symptoms, symptoms
from unrollviz.errors import NonFinite, UnrollvizError
from unrollviz.export import Table
from unrollviz.gradient import count_paths
from unrollviz.graph import Graph
from unrollviz.unrolled import Unrolled


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found, and the figures that it rests on.

    Attributes:
        findings: sorted by severity; one of severity `ok` where there is neither a problem nor a warning.
        figures: everything that was measured, as numbers and arrays.
    """

    findings: tuple[Finding, ...]
    figures: Symptoms

    @property
    def verdict(self) -> str:
        """How many findings of which severity, the first in words, and how far back it reaches where that is short."""
        counts = Counter(finding.severity for finding in self.findings)
        told = ["healthy"] if self.findings[0].severity == "ok" else []
        told += [
            f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
            for severity in SEVERITIES
            if severity != "ok" and counts[severity]
        ]
        line = ", ".join(told)
        words, reach = self.findings[0].sentence, self.figures.reach
        if reach is not None and _SHORT & {finding.rule.name for finding in self.findings}:
            far = unheard(self.figures, reach)
            words += f" {far}" if far != words else ""
        return f"{line[0].upper()}{line[1:]}. {words}"

    def _repr_html_(self) -> str:
        rows = [[finding.severity, finding.rule.name, finding.sentence] for finding in self.findings]
        return Table(("severity", "rule", "finding"), rows).html(f"{self.figures.symbol()}: {self.verdict}")

    def __repr__(self) -> str:
        lines = [f"{finding.severity:8}{finding.rule.name}: {finding.sentence}" for finding in self.findings]
        return "\n".join([f"Diagnosis of {self.figures.symbol()}: {self.verdict}", *lines])


_SHORT = {"short reach", "unheard past"}
"""Rules of which one has to fire before a verdict says that what happened earlier hardly counts."""


def diagnose(
    unrolled: Unrolled,
    level: Graph,
    target: str,
    losses: Sequence[str],
    truncate: int | None = None,
    broken: NonFinite | None = None,
) -> Diagnosis:
    """Measure, and ask every rule. See `Diagnosis`, and `symptoms` for the arguments.

    Raises UnrollvizError where there is no loss, no path from one to the target, or `truncate` is below 0."""
    if not losses and broken is None:
        raise UnrollvizError("there is no loss to diagnose; name one, such as L1, or leave losses out for all of them")
    if truncate is not None and truncate < 0:
        raise UnrollvizError(f"truncate is {truncate}; give a number of steps, 0 or more, or leave it out")
    if losses and count_paths(level, losses, target) == 0:
        raise UnrollvizError(
            f"no path leads from {'any loss' if len(losses) > 1 else losses[0]} back to {target}; "
            "ask for a parameter, or for a loss that depends on it"
        )
    return judged(symptoms(unrolled, level, target, losses, truncate, broken))


def judged(figures: Symptoms) -> Diagnosis:
    """What the rules find in some figures."""
    found = [finding for rule in RULES for finding in rule.findings(figures)]
    if all(finding.severity == "note" for finding in found):
        found += HEALTHY.findings(figures)
    return Diagnosis(tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))), figures)


def _healthy(figures: Symptoms, limit: float) -> Iterator[Evidence]:
    numbers, words = {"findings": limit}, []
    if figures.reach is not None:
        steps, longest = figures.reach.within(0.9), figures.reach.longest
        numbers |= {"steps_90": float(steps), "longest": float(longest)}
        words.append(reaches(figures, figures.reach))
    if figures.spectra:
        numbers["growth"] = float(np.nanmean([np.nanmean(spectrum.growth) for spectrum in figures.spectra]))
        words.append(changes(figures))
    yield numbers, {"parameter": figures.target}, f"{'; '.join(words) or 'No step leads back'}."


HEALTHY = Rule(
    "healthy",
    "ok",
    "problems and warnings",
    0,
    "no rule finds a problem or a warning",
    "the rules above",
    (("any", "nothing"),),
    _healthy,
)
"""What is said where no other rule finds a problem or a warning."""
