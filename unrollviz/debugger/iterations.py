"""From one iteration to another: where that begins, what was changed there, and what is forgotten on the way."""

from __future__ import annotations

from dataclasses import replace

from unrollviz.api import Run
from unrollviz.debugger.learner import Learner, Passed, fitted, point_at
from unrollviz.debugger.place import Stepper, rerun
from unrollviz.errors import UnrollvizError


def beyond(stepper: Stepper, forward: bool) -> int | None:
    """The iteration after this one, or before it."""
    if stepper.learner is None:
        return None
    if forward:
        return stepper.iteration + 1 if stepper.iteration < stepper.learner.updates else None
    return stepper.iteration - 1 if stepper.iteration > stepper.learner.first else None


def at_iteration(stepper: Stepper, iteration: int) -> Stepper:
    """At the like of this event in another iteration. Raises UnrollvizError, NonFinite."""
    return come_from(entered(stepper, iteration), stepper)


def come_from(after: Stepper, stepper: Stepper) -> Stepper:
    """With the stop before this one known, whatever lies between."""
    earlier = None if after.timeline is stepper.timeline else stepper.timeline
    return replace(after, before=stepper.cursor, earlier=earlier)


def entered(stepper: Stepper, iteration: int) -> Stepper:
    """At the like of this event in another iteration, with what was changed there before."""
    learner, losses = learner_of(stepper), _chosen_losses(stepper)
    if iteration == stepper.iteration:
        return stepper
    passed = _with_this(stepper)
    learning = stepper.timeline.learning
    if iteration == stepper.iteration + 1 and iteration not in passed and learning is not None:
        passed[iteration] = Passed(learning.next, losses=losses)
    point = point_at(learner, passed, iteration, losses)
    one = passed.get(iteration, Passed(point, losses=losses))
    if one.losses != losses:
        passed = {k: other for k, other in passed.items() if k <= iteration}
    passed[iteration] = one
    run = learner.run(point)
    names = losses if losses and set(losses) <= set(run.loss_names()) else tuple(run.loss_names())
    target = stepper.target if stepper.target in run.graph else run.recurrent_weight
    fresh = replace(
        stepper,
        origin=run,
        run=run,
        target=target,
        point=point,
        passed=fitted(passed, iteration, learner.first),
        edits=(),
        undone=(),
    )
    return replace(rerun(fresh, edits=one.edits, losses=names), undone=one.undone)


def learner_of(stepper: Stepper) -> Learner:
    if stepper.learner is None:
        raise UnrollvizError(
            "there is one iteration only, for there is no optimizer; open it with debug --optimizer adam, or open a "
            "run's folder"
        )
    return stepper.learner


def _chosen_losses(stepper: Stepper) -> tuple[str, ...] | None:
    """The losses in question; None where they are all there are."""
    return None if stepper.losses == tuple(stepper.run.loss_names()) else stepper.losses


def _with_this(stepper: Stepper) -> dict[int, Passed]:
    """All iterations that have been passed, and this one as it stands; what follows other numbers is forgotten."""
    assert stepper.point is not None
    this = Passed(stepper.point, stepper.edits, stepper.undone, _chosen_losses(stepper))
    before = stepper.passed.get(stepper.iteration, this)
    same = (before.edits, before.losses) == (this.edits, this.losses)
    kept = {k: one for k, one in stepper.passed.items() if same or k < stepper.iteration}
    return kept | {stepper.iteration: this}


def with_parameters_of(stepper: Stepper, iteration: int) -> Run:
    """What this iteration is given, with the parameters of another one. Raises UnrollvizError, NonFinite."""
    point = point_at(learner_of(stepper), _with_this(stepper), iteration, _chosen_losses(stepper))
    return learner_of(stepper).run(point, stepper.run.batch)
