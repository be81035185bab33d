"""From a description to an unrolled network: which model, which sequence, which loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrollviz.api import Network, Run, ask, unroll
from unrollviz.batch import PROBE, REDUCTIONS, beginning, part, reduced, unreduced
from unrollviz.errors import ShapeError, UnknownName, UnrollvizError
from unrollviz.losses import LOSSES
from unrollviz.names import clean
from unrollviz.readers.experiment import DataPart, Experiment
from unrollviz.readers.found import Found
from unrollviz.readers.limits import BYTES_LIMIT
from unrollviz.samples import SAMPLES, Sample, article_parts, spell
from unrollviz.unrolled import check_size, unroll_batch

if TYPE_CHECKING:
    from unrollviz.training.rundata import RunData
    from unrollviz.training.state import Training

RANDOM_STEPS = 10
"""T of the random sequence that a model is run on where no data are given."""


@dataclass(frozen=True)
class Sequence:
    """What a network is run on: arrays for `unroll`, and how many inputs and classes they need at least."""

    xs: Any
    targets: Any
    inputs: int
    outputs: int
    options: dict[str, Any] = field(default_factory=dict)


LONG, BEGINNING = 500, 100
"""Of more than LONG steps the first so many can be had before the others."""


@dataclass(frozen=True)
class Begun:
    """A long sequence of which the beginning has been unrolled: what a screen can show while the rest is.

    Attributes:
        first: the network over the first steps; its values are those of the whole, its cotangents are not.
        steps: T of the whole.
        whole: unrolls all of it. Raises NonFinite.
    """

    first: Run
    steps: int
    whole: Callable[[], Run]


def begun(experiment: Experiment, limit: int = BYTES_LIMIT) -> Begun | None:
    """The beginning of an experiment over a long sequence; None where it is short, or where what happens at the first
    steps depends on the last. Raises UnrollvizError as `run` does, but for what only unrolling the rest would tell."""
    network, sequence = assembled(experiment, None, limit)
    options = dict(sequence.options)
    vocabulary, reduction = options.pop("vocabulary", None), options.pop("reduction")
    if len(sequence.xs) <= LONG or network.bidirectional or options["readout"] != "every":
        return None
    if reduction not in REDUCTIONS:
        raise UnknownName("reduction", reduction, REDUCTIONS)
    plain = unreduced(network, sequence.xs, sequence.targets, **options)
    batch = replace(plain, weights=reduced(plain.weights, reduction))
    check_size(network, *batch.inputs.shape[:2])
    first = ask(unroll_batch(network, beginning(batch, BEGINNING), vocabulary))
    return Begun(first, len(batch.inputs), lambda: ask(unroll_batch(network, batch, vocabulary)))


def found_model(experiment: Experiment, limit: int = BYTES_LIMIT) -> Found | None:
    """What the experiment's model file holds; None where it names none."""
    model = experiment.model
    if model.file is None:
        return None
    from unrollviz.readers.weights import load
    from unrollviz.training.checkpoints import is_checkpoint

    if is_checkpoint(model.file, limit):
        if model.readout or model.rnn or model.activation:
            raise UnrollvizError(
                f"{clean(model.file.name)} is a run's checkpoint, which says how it is built; give it alone"
            )
        network = _of_run(model.file, model.iteration, limit)
        names = tuple(network.params)
        shape = (network.activation, network.layers, network.bidirectional)
        return Found(network.cell, network.params, *shape, names, (), "V", ("V",)).checked()
    if model.iteration is not None:
        raise UnrollvizError(f"{clean(model.file.name)} is no run's folder, which alone has iterations; leave out @")
    return load(model.file, readout=model.readout, rnn=model.rnn, activation=model.activation, limit=limit)


def _of_run(file: Path, iteration: int | None, limit: int) -> Network:
    """The network of a run's folder, or of one checkpoint."""
    from unrollviz.training.checkpoints import read
    from unrollviz.training.runs import is_run, opened

    if iteration is None:
        return read(file, limit).network
    if not is_run(file):
        raise UnrollvizError(f"{clean(file.name)} is one checkpoint; name the folder of the run: RUN@{iteration}")
    folder = opened(file, limit)
    return folder.last.network.replace(**folder.at(iteration).params)


def invented(experiment: Experiment) -> int | None:
    """How many random steps `run` makes up for a model file of which nobody has said what it is run on; else None."""
    file = experiment.model.file
    if file is None or experiment.data != DataPart():
        return None
    from unrollviz.training.rundata import DATA

    return None if (file / DATA).is_file() else RANDOM_STEPS


def draws(experiment: Experiment) -> bool:
    """Whether the seed decides anything: the weights, or the data."""
    data = experiment.data
    drawn = data.steps is not None or data.sample is not None or invented(experiment) is not None
    return experiment.model.file is None or drawn


def run(
    experiment: Experiment, found: Found | None = None, limit: int = BYTES_LIMIT, instances: int | None = None
) -> Run:
    """The experiment, unrolled; `found` where its model file has been read already; over the first `instances` only.

    Without a model file and data it is the article's network. A model without data is run on random numbers.

    Raises UnrollvizError where files are broken or parts do not fit each other.
    """
    network, sequence = assembled(experiment, found, limit, instances or PROBE)
    if instances is None:
        return unroll(network, sequence.xs, sequence.targets, **sequence.options)
    options = dict(sequence.options)
    vocabulary, reduction = options.pop("vocabulary", None), options.pop("reduction")
    whole = unreduced(network, sequence.xs, sequence.targets, **options)
    if reduction not in REDUCTIONS:
        raise UnknownName("reduction", reduction, REDUCTIONS)
    first = np.arange(min(instances, whole.inputs.shape[1]))
    batch = part(whole, first, reduction)
    check_size(network, *batch.inputs.shape[:2])
    return ask(unroll_batch(network, batch, vocabulary))


def assembled(
    experiment: Experiment, found: Found | None = None, limit: int = BYTES_LIMIT, instances: int | None = PROBE
) -> tuple[Network, Sequence]:
    """The experiment's network, and what it is run or trained on; its loss, readout and reduction are in the options.

    A run's folder without other data is run on the first so many instances of its own; on all of them where None.

    Raises UnrollvizError as `run` does."""
    found = found or found_model(experiment, limit)
    sized = experiment.model.inputs is not None or experiment.model.outputs is not None
    said = {"loss": experiment.loss.kind, "readout": experiment.loss.readout, "reduction": experiment.loss.reduction}
    if found is None and experiment.data == DataPart() and not sized:
        if experiment.loss.kind != "cross_entropy":
            raise UnrollvizError(
                "the article's network has classes for targets; give --steps T or data for another loss"
            )
        network, sample = _article(experiment)
        return network, Sequence(sample.xs, sample.targets, 4, 4, said | sample.options)
    sequence = read_sequence(experiment, found, limit, instances)
    for name, chosen, usual in (("loss", said["loss"], "cross_entropy"), ("readout", said["readout"], "every")):
        if name in sequence.options and chosen not in (usual, sequence.options[name]):
            raise UnrollvizError(f"{_data_name(experiment)} has {sequence.options[name]} for its {name}, not {chosen}")
    network = Network.of(found) if found else _initialised(experiment, sequence)
    return network, replace(sequence, options=said | sequence.options)


def _article(experiment: Experiment) -> tuple[Network, Sample]:
    model = experiment.model
    return article_parts(
        3 if model.hidden is None else model.hidden,
        model.activation or "tanh",
        experiment.seed,
        model.cell or "elman",
        model.init or "orthogonal",
        layers=1 if model.layers is None else model.layers,
        bidirectional=bool(model.bidirectional),
        learn_initial=bool(model.learn_initial),
    )


def _initialised(experiment: Experiment, sequence: Sequence) -> Network:
    model = experiment.model
    return Network.init(
        model.cell or "elman",
        model.inputs or sequence.inputs,
        8 if model.hidden is None else model.hidden,
        model.outputs or sequence.outputs,
        model.activation or "tanh",
        experiment.seed,
        model.init or "orthogonal",
        layers=1 if model.layers is None else model.layers,
        bidirectional=bool(model.bidirectional),
        learn_initial=bool(model.learn_initial),
    )


def _data_name(experiment: Experiment) -> str:
    file = experiment.model.file
    return experiment.data.sample or (clean(file.name) if file else "the data")


def read_sequence(
    experiment: Experiment, found: Found | None, limit: int = BYTES_LIMIT, instances: int | None = PROBE
) -> Sequence:
    """The experiment's data, read; of a run's own, so many instances."""
    from unrollviz.readers.sequence import read_npz, read_text

    data = experiment.data
    if data.text is not None or data.text_file is not None:
        return _spelled(read_text(data.text_file, limit) if data.text_file else str(data.text), found)
    if data.file is not None:
        arrays = read_npz(data.file, limit)
        xs, targets = arrays.pop("xs"), arrays.pop("targets")
        return Sequence(xs, targets, _width(xs), _width(targets), _options(arrays))
    if data.sample is not None:
        if data.sample not in SAMPLES:
            raise UnknownName("sample", clean(data.sample), SAMPLES)
        sample = SAMPLES[data.sample](experiment.seed)
        return Sequence(sample.xs, sample.targets, _width(sample.xs), _width(sample.targets), sample.options)
    file = experiment.model.file
    if file is not None and data.steps is None:
        from unrollviz.training.runs import is_run, opened

        own = opened(file, limit) if is_run(file) else None
        if own is not None and own.training is not None:
            return _of_training(own.training, own.data, instances, experiment.loss.reduction)
    return _random(experiment, found)


def _of_training(training: Training, data: RunData | None, instances: int | None, reduction: str) -> Sequence:
    """What a run is trained on: its first instances, as the history looks at them."""
    whole = training.data.whole
    which = training.data.trained[:instances]
    steps = slice(0, int(whole.lengths[which].max()))
    options = {
        "lengths": whole.lengths[which],
        "weights": whole.weights[steps, which],
        "initial": {name: value[which] for name, value in whole.initial.items()},
        "loss": whole.loss,
        "readout": whole.readout,
        "reduction": training.settings.reduction if reduction == "sum" else reduction,
        "vocabulary": data.vocabulary if data else None,
    }
    xs, targets = whole.inputs[steps, which], whole.targets[steps, which]
    return Sequence(xs, targets, xs.shape[2], targets.shape[2], options)


def _spelled(text: str, found: Found | None) -> Sequence:
    spelling = spell(text)
    letters = len(spelling.vocabulary)
    if found and (found.network.inputs, found.network.outputs) != (letters, letters):
        raise ShapeError(
            f"the text has {letters} different letters, the model {found.network.inputs} inputs and "
            f"{found.network.outputs} classes; give the ids it was trained with as xs and targets in an .npz"
        )
    return Sequence(spelling.xs, spelling.targets, letters, letters, {"vocabulary": spelling.vocabulary})


def _options(arrays: dict[str, Any]) -> dict[str, Any]:
    """The other arrays of an .npz as options of `unroll`: initial states go by their names."""
    options = {name: arrays.pop(name) for name in ("lengths", "weights", "initial") if name in arrays}
    if arrays and "initial" in options:
        raise ShapeError(f"both initial and {next(iter(arrays))} give initial states; give them by name")
    return options | ({"initial": arrays} if arrays else {})


def _width(array: Any) -> int:
    """n or k: the last axis of floats, one more than the largest of ids; 1 where `unroll` will refuse the array."""
    if array.dtype.kind in "iu" and array.ndim <= 2:
        return max(1, int(array.max(initial=0)) + 1)
    return max(1, array.shape[-1]) if array.ndim else 1


def _random(experiment: Experiment, found: Found | None) -> Sequence:
    """Standard normal inputs, and targets that suit the loss, drawn by the seed."""
    rng = np.random.default_rng([experiment.seed, 5])
    model = experiment.model
    n, k = (found.network.inputs, found.network.outputs) if found else (model.inputs or 4, model.outputs or 4)
    steps = experiment.data.steps or RANDOM_STEPS
    check_size(found.network if found else _initialised(experiment, Sequence(None, None, n, k)), steps, 1)
    xs = rng.standard_normal((steps, n))
    targets: Any = {
        "distributions": rng.integers(0, k, steps),
        "probabilities": rng.integers(0, 2, (steps, k)).astype(np.float64),
        "numbers": rng.standard_normal((steps, k)),
    }[LOSSES[experiment.loss.kind].targets]
    return Sequence(xs, targets, n, k)
