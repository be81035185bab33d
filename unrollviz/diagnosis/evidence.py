"""Evidence: one function a rule, which looks through the symptoms and tells what exceeds a limit, where, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from unrollviz.arrays import Array, Labels
from unrollviz.diagnosis.advice import nothing_grows
from unrollviz.diagnosis.spectra import Spectrum, is_recurrent
from unrollviz.diagnosis.symptoms import CLOSED, FLAT, OPEN, Reach, Symptoms, Units
from unrollviz.magnitudes import scientific
from unrollviz.names import typeset

Where = dict[str, str | int]
Evidence = tuple[dict[str, float], Where, str]
"""(numbers by name, where: node, step, layer, gate or parameter, a sentence)."""


def not_finite(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    failure = symptoms.failure
    if failure is None:
        return
    way = "forward pass: the value" if failure.where == "value" else "backward pass: the cotangent"
    where: Where = {"node": failure.node} | ({} if failure.time is None else {"step": failure.time})
    said = (
        f"The {way} at {typeset(failure.node)}{'' if failure.time is None else f', step {failure.time},'} is not finite"
    )
    sizes, numbers = failure.sizes[-6:], {"steps_before": float(len(failure.steps))}
    if len(sizes):
        numbers["last_norm"] = float(sizes[-1])
        what = "state" if failure.where == "value" else "cotangent"
        said += f"; the last {what} before it, at step {failure.steps[-1]}, has norm {sizes[-1]:.3g}"
    if len(sizes) > 1 and sizes[0] > 0:
        numbers["growth"] = float(math.exp((math.log(sizes[-1]) - math.log(sizes[0])) / (len(sizes) - 1)))
        said += f" (×{numbers['growth']:.3g} a step over the last {len(sizes) - 1})"
    yield numbers, where, f"{said}."


def exploding_product(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for spectrum in symptoms.spectra:
        logs = np.nanmax(spectrum.log_product, axis=1)
        place = int(logs.argmax())
        if logs[place] > math.log(limit):
            steps, before = int(spectrum.lengths[place].max()), int(spectrum.before[place])
            numbers = {"log10_norm": float(logs[place]) / math.log(10), "steps": float(steps)}
            said = (
                f"‖{jacobian_name(spectrum, spectrum.last, before)}‖ is {power_of_ten(logs[place])}: by so much a "
                f"gradient can grow over {steps} steps back, ×{math.exp(logs[place] / steps):.3g} a step"
                f"{among(spectrum, 'the worst instance')}."
            )
            yield numbers, located(spectrum, before), said


def exploding_gradient(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    found = [weight for weight in symptoms.weights if not weight.gradient <= limit * max(1.0, weight.norm)]
    if found:
        worst = max(found, key=lambda weight: weight.gradient)
        why = f"; {changes(symptoms)}" if symptoms.spectra else ""
        if nothing_grows(symptoms):
            why = "; no step stretches it, so it is large as a sum of many terms"
            why += f", over {symptoms.reach.every} losses" if symptoms.reach and symptoms.reach.every > 1 else ""
        said = (
            f"‖{symptoms.symbol(worst.param)}‖ is {worst.gradient:.3g}, while ‖{typeset(worst.param)}‖ is "
            f"{worst.norm:.3g} itself{also([weight.param for weight in found if weight is not worst])}{why}."
        )
        yield {"gradient": worst.gradient, "weight": worst.norm}, {"parameter": worst.param}, said


def vanished_gradient(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    reach = symptoms.reach
    if reach is None or reach.longest < 2 * FAR or not reach.norms.any():
        return
    part = float(reach.norms[np.abs(reach.lags) > FAR].sum() / reach.norms.sum())
    if part < limit:
        rate = f" ({changes(symptoms)})" if symptoms.spectra else ""
        said = (
            f"{'Nothing' if part == 0 else f'Only {part:.2g}'} of {symptoms.symbol()} lies at lags above {FAR}, of "
            f"{reach.longest}, too little for float32 to add: nothing more than {FAR} steps "
            f"{'back' if (reach.lags >= 0).all() else 'away'} can be learned from{rate}."
        )
        yield {"part": part, "longest": float(reach.longest)}, {"parameter": symptoms.target}, said


def vanishing_product(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for spectrum in symptoms.spectra:
        spans, logs = spectrum.lengths.max(axis=1), np.nanmax(spectrum.log_product, axis=1)
        below = logs < math.log(limit)
        if below[spans.argmax()]:
            place = int(np.where(below, spans, spans.max() + 1).argmin())
            steps, before, growth = int(spans[place]), int(spectrum.before[place]), float(np.nanmean(spectrum.growth))
            numbers = {"steps": float(steps), "log10_norm": float(logs[place]) / math.log(10), "growth": growth}
            name = jacobian_name(spectrum, spectrum.last, before)
            if np.isneginf(logs[place]):
                why = _cut(symptoms, spectrum, place)
                said = f"‖{name}‖ is exactly 0, after {steps} of {spans.max()} steps back: {why}."
            else:
                rate = f"×{growth:.3g} a step" if growth > 0 else "exactly 0"
                said = (
                    f"‖{name}‖ is {power_of_ten(logs[place])}: a gradient has vanished after {steps} of {spans.max()} "
                    f"steps back ({rate} over all of them)."
                )
            yield numbers, located(spectrum, before), said


def _cut(symptoms: Symptoms, spectrum: Spectrum, place: int) -> str:
    """Why a product of steps is exactly 0, which small factors alone never make it."""
    norms = np.nanmax(spectrum.spectral[place:], axis=1)
    states = [kind for kind in symptoms.units if kind.role == "state" and kind.kind.startswith(spectrum.prefix)]
    relu = any(kind.op == "relu" for kind in states)
    if not norms.all():
        step = int(spectrum.steps[place:][norms == 0][-1])
        flat = all((kind.flat[kind.steps == step] == 1).all() for kind in states)
        return f"nothing passes step {step}" + flat * f", where every {'relu' if relu else 'slope'} is 0"
    zero = "relu" if relu else "slope, a gate"
    return (
        f"every way back meets a {zero} or a weight that is 0; a single step has norm {np.median(norms):.3g} (median)"
    )


def short_reach(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    reach = symptoms.reach
    if reach is None or not is_long(reach):
        return
    steps = reach.within(0.9)
    if steps <= limit * reach.longest:
        numbers = {"steps_90": float(steps), "longest": float(reach.longest), "share": reach.share_within(steps)}
        yield numbers, {"parameter": symptoms.target}, f"{reaches(symptoms, reach)}."


def unheard_past(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    reach = symptoms.reach
    if reach is None or not is_long(reach):
        return
    steps = reach.within(0.99)
    if steps < limit * reach.longest:
        numbers = {"steps_99": float(steps), "longest": float(reach.longest), "share": reach.share_within(steps)}
        yield numbers, {"parameter": symptoms.target}, unheard(symptoms, reach)


def expanding(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    yield from _exponents(symptoms, lambda rate: rate > limit, "grow")


def contracting(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    yield from _exponents(symptoms, lambda rate: rate < limit, "shrink")


def _exponents(symptoms: Symptoms, fires: Callable[[float], bool], verb: str) -> Iterator[Evidence]:
    for spectrum in symptoms.spectra:
        rate = float(np.nanmean(spectrum.exponents[0]))
        if spectrum.links >= 10 and fires(rate):
            change = f"small changes of the state {verb} ×{math.exp(rate):.3g} a step"
            said = (
                f"The largest Lyapunov exponent{of_layer(symptoms, spectrum)} is λ₁ = {rate:+.3g}: "
                f"{'every small change of the state dies out' if math.isinf(rate) else change}"
                f"{among(spectrum, 'mean over the instances')}."
            )
            yield {"exponent": rate, "factor": math.exp(rate)}, located(spectrum), said


def extreme_step(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for spectrum in symptoms.spectra:
        logs = np.log(np.nanmax(spectrum.spectral, axis=1))
        usual = float(np.median(logs))
        place = int(np.abs(logs - usual).argmax())
        if len(logs) >= 3 and abs(logs[place] - usual) > math.log(limit):
            step, norm, median = int(spectrum.steps[place]), math.exp(logs[place]), math.exp(usual)
            said = (
                f"‖{jacobian_name(spectrum, step, int(spectrum.before[place]))}‖ is {norm:.3g}, at the median step "
                f"{median:.3g}{among(spectrum, 'the largest of the instances')}."
            )
            yield {"norm": norm, "median": median}, located(spectrum, step), said


def must_vanish(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for prefix, (sigma, slope) in symptoms.gains.items():
        bound, name = sigma * slope, f"{prefix}W"
        if bound < limit - _ROUNDING:
            said = (
                f"σ_max({typeset(name)})·γ = {sigma:.3g} · {slope:g} = {bound:.3g} < 1, which suffices for the "
                f"gradient to vanish, whatever the inputs: ‖∂s_t/∂s_k‖ ≤ {bound:.3g}^(t-k)."
            )
            yield {"bound": bound, "sigma_max": sigma, "gamma": slope}, {"parameter": name}, said


def may_explode(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for prefix, (sigma, slope) in symptoms.gains.items():
        bound, name = sigma * slope, f"{prefix}W"
        if bound > limit + _ROUNDING:
            said = (
                f"σ_max({typeset(name)}) = {sigma:.3g} > 1/γ = {1 / slope:g}: necessary for the gradient to explode, "
                "not sufficient. The growth that was measured decides."
            )
            yield {"bound": bound, "sigma_max": sigma, "gamma": slope}, {"parameter": name}, said


def saturated(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for kind in _smooth(symptoms):
        if float(np.mean(kind.flat)) > limit and (not _passed_by(kind, symptoms) or _is_stuck(kind, limit)):
            yield _saturated(kind)


def saturated_gates(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for kind in _smooth(symptoms):
        if float(np.mean(kind.flat)) > limit and _passed_by(kind, symptoms) and not _is_stuck(kind, limit):
            yield _saturated(kind)


def _smooth(symptoms: Symptoms) -> Iterator[Units]:
    """Units that can be saturated; not the highway's gates, which are meant to be near 0 or 1, nor relus."""
    highways = {kind.keeps for kind in symptoms.units}
    yield from (kind for kind in symptoms.units if kind.op in ("tanh", "sigmoid") and kind.kind not in highways)


def _passed_by(kind: Units, symptoms: Symptoms) -> bool:
    """Whether a gradient has a way past these units: no state, in a cell whose state is kept by a gate."""
    return kind.role != "state" and any(other.keeps for other in symptoms.units)


def _is_stuck(kind: Units, limit: float) -> bool:
    """Whether so many never move that they are no gates, as far as that many steps can tell."""
    return len(kind.steps) >= 3 and float(np.mean(kind.always_flat)) > limit


def _saturated(kind: Units) -> Evidence:
    part, worst, always = float(np.mean(kind.flat)), int(kind.flat.argmax()), int(kind.always_flat.sum())
    said = (
        f"{percent(part)} of the units of {typeset(kind.kind)} are saturated (slope below {FLAT}), most "
        f"at step {kind.steps[worst]}: {percent(kind.flat[worst])}; "
        f"{always} of {len(kind.always_flat)} at every step."
    )
    numbers = {"part": part, "worst": float(kind.flat[worst]), "always": float(always)}
    return numbers, of_units(kind, int(kind.steps[worst])), said


def dead(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for kind in symptoms.units:
        found = np.flatnonzero(kind.dead)
        if len(found) > limit:
            said = (
                f"{len(found)} of {len(kind.dead)} relu units of {typeset(kind.kind)} are 0 at every step (unit "
                f"{listed(found)}): no gradient passes through them."
            )
            yield {"units": float(len(found)), "of": float(len(kind.dead))}, of_units(kind), said


def constant(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    for kind in symptoms.units:
        found = np.flatnonzero((kind.spread <= limit) & ~kind.dead)
        if kind.role == "state" and len(found) and len(kind.steps) >= 3:
            said = (
                f"{len(found)} of {len(kind.spread)} units of {typeset(kind.kind)} do not change over "
                f"{len(kind.steps)} steps (unit {listed(found)}): they carry no information."
            )
            yield {"units": float(len(found)), "of": float(len(kind.spread))}, of_units(kind), said


def highway_closed(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    yield from _highway(symptoms, limit, lambda kind: kind.closed, f"below {CLOSED}: it wipes the state")


def highway_open(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    yield from _highway(symptoms, limit, lambda kind: kind.open, f"above {OPEN}: it keeps the state")


def _highway(symptoms: Symptoms, limit: float, parts_of: Callable[[Units], Array], words: str) -> Iterator[Evidence]:
    for kind in symptoms.units:
        parts = parts_of(kind)
        part, worst = float(parts.mean()), int(parts.argmax())
        if part > limit and kind.keeps is not None:
            said = (
                f"{percent(part)} of the units of {typeset(kind.kind)}, the gate between a state and the next, are "
                f"{words}; most at step {kind.steps[worst]}: {percent(parts[worst])}."
            )
            yield {"part": part, "worst": float(parts[worst])}, of_units(kind, int(kind.steps[worst])), said


def highway_unused(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    total = sum(abs(route.crossings) for route in symptoms.routes)
    highways = [route for route in symptoms.routes if route.highway]
    others = [route for route in symptoms.routes if not route.highway]
    if not highways or not others or total < _ROUNDING:
        return
    part = sum(abs(route.crossings) for route in highways) / total
    if part < limit:
        heaviest = max(others, key=lambda route: abs(route.crossings))
        said = (
            f"Of the steps back of {symptoms.symbol()} {percent(part)} go along the kept state; most go "
            f"by {typeset(heaviest.kind)}: {percent(abs(heaviest.crossings) / total)} (by the size of their shares)."
        )
        gates = ", ".join(route.kind for route in highways)
        yield {"part": part}, {"parameter": symptoms.target, "gate": gates}, said


def cancellation(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    reach = symptoms.reach
    if reach is None:
        return
    for what, kappa in (("losses and lags", reach.cancellation), ("losses", reach.between_losses)):
        if kappa > limit:
            said = (
                f"The terms of different {what} cancel: κ = Σ‖term‖/‖G‖ = {kappa:.3g}, so {percent(1 / kappa)} of what "
                f"arrives is left in {symptoms.symbol()}."
            )
            yield {"kappa": kappa}, {"parameter": symptoms.target}, said


def truncation_bias(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    if symptoms.truncate is not None:
        yield from _biased(symptoms, limit, symptoms.truncate)


def heavy_tail(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    if symptoms.truncate is None and symptoms.reach is not None:
        yield from _biased(symptoms, limit, symptoms.reach.within(0.9))


def _biased(symptoms: Symptoms, limit: float, steps: int) -> Iterator[Evidence]:
    for cut in symptoms.truncations:
        if cut.steps == steps and cut.cosine < limit:
            said = (
                f"Truncated after {cut.steps} steps the gradient points elsewhere: its cosine with the true one is "
                f"{cut.cosine:.3g}, its norm {cut.norm_ratio:.3g} times as large."
            )
            numbers = {"steps": float(cut.steps), "cosine": cut.cosine, "norm_ratio": cut.norm_ratio}
            yield numbers, {"parameter": symptoms.target}, said


def no_gradient(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    found = [weight for weight in symptoms.weights if weight.gradient <= limit * max(1.0, weight.norm)]
    if found:
        first = found[0]
        what = "learns nothing" if symptoms.every_loss else f"has nothing from {typeset(symptoms.loss)} alone"
        alone = symptoms.steps == 1 and is_recurrent(first.param)
        why = "; in a single step it meets nothing but the initial state" if alone else ""
        said = (
            f"‖{symptoms.symbol(first.param)}‖ is {first.gradient:.3g}: {typeset(first.param)} {what}"
            f"{also([weight.param for weight in found[1:]])}{why}."
        )
        yield {"gradient": first.gradient, "weight": first.norm}, {"parameter": first.param}, said


def imbalance(symptoms: Symptoms, limit: float) -> Iterator[Evidence]:
    sized = [weight for weight in symptoms.weights if weight.norm > 0 and 0 < weight.relative < math.inf]
    if len(sized) < 2:
        return
    most, least = (choose(sized, key=lambda weight: weight.relative) for choose in (max, min))
    ratio = most.relative / least.relative
    if ratio > limit:
        said = (
            f"Relative to its size {typeset(most.param)} has {ratio:.3g} times the gradient of {typeset(least.param)}: "
            f"‖{symptoms.symbol('θ')}‖/‖θ‖ is {most.relative:.3g} and {least.relative:.3g}."
        )
        yield {"ratio": ratio, "most": most.relative, "least": least.relative}, {"parameter": least.param}, said


FAR = 10
"""Lags above it are far: a network in which nothing comes from there has no memory to speak of."""

_ROUNDING = 1e-9
"""What a figure that should be exactly at a limit may miss it by."""


def jacobian_name(spectrum: Spectrum, of: int | str, by: int | str) -> str:
    """∂s₉/∂s₈; ∂(h₉, c₉)/∂(h₈, c₈) where a state has two parts."""
    ends = (", ".join(f"{spectrum.prefix}{state}{step}" for state in spectrum.state.split(", ")) for step in (of, by))
    above, below = (f"({typeset(end)})" if "," in end else typeset(end) for end in ends)
    return f"∂{above}/∂{below}"


def of_layer(symptoms: Symptoms, spectrum: Spectrum) -> str:
    """` of l2.bwd`, where there are several; nothing where there is one."""
    return f" of {spectrum.prefix.rstrip('.')}" if len(symptoms.spectra) > 1 else ""


def changes(symptoms: Symptoms) -> str:
    """How a gradient changes by a step, in every layer: `gradients change ×0.65 a step (l1), ×0.7 (l2)`."""
    several = len(symptoms.spectra) > 1
    rates = [float(np.nanmean(spectrum.growth)) for spectrum in symptoms.spectra]
    layers = [f" ({spectrum.prefix.rstrip('.')})" if several else "" for spectrum in symptoms.spectra]
    told = [f"×{rate:.3g}{' a step' * (place == 0)}{layers[place]}" for place, rate in enumerate(rates)]
    return f"gradients change {', '.join(told)}"


def located(spectrum: Spectrum, step: int | None = None) -> Where:
    """Where a figure of a layer belongs."""
    return {"layer": spectrum.prefix.rstrip(".") or spectrum.layer} | ({} if step is None else {"step": step})


def of_units(kind: Units, step: int | None = None) -> Where:
    """Where a figure of some units belongs."""
    where: Where = {} if kind.layer is None else {"layer": kind.layer}
    gate = kind.kind if kind.role == "gate" else kind.keeps
    where |= {"node": kind.kind} if gate is None else {"gate": gate}
    return where | ({} if step is None else {"step": step})


def is_long(reach: Reach) -> bool:
    """Whether there are lags enough to judge by, and anything arrives at all."""
    return reach.longest >= 10 and bool(reach.norms.any())


def reaches(symptoms: Symptoms, reach: Reach) -> str:
    """How far 90 % go, and why another table may say otherwise."""
    why = f" ({COUNTED})" if reach.longest else ""
    return f"90 % of {symptoms.symbol()} lie within lag {reach.within(0.9)}, the longest is {reach.longest}{why}"


def unheard(symptoms: Symptoms, reach: Reach) -> str:
    """Beyond which lag hardly anything lies."""
    far = "earlier" if (reach.lags >= 0).all() else "further away"
    return (
        f"99 % of {symptoms.symbol()} lie within lag {reach.within(0.99)} of {reach.longest}: "
        f"what happened {far} hardly counts."
    )


COUNTED = "norms of single M[t,k]; flow --by lag sums them by lag first"
"""Why the reach told here is not quite that of the rows by lag."""


def power_of_ten(log: float) -> str:
    """e^log in few digits, also where no float holds it: `1.3e-340`."""
    if not math.isfinite(log):
        return "0" if log < 0 else str(log)
    if abs(log) < 600:
        return f"{math.exp(log):.3g}"
    return scientific(log / math.log(10), decimals=2)


def among(spectrum: Spectrum, words: str) -> str:
    """Which instance is meant, where there are several."""
    return f" ({words})" if spectrum.spectral.shape[1] > 1 else ""


def percent(part: float) -> str:
    """`8.5 %`"""
    return f"{100 * part:.3g} %"


def also(names: Sequence[str]) -> str:
    """The others of which the same is true."""
    shown = ", ".join(map(typeset, names[:6])) + (", …" if len(names) > 6 else "")
    return f"; the same of {shown}" if names else ""


def listed(units: Labels) -> str:
    """The first few of some units, counted from 1."""
    shown = ", ".join(str(unit + 1) for unit in units[:8])
    return shown + (", …" if len(units) > 8 else "")
