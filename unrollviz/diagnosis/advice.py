"""Advice: what to do about a finding, in parts, each for the networks that it suits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unrollviz.diagnosis.symptoms import Symptoms

Advice = tuple[tuple[str, str], ...]
"""(a key of SUITS, words) in the order in which they are told; `{keep}` in them is `keeping`."""


def has_gates(symptoms: Symptoms) -> bool:
    """Whether a gate stands between a state and the next."""
    return any(kind.role == "gate" or kind.keeps for kind in symptoms.units)


def nothing_grows(symptoms: Symptoms) -> bool:
    """Whether no step of any layer stretches what passes through it, so that no product of steps can grow."""
    return bool(symptoms.spectra) and all(
        spectrum.stride == 1 and np.nanmax(spectrum.spectral) <= 1 + _ROUNDING for spectrum in symptoms.spectra
    )


_ROUNDING = 1e-9
"""What a norm that should be 1 may exceed it by."""

SUITS: dict[str, Callable[[Symptoms], bool]] = {
    "any": lambda symptoms: True,
    "gates": has_gates,
    "no gates": lambda symptoms: not has_gates(symptoms),
    "logistic": lambda symptoms: _activation(symptoms) == "sigmoid",
    "small W": lambda symptoms: _activation(symptoms) != "sigmoid" and _is_small(symptoms),
    "flat tanh": lambda symptoms: _activation(symptoms) == "tanh" and (not _is_small(symptoms) or _is_flat(symptoms)),
    "relu": lambda symptoms: _activation(symptoms) == "relu",
    "unbounded": lambda symptoms: _activation(symptoms) not in ("tanh", "sigmoid", "gates"),
    "lstm": lambda symptoms: symptoms.cell == "lstm",
    "nothing grows": nothing_grows,
    "one step": lambda symptoms: symptoms.steps == 1,
    "steps": lambda symptoms: symptoms.steps > 1,
}
"""What a network is like -> whether it is."""


def fitted(advice: Advice, symptoms: Symptoms) -> str:
    """The parts that suit the network, in one line."""
    return "; ".join(words.format(keep=keeping(symptoms)) for suits, words in advice if SUITS[suits](symptoms))


def all_of(advice: Advice) -> str:
    """Every part, with the networks it is for, where no network is looked at."""
    told = (words if suits == "any" else f"({suits}) {words}" for suits, words in advice)
    return "; ".join(told).format(keep="open the gate that keeps the state by its bias")


def keeping(symptoms: Symptoms) -> str:
    """How the gate that keeps the state is opened: `raise the bias of f to 1 or 2`; lowered where 1 - f keeps it."""
    kept = {kind.keeps.rpartition(".")[2]: kind.kind == kind.keeps for kind in symptoms.units if kind.keeps}
    ways = [
        f"raise the bias of {gate} to 1 or 2" if direct else f"lower the bias of {gate} to -1 or -2"
        for gate, direct in kept.items()
    ]
    return ", ".join(ways) or "open the gate that keeps the state"


def _activation(symptoms: Symptoms) -> str:
    """What a state is the activation of where there are no gates: tanh, sigmoid, relu; else another op, or `gates`."""
    if has_gates(symptoms):
        return "gates"
    return next((kind.op for kind in symptoms.units if kind.role == "state"), "")


def _is_small(symptoms: Symptoms) -> bool:
    """Whether some layer's W shrinks whatever it is multiplied by, before any slope does."""
    return any(sigma < 1 - _ROUNDING for sigma, _ in symptoms.gains.values())


def _is_flat(symptoms: Symptoms) -> bool:
    """Whether a third of some layer's states are saturated."""
    return any(kind.role == "state" and np.mean(kind.flat) > 1 / 3 for kind in symptoms.units)
