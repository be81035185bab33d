"""What a stepper has to say of its iterations: what leads from one to the next, and two of them side by side."""

from __future__ import annotations

from unrollviz.comparison.compare import diff
from unrollviz.debugger.iterations import with_parameters_of
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.telling import SHOWN, difference
from unrollviz.debugger.whatif import compare
from unrollviz.draw.text import number
from unrollviz.flows.folds import kinds
from unrollviz.report.compare import diff_rows


def about(stepper: Stepper) -> list[str]:
    """Where one is among the iterations, and what leads from one to the next."""
    learner = stepper.learner
    if learner is None:
        return ["there is one iteration: no optimizer is given (debug --optimizer adam)"]
    rule = learner.rule
    clips = "".join(f", {what} {limit:g}" for what, limit in (("clip", rule.clip), ("clip_value", rule.clip_value))
                    if limit is not None)  # fmt: skip
    data = "the run's own mini-batch" if learner.moving else "the same data"
    lines = [
        f"iteration {stepper.iteration:,} of {learner.updates:,}: {rule.optimizer}, η = {rule.base:g}, "
        f"{rule.schedule}{clips}; each is given {data}"
    ]
    changed = [k for k, one in stepper.passed.items() if one.edits and k != stepper.iteration]
    return [*lines, f"changed by hand: {', '.join(map(str, changed))}"] if changed else lines


def compared(stepper: Stepper, other: int) -> list[str]:
    """Another iteration's parameters and these, on this iteration's data: loss, gradients, lags and routes.

    Raises UnrollvizError, NonFinite."""
    old = with_parameters_of(stepper, other)
    names = (f"iteration {other:,} (A)", f"iteration {stepper.iteration:,} (B)")
    losses = list(stepper.losses)
    whole = compare(old, stepper.run, losses, stepper.target, stepper.detail)
    before, now, gradient = *whole.loss, whole.gradients[0]
    lines = [
        f"old is iteration {other:,}, new is iteration {stepper.iteration:,}, both on the data of the new one",
        f"loss {number(before)} → {number(now)}, norm of the gradient {number(gradient.old)} → {number(gradient.new)}",
    ]
    there = {group for group, _ in kinds(stepper.run.level("op", stepper.target)).values()}
    used = [group for group in ("weights", "highway") if group in there]
    for by in ("lag", f"uses:{','.join(used)}") if used else ("lag",):
        found = diff(old, stepper.run, stepper.target, by=by, losses=losses, names=names)
        lines += ["", *diff_rows(found, SHOWN)]
    return [*lines, "", *difference(whole)]
