"""How the debugger is opened where there is something to learn by: an optimizer of one's own, or a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from unrollviz.api import Run
from unrollviz.batch import Batch, part
from unrollviz.debugger import stepper as go
from unrollviz.debugger.learner import Learner, constant
from unrollviz.debugger.stepper import Stepper
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.names import clean
from unrollviz.network import check_whole
from unrollviz.training.runs import RunFolder
from unrollviz.training.state import Settings, check
from unrollviz.updates import Rule

ITERATIONS = 200
"""How many iterations there are where nothing is said."""


def checked(iterations: int | None = None, **given: Any) -> tuple[Rule, int]:
    """What becomes of gradients, and how many iterations there are. Raises UnrollvizError."""
    rule = Rule(**given)
    check(Settings(optimizer=rule.optimizer, lr=rule.lr, numbers=rule.numbers, schedule=rule.schedule,
                   clip=rule.clip, clip_value=rule.clip_value))  # fmt: skip
    count = ITERATIONS if iterations is None else iterations
    check_whole("iterations", count, 1)
    return rule, count


def learning(run: Run, rule: Rule, iterations: int, **shown: Any) -> Stepper:
    """The stepper at the start of a run that is learnt from, iteration after iteration; `shown` as for `opened`."""
    return go.opened(run, learner=constant(run, rule, iterations), **shown)


def begun_with(run: Run, iterations: int | None, rule: Mapping[str, Any], **shown: Any) -> Stepper:
    """The stepper at the start of a run; of one that is learnt from, where the rule names an optimizer.

    Raises UnknownName for a setting that there is not, UnrollvizError for settings without an optimizer."""
    if not rule and iterations is None:
        return go.opened(run, **shown)
    known = [setting.name for setting in fields(Rule)]
    for name in rule:
        if name not in known:
            raise UnknownName("setting of an update", name, known)
    if rule.get("optimizer") is None:
        said = next(iter(rule), "iterations")
        raise UnrollvizError(f"{said} is about updates; give an optimizer too, as in debug(run, optimizer='adam')")
    return learning(run, *checked(iterations, **rule), **shown)


def of_run(folder: RunFolder, iteration: int | None = None, given: Run | slice | None = None, **shown: Any) -> Stepper:
    """The stepper at the start of an iteration of a run, where it stands if None, as it was: of the mini-batch that the
    run made its next update from. Or of data that are `given`: other ones, or some of its instances.

    Raises UnrollvizError where there is no such iteration, or nothing to be given."""
    point = folder.at(folder.iterations if iteration is None else iteration)
    training, rule = folder.training, folder.last.settings.rule
    network = folder.last.network
    updates = max(folder.iterations, training.updates) if training else folder.iterations + ITERATIONS
    if isinstance(given, Run):
        batch = given.batch
        symbols = {name: symbol for name, symbol in given.graph.nodes(data="symbol") if symbol is not None}
        learner = replace(constant(given, rule, updates), symbols=symbols)
    elif training is None:
        raise UnrollvizError(
            f"{clean(folder.folder.name)} keeps no copy of the data it is trained on, as runs of older versions and of "
            "more than 256 MiB; say what to run it on, by the options it was trained with"
        )
    elif given is None:
        learner = Learner(network, rule, updates, 0, training.batch_at, moving=True)
    else:
        batch = _part(folder, given)
        learner = Learner(network, rule, updates, 0, lambda iteration: batch)
    if training is None:
        learner = replace(learner, first=min(folder.recorded, default=folder.iterations), recorded=folder.nearest)
    elif learner.moving:
        learner = replace(learner, recorded=folder.nearest)
    else:
        learner = replace(learner, recorded=lambda k: folder.at(min(k, folder.iterations)))
    vocabulary = folder.data.vocabulary if folder.data and not isinstance(given, Run) else None
    learner = replace(learner, network=network, folder=clean(folder.folder.resolve().name, 40), vocabulary=vocabulary)
    return go.opened(learner.run(point), learner=learner, point=point, **shown)


def _part(folder: RunFolder, which: slice) -> Batch:
    """Some of the instances that a run is trained on. Raises UnrollvizError where there are not so many."""
    assert folder.training is not None
    data = folder.training.data
    if which.stop > len(data.trained):
        raise UnrollvizError(
            f"{clean(folder.folder.name)} is trained on {len(data.trained):,} instances; there is no {which.stop:,}"
        )
    return part(data.whole, data.trained[which], folder.last.settings.reduction)
