"""A diagnosis: the verdict, the findings, and the figures that they rest on."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import groupby, pairwise
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
"""Columns of the widest line, where there is room for it."""

ROOMY = 80
"""Columns from which on what is said of a finding stands beside its name; below, under it."""

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


def diagnose_text(run: Run, found: Diagnosis, width: int = WIDTH) -> list[str]:
    """The verdict, a block a rule that fired, then every figure with a bar or a spark line, in `width` columns."""
    figures, network = found.figures, run.network
    size = f"T = {run.steps}, d = {network.hidden}" + (f", B = {run.instances}" if run.instances > 1 else "")
    stack = f", {network.layers} layers" * (network.layers > 1) + ", both directions" * network.bidirectional
    title = f"Diagnosis of {figures.symbol()}: {network.cell}, {size}{stack}"
    lines = [*_filled(title, width), *_filled(found.verdict, width), "", *_findings(found.findings, width)]
    lines += _reach(figures, width)
    for spectrum in figures.spectra:
        lines += _spectrum(spectrum, width)
    lines += [*_units(figures, width), *_routes(figures, width), *_truncations(figures, width)]
    return [*lines, *_weights(figures, width)][:-1]


def rules_text(width: int = WIDTH) -> list[str]:
    """Every rule: what it measures, when it fires, who says so, in `width` columns."""
    lines = []
    for rule in RULES:
        lines += [f"{SIGNS[rule.severity]} {rule.severity:8} {rule.name}"]
        for word, text in (("measures", rule.measures), ("fires", rule.condition), ("source", rule.source)):
            lines += _filled(f"{word:8} {text}", width, " " * 11, " " * 20)
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


def _findings(findings: Sequence[Finding], width: int) -> list[str]:
    lines = _heading("Findings", "", width)
    longest = max(len(finding.rule.name) for finding in findings)
    for rule, group in groupby(findings, key=lambda finding: finding.rule):
        start = f"{SIGNS[rule.severity]} {rule.severity:7}  {rule.name:{longest}}  "
        same = list(group)
        beside = width >= ROOMY
        indent = " " * (len(start) if beside else 2)
        if not beside:
            lines.append(start.rstrip())
        for finding in same:
            lines += _filled(finding.sentence, width, start if beside else indent, indent)
        if rule.severity != "ok":
            for text in (f"→ {same[0].advice}", f"rule: {rule.condition} [{rule.source}]"):
                lines += _filled(text, width, indent, f"{indent}  ")
    return [*lines, ""]


def _filled(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """`text` in lines of at most `width` columns, broken at words, but neither before a % nor beside an = or ‖."""
    kept = _TOGETHER.sub("\xa0", text)
    lines = textwrap.wrap(
        kept, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\xa0", " ") for line in lines]


_TOGETHER = re.compile(r"(?<=\d) (?=%)|(?<=[κτ]) (?==)|(?<=[κτ] =) | (?=[<>≤] )|(?<= [<>≤]) ")
"""Spaces at which a line is not broken."""


def _heading(title: str, words: str, width: int) -> list[str]:
    return _filled(f"── {title}{': ' + words if words else ''}", width, "", "   ")


def _reach(figures: Symptoms, width: int) -> list[str]:
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
            share = percent(float(reach.shares[inside].sum()))
            rows.append([label, _unsigned(part), _bar(part, width), share])
    words = "norms of the temporal components M[t,k] by lag t - k, as part of their sum"
    lines = _heading("How far back", words, width)
    if not reach.norms.any():
        return [*lines, "   nothing arrives: all of them are 0", ""]
    if reach.losses < reach.every:
        few = f"from {reach.losses} of {reach.every} losses, evenly chosen: all of them would take too long"
        lines += _filled(few, width, "   ", "   ")
    lines += table(["lag", "part", "", "share"], rows, left=(2,))
    told = []
    for part in PARTS:
        lag = reach.within(part)
        told.append(f"{100 * part:g} % lie within lag {lag} (signed share {percent(reach.share_within(lag))})")
    kappas = f"κ = {number(reach.cancellation)} between M[t,k], {number(reach.between_losses)} between losses"
    lines += _filled(f"{', '.join(told)}; the longest is {reach.longest}; cancellation {kappas}", width)
    lines += _filled(COUNTED, width, "   ", "   ")
    return [*lines, ""]


def _bar(part: float, width: int) -> str:
    """Of 30 columns, or of what the rest of its row leaves."""
    return bar(part, max(1, min(30, width - 38)))


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


def _spectrum(spectrum: Spectrum, width: int) -> list[str]:
    layer = spectrum.prefix.rstrip(".") or f"layer {spectrum.layer}"
    several = spectrum.spectral.shape[1] > 1
    lines = _heading(f"What a step does, {layer}", f"its state is {spectrum.state} ({spectrum.size} numbers)", width)
    worst, least = np.nanmax(spectrum.spectral, axis=1), np.nanmin(spectrum.spectral, axis=1)
    high, low = int(worst.argmax()), int(least.argmin())
    step = jacobian_name(spectrum, "_j", "_{j-1}" if spectrum.before[0] < spectrum.steps[0] else "_{j+1}")
    lines += _filled(
        f"‖{step}‖₂: median {number(float(np.nanmedian(spectrum.spectral)))}, smallest {number(float(least[low]))} at "
        f"step {spectrum.steps[low]}, largest {number(float(worst[high]))} at step {spectrum.steps[high]}; Frobenius "
        f"norm {number(float(np.nanmean(spectrum.frobenius)))} on average",
        width,
    )
    lines += _spark_lines(spectrum.steps, worst, "the largest of the instances" if several else "", width)
    lines += _filled(f"‖{jacobian_name(spectrum, spectrum.last, '_k')}‖₂ by the number of steps it spans:", width)
    lines += [*_products(spectrum, width), *_filled(_growth(spectrum), width)]
    if not spectrum.exact:
        how = f"every {spectrum.stride}th of {spectrum.links} steps was measured"
        if spectrum.directions < spectrum.size:
            how += f", products are Frobenius norms estimated from {spectrum.directions} random directions"
        lines += _filled(f"{how}: all would take too long", width, "   ", "   ")
    return [*lines, ""]


def _growth(spectrum: Spectrum) -> str:
    growth, rates = float(np.nanmean(spectrum.growth)), np.nanmean(spectrum.exponents, axis=1)
    told = f"growth ×{growth:.4g} a step (geometric mean)" if growth > 0 else "the whole product is exactly 0"
    dies = " (-inf: a direction that dies)" if np.isneginf(rates).any() else ""
    return f"{told}; Lyapunov exponents {', '.join(f'{value:+.3g}' for value in rates)}{dies}"


def _products(spectrum: Spectrum, width: int) -> list[str]:
    spans = spectrum.lengths.max(axis=1)
    wanted = [steps for steps in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if steps < spans.max()] + [int(spans.max())]
    places = list(dict.fromkeys(int(np.abs(spans - steps).argmin()) for steps in wanted))[-9:]
    while True:
        rows = [
            [label, *(power_of_ten(float(logs[place])) for place in places)]
            for label, logs in _over_instances(spectrum.log_product)
        ]
        lines = table(["steps", *(str(int(spans[place])) for place in places)], rows, left=(0,))
        if len(places) < 3 or len(lines[1]) <= width:
            return lines
        places = places[1:]


def _over_instances(logs: Array) -> list[tuple[str, Array]]:
    if logs.shape[1] == 1:
        return [("norm", logs[:, 0])]
    return [("mean", np.nanmean(logs, axis=1)), ("largest", np.nanmax(logs, axis=1))]


def _spark_lines(steps: Steps, values: Array, which: str, width: int) -> list[str]:
    if len(values) < 3:
        return []
    note = f"; {which}" if which else ""
    told = f"steps {steps[0]} … {steps[-1]}, full at {number(float(values.max()))}{note}"
    line = spark(values, min(WIDTH, width) - 45) if width >= ROOMY else spark(values, width - 3)
    return [f"   {line}  {told}"] if width >= ROOMY else [f"   {line}", *_filled(told, width, "   ", "   ")]


def spark(values: Array, width: int, full: float | None = None) -> str:
    """Numbers ≥ 0 as blocks of growing height, 0 as a dot; the largest of neighbours where there are too many."""
    chunks = np.array_split(values, min(width, len(values)))
    heights = [float(chunk.max()) for chunk in chunks]
    top = max(heights) if full is None else full
    return "".join("." if height <= 0 else SPARKS[min(7, int(height / top * 8))] for height in heights)


def _units(figures: Symptoms, width: int) -> list[str]:
    kinds = [kind for kind in figures.units if kind.op in SLOPES]
    if not kinds:
        return []
    smooth = any(kind.op != "relu" for kind in kinds)
    flat = f"slope below {FLAT}" if smooth else "a relu that is 0"
    words = f"flat: {flat}, part of units, steps and instances; worst: at which step; always: at every step"
    headings = ["", "", "flat", "worst", "always", "< 0.1", "> 0.9", "flat by step"]
    rows = [[*_unit_row(kind), ""] for kind in kinds]
    told = [0, *(column for column in range(1, 7) if any(row[column] for row in rows))]  # only gates are open or closed
    lines = table([headings[place] for place in told], [[row[place] for place in told] for row in rows], left=(0, 1))
    left = width - max(map(len, lines)) - 2
    if left >= len(headings[-1]):
        for row, kind in zip(rows, kinds, strict=True):
            row[-1] = spark(kind.flat, min(30, left), 1.0)
        told.append(7)
        cells = [[row[place] for place in told] for row in rows]
        lines = table([headings[place] for place in told], cells, left=(0, 1, len(told) - 1))
    return [*_heading("Units", words, width), *lines, ""]


def _unit_row(kind: Units) -> list[str]:
    worst = int(kind.flat.argmax())
    always = kind.always_flat | kind.dead
    gate = kind.op == "sigmoid"
    return [
        typeset(kind.kind),
        kind.op,
        f"{kind.flat.mean():.1%}",
        f"{kind.flat[worst]:.0%} at {kind.steps[worst]}" if kind.flat[worst] > 0 else "–",
        f"{int(always.sum())} of {len(always)}",
        f"{kind.closed.mean():.0%}" if gate else "",
        f"{kind.open.mean():.0%}" if gate else "",
    ]


def _routes(figures: Symptoms, width: int) -> list[str]:
    total = sum(abs(route.crossings) for route in figures.routes)
    if len(figures.routes) < 2 or total == 0:
        return []
    rows = []
    for route in sorted(figures.routes, key=lambda route: -abs(route.crossings)):
        part = route.crossings / total
        rows.append([typeset(route.kind), number(route.crossings), percent(part), _bar(part, width)])
    words = f"how the paths of {figures.symbol()} go from a step to the one before, by signed shares"
    lines = _heading("Routes", words, width)
    lines += table(["through", "times a path", "part", ""], rows, left=(0, 3))
    return [*lines, ""]


def _truncations(figures: Symptoms, width: int) -> list[str]:
    if not figures.truncations:
        return []
    rows = [[str(cut.steps), number(cut.cosine), number(cut.norm_ratio)] for cut in figures.truncations]
    lines = _heading("Truncation", "what is left of the gradient if it is cut after τ steps (--truncate τ)", width)
    return [*lines, *table(["τ", "cosine", "norm ratio"], rows), ""]


def _weights(figures: Symptoms, width: int) -> list[str]:
    if not figures.weights:
        return []
    rows = [
        [typeset(weight.param), number(weight.norm), number(weight.gradient), number(weight.relative)]
        for weight in figures.weights
    ]
    lines = _heading("Parameters", "Frobenius norms", width)
    return [
        *lines,
        *table(["θ", "‖θ‖", f"‖{figures.symbol('θ')}‖", f"‖{figures.symbol('θ')}‖/‖θ‖"], rows, left=(0,)),
        "",
    ]
