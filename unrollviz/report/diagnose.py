"""A diagnosis: the verdict, the findings, and the figures that they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.diagnosis.advice import all_of
from unrollviz.diagnosis.diagnose import Diagnosis
from unrollviz.diagnosis.evidence import COUNTED, jacobian_name, power_of_ten
from unrollviz.diagnosis.rules import RULES, Finding, Rule
from unrollviz.diagnosis.spectra import Spectrum, Steps
from unrollviz.diagnosis.symptoms import FLAT, PARTS, SLOPES, Reach, Symptoms, Units
from unrollviz.draw.text import bar, number, percent, table
from unrollviz.names import typeset
from unrollviz.report.figures import Json, exact

WIDTH = 96
"""Columns of the widest line."""

SPARKS = "▁▂▃▄▅▆▇█"
SIGNS = {"problem": "■", "warning": "▲", "ok": "●", "note": "·"}


def diagnose_json(found: Diagnosis) -> Json:
    """`verdict`, `findings` and `figures` in full precision; null where a number is undefined or not finite."""
    return {
        "verdict": found.verdict,
        "findings": [_finding_json(finding) for finding in found.findings],
        "figures": _plain(found.figures) | {"reach_within": _reach_within(found.figures.reach)},
    }


def _finding_json(finding: Finding) -> Json:
    return {
        "rule": finding.rule.name,
        "severity": finding.severity,
        "numbers": {name: exact(value) for name, value in finding.numbers.items()},
        "where": dict(finding.where),
        "sentence": finding.sentence,
    } | _rule_json(finding.rule, finding.advice)


def _reach_within(reach: Reach | None) -> Json | None:
    return None if reach is None else {f"{part:g}": reach.within(part) for part in PARTS}


def _plain(value: Any) -> Any:
    """Figures as what JSON knows."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return exact(value) if isinstance(value, float) else value


def diagnose_text(run: Run, found: Diagnosis) -> list[str]:
    """The verdict, a block a finding, then every figure with a bar or a spark line."""
    figures, network = found.figures, run.network
    size = f"T = {run.steps}, d = {network.hidden}" + (f", B = {run.instances}" if run.instances > 1 else "")
    stack = f", {network.layers} layers" * (network.layers > 1) + ", both directions" * network.bidirectional
    title = f"Diagnosis of {figures.symbol()}: {network.cell}, {size}{stack}"
    lines = [title, *textwrap.wrap(found.verdict, WIDTH), ""]
    lines += _findings(found.findings)
    for part in (_reach(figures), *map(_spectrum, figures.spectra), _units(figures), _routes(figures)):
        lines += part
    return [*lines, *_truncations(figures), *_weights(figures)][:-1]


def rules_text() -> list[str]:
    """Every rule: what it measures, when it fires, who says so."""
    lines = []
    for rule in RULES:
        lines += [f"{SIGNS[rule.severity]} {rule.severity:8} {rule.name}"]
        for word, text in (("measures", rule.measures), ("fires", rule.condition), ("source", rule.source)):
            lines += _indented(f"{word:8} {text}", 11, 20)
    return lines


def rules_json() -> Json:
    """The same as one object: `rules`, a list."""
    return {
        "rules": [
            {"rule": rule.name, "severity": rule.severity, "measures": rule.measures}
            | _rule_json(rule, all_of(rule.advice))
            for rule in RULES
        ]
    }


def _rule_json(rule: Rule, advice: str) -> Json:
    return {"fires": rule.condition, "threshold": rule.threshold, "source": rule.source, "advice": advice}


def _findings(findings: Sequence[Finding]) -> list[str]:
    lines = _heading("Findings")
    width = max(len(finding.rule.name) for finding in findings)
    for finding in findings:
        start = f"{SIGNS[finding.severity]} {finding.severity:7}  {finding.rule.name:{width}}  "
        indent = " " * len(start)
        body = textwrap.wrap(finding.sentence, WIDTH - len(start))
        lines += [start + body[0], *(indent + line for line in body[1:])]
        if finding.severity != "ok":
            rule = finding.rule
            for text in (f"→ {finding.advice}", f"rule: {rule.condition} [{rule.source}]"):
                lines += _indented(text, len(start), len(start) + 2)
    return [*lines, ""]


def _indented(text: str, first: int, others: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * others)


def _heading(title: str, words: str = "") -> list[str]:
    return [f"── {title}{': ' + words if words else ''}"]


def _reach(figures: Symptoms) -> list[str]:
    reach = figures.reach
    if reach is None:
        return []
    rows = []
    total = max(float(reach.norms.sum()), 1e-300)
    for first, last in _bins(reach.longest):
        inside = (np.abs(reach.lags) >= first) & (np.abs(reach.lags) <= last)
        if inside.any():
            part = float(reach.norms[inside].sum()) / total
            label = str(first) if first == last else f"{first}–{last}"
            rows.append([label, _unsigned(part), bar(part, 30), percent(float(reach.shares[inside].sum()))])
    lines = _heading("How far back", "norms of the temporal components M[t,k] by lag t - k, as part of their sum")
    if reach.losses < reach.every:
        lines.append(f"   from {reach.losses} of {reach.every} losses, evenly chosen: all of them would take too long")
    lines += table(["lag", "part", "", "share"], rows, left=(2,))
    told = []
    for part in PARTS:
        lag = reach.within(part)
        told.append(f"{100 * part:g} % lie within lag {lag} (signed share {percent(reach.share_within(lag))})")
    kappas = f"κ = {number(reach.cancellation)} between M[t,k], {number(reach.between_losses)} between losses"
    lines += textwrap.wrap(f"{', '.join(told)}; the longest is {reach.longest}; cancellation {kappas}", WIDTH)
    lines.append(f"   {COUNTED}")
    return [*lines, ""]


def _unsigned(part: float) -> str:
    return percent(part).lstrip("+")


def _bins(longest: int, rows: int = 12) -> Iterator[tuple[int, int]]:
    """(first, last) of at most some `rows` ranges of lags: one by one where they are few, else wider and wider."""
    if longest < rows:
        yield from ((lag, lag) for lag in range(longest + 1))
        return
    ends = np.unique(np.round(np.geomspace(1, longest + 1, rows + 1)).astype(int)) - 1
    yield 0, 0
    yield from ((int(first) + 1, int(last)) for first, last in pairwise(ends))


def _spectrum(spectrum: Spectrum) -> list[str]:
    layer = spectrum.prefix.rstrip(".") or f"layer {spectrum.layer}"
    several = spectrum.spectral.shape[1] > 1
    lines = _heading(f"What a step does, {layer}", f"its state is {spectrum.state} ({spectrum.size} numbers)")
    worst, least = np.nanmax(spectrum.spectral, axis=1), np.nanmin(spectrum.spectral, axis=1)
    high, low = int(worst.argmax()), int(least.argmin())
    step = jacobian_name(spectrum, "_j", "_{j-1}" if spectrum.before[0] < spectrum.steps[0] else "_{j+1}")
    lines += textwrap.wrap(
        f"‖{step}‖₂: median {number(float(np.nanmedian(spectrum.spectral)))}, smallest {number(float(least[low]))} at "
        f"step {spectrum.steps[low]}, largest {number(float(worst[high]))} at step {spectrum.steps[high]}; Frobenius "
        f"norm {number(float(np.nanmean(spectrum.frobenius)))} on average",
        WIDTH,
    )
    lines += _spark_lines(spectrum.steps, worst, "the largest of the instances" if several else "")
    lines += [f"‖{jacobian_name(spectrum, spectrum.last, '_k')}‖₂ by the number of steps it spans:"]
    lines += _products(spectrum)
    exponents = ", ".join(f"{value:+.3g}" for value in np.nanmean(spectrum.exponents, axis=1))
    lines.append(
        f"growth ×{float(np.nanmean(spectrum.growth)):.4g} a step (geometric mean); Lyapunov exponents {exponents}"
    )
    if not spectrum.exact:
        how = f"every {spectrum.stride}th of {spectrum.links} steps was measured"
        if spectrum.directions < spectrum.size:
            how += f", products are Frobenius norms estimated from {spectrum.directions} random directions"
        lines.append(f"   {how}: all would take too long")
    return [*lines, ""]


def _products(spectrum: Spectrum) -> list[str]:
    spans = spectrum.lengths.max(axis=1)
    wanted = [steps for steps in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if steps < spans.max()] + [int(spans.max())]
    places = list(dict.fromkeys(int(np.abs(spans - steps).argmin()) for steps in wanted))[-9:]
    rows = []
    for label, logs in _over_instances(spectrum.log_product):
        rows.append([label, *(power_of_ten(float(logs[place])) for place in places)])
    return table(["steps", *(str(int(spans[place])) for place in places)], rows, left=(0,))


def _over_instances(logs: Array) -> list[tuple[str, Array]]:
    if logs.shape[1] == 1:
        return [("norm", logs[:, 0])]
    return [("mean", np.nanmean(logs, axis=1)), ("largest", np.nanmax(logs, axis=1))]


def _spark_lines(steps: Steps, values: Array, which: str) -> list[str]:
    if len(values) < 3:
        return []
    note = f"; {which}" if which else ""
    line = spark(values, WIDTH - 45)
    return [f"   {line}  steps {steps[0]} … {steps[-1]}, full at {number(float(values.max()))}{note}"]


def spark(values: Array, width: int, full: float | None = None) -> str:
    """Numbers ≥ 0 as blocks of growing height, 0 as a dot; the largest of neighbours where there are too many."""
    chunks = np.array_split(values, min(width, len(values)))
    heights = [float(chunk.max()) for chunk in chunks]
    top = max(heights) if full is None else full
    return "".join("." if height <= 0 else SPARKS[min(7, int(height / top * 8))] for height in heights)


def _units(figures: Symptoms) -> list[str]:
    rows = [_unit_row(kind) for kind in figures.units if kind.op in SLOPES]
    if not rows:
        return []
    lines = _heading("Units", f"flat: slope below {FLAT}, part of units, steps and instances; always: at every step")
    headings = ["", "", "flat", "worst at step", "always", "< 0.1", "> 0.9", "flat by step"]
    return [*lines, *table(headings, rows, left=(0, 1, 7)), ""]


def _unit_row(kind: Units) -> list[str]:
    if kind.op == "relu":
        still = f"{int(kind.dead.sum())} of {len(kind.dead)}"
        return [typeset(kind.kind), kind.op, "", "", still, "", "", ""]
    worst = int(kind.flat.argmax())
    at = f"{kind.flat[worst]:.0%} at {kind.steps[worst]}" if kind.flat[worst] > 0 else "–"
    gate = kind.op == "sigmoid"
    return [
        typeset(kind.kind),
        kind.op,
        f"{kind.flat.mean():.1%}",
        at,
        f"{int(kind.always_flat.sum())} of {len(kind.always_flat)}",
        f"{kind.closed.mean():.0%}" if gate else "",
        f"{kind.open.mean():.0%}" if gate else "",
        spark(kind.flat, 30, 1.0),
    ]


def _routes(figures: Symptoms) -> list[str]:
    total = sum(abs(route.crossings) for route in figures.routes)
    if len(figures.routes) < 2 or total == 0:
        return []
    rows = []
    for route in sorted(figures.routes, key=lambda route: -abs(route.crossings)):
        part = route.crossings / total
        rows.append([typeset(route.kind), number(route.crossings), percent(part), bar(part, 30)])
    words = f"how the paths of {figures.symbol()} go from a step to the one before, by signed shares"
    lines = _heading("Routes", words)
    lines += table(["through", "times a path", "part", ""], rows, left=(0, 3))
    return [*lines, ""]


def _truncations(figures: Symptoms) -> list[str]:
    if not figures.truncations:
        return []
    rows = [[str(cut.steps), number(cut.cosine), number(cut.norm_ratio)] for cut in figures.truncations]
    lines = _heading("Truncation", "what is left of the gradient if it is cut after τ steps (--truncate τ)")
    return [*lines, *table(["τ", "cosine", "norm ratio"], rows), ""]


def _weights(figures: Symptoms) -> list[str]:
    if not figures.weights:
        return []
    rows = [
        [typeset(weight.param), number(weight.norm), number(weight.gradient), number(weight.relative)]
        for weight in figures.weights
    ]
    lines = _heading("Parameters", "Frobenius norms")
    return [
        *lines,
        *table(["θ", "‖θ‖", f"‖{figures.symbol('θ')}‖", f"‖{figures.symbol('θ')}‖/‖θ‖"], rows, left=(0,)),
        "",
    ]
