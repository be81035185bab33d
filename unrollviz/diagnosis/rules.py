"""Rules: one table of what is looked for, past which number it is worth telling, who says so, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from unrollviz.diagnosis import evidence
from unrollviz.diagnosis.advice import Advice, fitted
from unrollviz.diagnosis.evidence import FAR, Evidence, percent
from unrollviz.diagnosis.symptoms import CLOSED, FLAT, OPEN, Symptoms

SEVERITIES = ("problem", "warning", "ok", "note")
"""In the order in which they are told."""


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Attributes:
        rule: the one that fired: its threshold and source.
        numbers: what was measured, by name.
        where: node, step, layer, gate or parameter, as far as it has one.
        sentence: the same in plain words.
        advice: what to do, as far as it suits the network.
    """

    rule: Rule
    numbers: Mapping[str, float]
    where: Mapping[str, str | int]
    sentence: str
    advice: str

    @property
    def severity(self) -> str:
        """One of SEVERITIES."""
        return self.rule.severity


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Attributes:
        name: what it is called;  severity: one of SEVERITIES.
        measures: what is measured;  threshold: the number that it is compared with.
        fires: when it fires, in words, with `{limit}` or `{percent}` for the threshold; see `condition`.
        source: where it comes from;  advice: what to do, in parts for different networks.
        find: (symptoms, threshold) -> (numbers, where, sentence) of everything it finds.
    """

    name: str
    severity: str
    measures: str
    threshold: float
    fires: str
    source: str
    advice: Advice
    find: Callable[[Symptoms, float], Iterator[Evidence]]

    @property
    def condition(self) -> str:
        """When it fires, in words, with the threshold."""
        return self.fires.format(limit=self.threshold, percent=percent(self.threshold))

    def findings(self, symptoms: Symptoms) -> list[Finding]:
        """What it finds in the figures; nothing where they lack what it needs."""
        with np.errstate(all="ignore"):
            found = list(self.find(symptoms, self.threshold))
        return [Finding(self, *evidence, fitted(self.advice, symptoms)) for evidence in found]


_PASCANU = "Pascanu, Mikolov & Bengio 2013, §2"
_LYAPUNOV = "Benettin et al. 1980; Engelken, Wolf & Abbott 2023"
_KARPATHY = "Karpathy, Johnson & Fei-Fei 2015, §4.2"
_TRUNCATED = "Williams & Peng 1990; Tallec & Ollivier 2017"
_KEEPING = "what multiplies the state on its way to the next step: f of an LSTM, z of a GRU"

_MORE: Advice = (
    ("gates", "{keep}"),
    ("logistic", "take tanh in place of the logistic function"),
    ("small W", "begin with orthogonal or identity weights"),
    ("flat tanh", "scale U or the inputs down: tanh is flat where they are large"),
    ("relu", "see in Units how many are 0, and raise the biases"),
    ("no gates", "take gated cells"),
)
"""How more of a gradient comes through a step."""

_OR_MORE: Advice = tuple((suits, f"or {words}") for suits, words in _MORE)

RULES: tuple[Rule, ...] = (
    Rule(
        "not finite",
        "problem",
        "the first node whose value or cotangent is NaN or infinite",
        sys.float_info.max,
        "a number exceeds {limit:.2g}, or is undefined",
        "IEEE 754",
        (
            ("any", "scale the recurrent weights down; see the growth per step"),
            ("unbounded", "or take tanh, which is bounded"),
        ),
        evidence.not_finite,
    ),
    Rule(
        "exploding product",
        "problem",
        "‖∂s_T/∂s_k‖₂ for every k",
        1e3,
        "‖∂s_T/∂s_k‖₂ > {limit:g} for some k",
        f"{_PASCANU}; Bengio, Simard & Frasconi 1994",
        (("any", "clip the gradient's norm, scale the recurrent weights down or begin with orthogonal ones"),),
        evidence.exploding_product,
    ),
    Rule(
        "exploding gradient",
        "problem",
        "‖∂L/∂θ‖ of every parameter θ, against max(1, ‖θ‖)",
        1e3,
        "‖∂L/∂θ‖ > {limit:g} · max(1, ‖θ‖)",
        "Pascanu, Mikolov & Bengio 2013, §3.2",
        (
            ("any", "clip the gradient's norm; a step in its direction leaves the region in which it is valid"),
            ("nothing grows", "or take the mean over the steps in place of their sum (--reduction mean)"),
        ),
        evidence.exploding_gradient,
    ),
    Rule(
        "vanished gradient",
        "problem",
        f"the part of Σ‖M[t,k]‖ at lags above {FAR}, the longest being at least {2 * FAR}",
        float(np.finfo(np.float32).eps),
        f"less than {{limit:.2g}} of Σ‖M[t,k]‖ at lags above {FAR}, the longest being at least {2 * FAR}",
        "IEEE 754: the spacing of float32, so that beside the rest it adds nothing",
        _MORE,
        evidence.vanished_gradient,
    ),
    Rule(
        "vanishing product",
        "warning",
        "‖∂s_T/∂s_k‖₂ for every k",
        1e-3,
        "‖∂s_T/∂s_k‖₂ < {limit:g} for the first k",
        f"{_PASCANU}; Bengio, Simard & Frasconi 1994",
        _MORE,
        evidence.vanishing_product,
    ),
    Rule(
        "short reach",
        "warning",
        "the lag within which 90 % of Σ‖M[t,k]‖ lie, against the longest lag",
        0.1,
        "90 % of Σ‖M[t,k]‖ within {percent} of the longest lag, which is at least 10",
        "temporal components: Pascanu, Mikolov & Bengio 2013, eq. 4",
        (("any", "truncate there if that keeps the direction (see Truncation)"), *_OR_MORE),
        evidence.short_reach,
    ),
    Rule(
        "unheard past",
        "note",
        "the lag within which 99 % of Σ‖M[t,k]‖ lie, against the longest lag",
        0.5,
        "99 % of Σ‖M[t,k]‖ within less than {percent} of the longest lag, which is at least 10",
        "temporal components: Pascanu, Mikolov & Bengio 2013, eq. 4",
        (("any", "nothing if the task needs no longer lags"), *_OR_MORE),
        evidence.unheard_past,
    ),
    Rule(
        "expanding",
        "warning",
        "λ₁, the largest Lyapunov exponent, by repeated QR over at least 10 steps",
        0.05,
        "λ₁ > {limit:g} a step, over at least 10 steps",
        _LYAPUNOV,
        (
            ("any", "scale the recurrent weights down, or clip"),
            ("any", "gradients over long spans are dominated by few directions"),
        ),
        evidence.expanding,
    ),
    Rule(
        "contracting",
        "note",
        "λ₁, the largest Lyapunov exponent, by repeated QR over at least 10 steps",
        -0.05,
        "λ₁ < {limit:g} a step, over at least 10 steps",
        _LYAPUNOV,
        (("any", "nothing where a memory of some 1/|λ₁| steps is enough"), *_OR_MORE),
        evidence.contracting,
    ),
    Rule(
        "extreme step",
        "note",
        "‖∂s_j/∂s_{j-1}‖₂ of every step, against the median step",
        10.0,
        "‖∂s_j/∂s_{{j-1}}‖₂ more than {limit:g} times the median step's, or less than the inverse of it",
        f"{_PASCANU}, eq. 5 (the product's factors)",
        (("any", "look at this step: unrollviz debug, or unrollviz values; often one extreme input"),),
        evidence.extreme_step,
    ),
    Rule(
        "must vanish",
        "note",
        "σ_max(W)·γ of an Elman layer; γ = 1 for tanh, relu and identity, 1/4 for the logistic function",
        1.0,
        "σ_max(W)·γ < {limit:g}: sufficient to vanish (singular values, not eigenvalues)",
        f"{_PASCANU}.1; Bengio, Simard & Frasconi 1994",
        (
            ("logistic", "take tanh in place of the logistic function: with it even orthogonal weights leave 1/4"),
            ("small W", "begin with orthogonal or identity weights, so that σ_max(W) = 1"),
        ),
        evidence.must_vanish,
    ),
    Rule(
        "may explode",
        "note",
        "σ_max(W)·γ of an Elman layer; γ = 1 for tanh, relu and identity, 1/4 for the logistic function",
        1.0,
        "σ_max(W)·γ > {limit:g}: necessary to explode, not sufficient",
        f"{_PASCANU}.1",
        (("any", "nothing by itself; see the growth per step"),),
        evidence.may_explode,
    ),
    Rule(
        "saturated units",
        "warning",
        f"the part of units, steps and instances whose slope is below {FLAT}; of a gate, of units at every step",
        0.3,
        f"slope < {FLAT} for more than {{percent}} of units, steps and instances; of a gate, of units at all steps",
        "Glorot & Bengio 2010; Karpathy, Johnson & Fei-Fei 2015",
        (("any", "scale the weights or the inputs down, or check the biases"),),
        evidence.saturated,
    ),
    Rule(
        "dead units",
        "warning",
        "relu units that are 0 for every step and instance",
        0,
        "more than {limit:g} units are 0 at every step",
        "Maas, Hannun & Ng 2013; Lu et al. 2020",
        (("any", "raise the biases, lower the learning rate, or take another activation"),),
        evidence.dead,
    ),
    Rule(
        "constant units",
        "warning",
        "largest less smallest value of a state's unit over at least 3 steps",
        1e-6,
        "a unit of a state varies by at most {limit:g}, over at least 3 steps",
        "by definition: what does not vary carries no information",
        (("any", "scale its weights or its bias down; see saturated units"),),
        evidence.constant,
    ),
    Rule(
        "highway closed",
        "warning",
        f"the part of values below {CLOSED} of {_KEEPING}",
        0.5,
        f"what the state is multiplied by < {CLOSED} for more than {{percent}} of units, steps and instances",
        f"Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015; {_KARPATHY}",
        (("any", "{keep}"),),
        evidence.highway_closed,
    ),
    Rule(
        "highway open",
        "note",
        f"the part of values above {OPEN} of {_KEEPING}",
        0.5,
        f"what the state is multiplied by > {OPEN} for more than {{percent}} of units, steps and instances",
        f"{_KARPATHY}; Gers, Schmidhuber & Cummins 2000",
        (
            ("any", "good for long memory"),
            ("lstm", "c may grow without bound over a long sequence"),
        ),
        evidence.highway_open,
    ),
    Rule(
        "highway unused",
        "note",
        "the part of all steps back along the kept state, and not through a weight, by the size of their shares",
        0.1,
        "less than {percent} of all steps back go along the kept state",
        "constant error carousel: Hochreiter & Schmidhuber 1997",
        (("any", "{keep}"),),
        evidence.highway_unused,
    ),
    Rule(
        "saturated gates",
        "note",
        f"the part of units, steps and instances of a gate whose slope is below {FLAT}; the highway's is left out",
        0.3,
        f"slope < {FLAT} for more than {{percent}} of units, steps and instances, but not all the time",
        _KARPATHY,
        (("any", "nothing: a gate that has learned is open or shut most of the time, and it still moves"),),
        evidence.saturated_gates,
    ),
    Rule(
        "cancellation",
        "note",
        "κ = Σ‖term‖/‖G‖ between the temporal components M[t,k], and between the losses",
        10.0,
        "κ > {limit:g}",
        "condition of a sum: Higham 2002, §4.2",
        (("any", "read shares with care: they are large and of both signs; look at single losses with --loss"),),
        evidence.cancellation,
    ),
    Rule(
        "truncation bias",
        "warning",
        "the cosine between the gradient truncated after the τ steps given and the true one",
        0.95,
        "cosine < {limit:g} at the τ given (--truncate)",
        _TRUNCATED,
        (("any", "truncate later: take a τ from which on the cosine stays near 1"),),
        evidence.truncation_bias,
    ),
    Rule(
        "heavy tail",
        "note",
        "the same cosine, truncated at the reach of 90 %",
        0.95,
        "cosine < {limit:g} at the reach of 90 %",
        _TRUNCATED,
        (("any", "do not truncate there: take a τ from which on the cosine stays near 1"),),
        evidence.heavy_tail,
    ),
    Rule(
        "no gradient",
        "warning",
        "‖∂L/∂θ‖ of every parameter θ, against max(1, ‖θ‖)",
        1e-12,
        "‖∂L/∂θ‖ ≤ {limit:g} · max(1, ‖θ‖)",
        "float32 has a spacing of 1.2e-7: such a step moves nothing",
        (
            ("one step", "give it more steps, or an initial state"),
            ("steps", "look at what lies between the parameter and the losses: unrollviz render --color-by share"),
        ),
        evidence.no_gradient,
    ),
    Rule(
        "imbalance",
        "note",
        "‖∂L/∂θ‖/‖θ‖, largest over smallest, of the parameters that are not 0",
        1e3,
        "‖∂L/∂θ‖/‖θ‖ more than {limit:g} times that of another parameter",
        "You, Gitman & Ginsburg 2017 (LARS)",
        (("any", "an optimiser that scales each parameter's step (Adam, LARS), or another scale of the inputs"),),
        evidence.imbalance,
    ),
)
"""Every rule, in the order in which findings of equal severity are told.

A *problem* stops learning whatever the task: numbers that are not finite or soon will not be, or a gradient that
float32 loses within ten steps. How far a gradient must reach is the task's affair, and every stable network forgets:
that it vanishes over a long sequence is a *warning*, as is all that keeps units, parameters or gates from working. A
*note* says why, or how a figure is to be read, and is true of many a network that has learned: that 99 % lie within
half the longest lag, that its gates are open or shut most of the time, that W may explode or must vanish in the limit
(how fast it does was measured), what a truncation would cost that nobody asked for.
"""
