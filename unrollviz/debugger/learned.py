"""The part of a session that is about iterations: by what it learns, where it began, and what was changed on the way.

A run's folder is not in it: there it holds the iteration at hand, and goes on from it with that iteration's data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unrollviz.api import Run
from unrollviz.arrays import Array
from unrollviz.debugger import stepper as go
from unrollviz.debugger.fields import count, get, listed, packed, place, unpacked
from unrollviz.debugger.learner import constant
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnrollvizError
from unrollviz.names import clean
from unrollviz.optim import Memory, optimizer_named
from unrollviz.training.runs import Point
from unrollviz.training.state import Settings, check
from unrollviz.updates import Rule

STEPS_LIMIT = 100_000
"""Iterations that a file may ask to be gone through."""

NUMBERS = ("lr", "clip", "clip_value")


def beginning(stepper: Stepper) -> Point:
    """Where the session begins to be told: at the first iteration, or at this one of a run's folder."""
    learner, point = stepper.learner, stepper.point
    if learner is None or point is None:
        return Point(stepper.origin.network.params, Memory(0, {}))
    return point if learner.folder or stepper.iteration == learner.first else stepper.passed[learner.first].point


def said(stepper: Stepper) -> dict[str, Any]:
    """The part of the JSON object; empty where there is no optimizer."""
    learner = stepper.learner
    if learner is None:
        return {}
    first = beginning(stepper)
    changed = [
        {
            "iteration": k,
            "edits": [made.text for made in one.edits],
            "losses": list(one.losses or ()),
        }
        for k, one in sorted(stepper.passed.items())
        if not one.own and first.iteration <= k < stepper.iteration
    ]
    return {
        "learning": {
            **asdict(learner.rule),
            "updates": learner.updates,
            "first": first.iteration,
            "iteration": stepper.iteration,
            "memory": {kept: {n: packed(a) for n, a in of.items()} for kept, of in first.memory.arrays.items()},
            "changed": changed,
        }
    }


def resumed(stepper: Stepper, content: Mapping[str, Any]) -> Stepper:
    """In the iteration, as it was told. Raises UnrollvizError, naming what is wrong."""
    if "learning" not in content:
        return stepper
    told = get(content, "learning", dict)
    with place("learning"):
        first, iteration, updates = (count(told, name) for name in ("first", "iteration", "updates"))
        if not first <= iteration <= updates or iteration - first > STEPS_LIMIT:
            raise UnrollvizError(f"iteration: {iteration:,} does not lie between {first:,} and {updates:,}")
        rule = _rule(told)
        run, losses = stepper.origin, stepper.losses
        point = Point(run.network.params, Memory(first, _memory(told, rule, run)))
        learner = constant(run, rule, updates, point)
        begun = go.opened(run, losses, stepper.target, stepper.detail, learner, point)
        for one in listed(told, "changed", dict):
            begun = _changed(begun, one)
        return go.at(go.at_iteration(go.chosen(begun, losses=losses), iteration), 0)


def _changed(stepper: Stepper, told: Mapping[str, Any]) -> Stepper:
    """In an iteration that was changed by hand, changed."""
    losses = listed(told, "losses", str)
    at = go.at_iteration(stepper, count(told, "iteration"))
    at = go.chosen(at, losses=losses or "all")
    for text in listed(told, "edits", str):
        at = go.edited(at, text)
    return at


def _rule(told: Mapping[str, Any]) -> Rule:
    numbers = {clean(name): _number(value, name) for name, value in get(told, "numbers", dict).items()}
    limits = {name: None if told.get(name) is None else _number(told[name], name) for name in NUMBERS}
    names = {name: clean(get(told, name, str)) for name in ("optimizer", "schedule")}
    rule = Rule(names["optimizer"], numbers=numbers, schedule=names["schedule"], **limits)
    check(Settings(**asdict(rule)))
    return rule


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise UnrollvizError(f"{clean(name)}: is no finite number")
    return float(value)


def _memory(told: Mapping[str, Any], rule: Rule, run: Run) -> dict[str, dict[str, Array]]:
    """What the optimizer remembers, every array of its parameter's shape."""
    given = get(told, "memory", dict)
    found = {}
    for kept in optimizer_named(rule.optimizer, rule.numbers).remembers:
        of = get(given, kept, dict)
        found[kept] = {n: unpacked(get(of, n, dict), n, value.shape) for n, value in run.network.params.items()}
    return found
