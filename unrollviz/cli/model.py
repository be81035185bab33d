"""What SPEC and the options describe, unrolled."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unrollviz.cli.proposals import note_given
from unrollviz.cli.terminal import note, waiting
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.api import Network, Run
    from unrollviz.experiments import Begun, Sequence
    from unrollviz.readers.experiment import Experiment


SUFFIXES = (".npz", ".safetensors", ".pt", ".pth", ".onnx")


def split(spec: str) -> tuple[Path, int | None]:
    """`RUN@120` is the run in folder RUN after 120 updates; anything else is the name of a file or folder."""
    found = re.fullmatch(r"(.+)@([0-9]{1,12})", spec, re.DOTALL)
    if max(map(len, os.fsencode(spec).split(b"/"))) > 255:  # what file systems allow
        raise BadFile(clean(spec, limit=60), "is no name that a file can have; check the path")
    return (Path(spec), None) if found is None or Path(spec).exists() else (Path(found[1]), int(found[2]))


def is_spec(word: str) -> bool:
    """Whether a word among others is a SPEC, by its ending, or as a run's folder that is there."""
    return word.endswith((".toml", *SUFFIXES)) or (split(word)[0] / "checkpoint.npz").is_file()


def described(
    spec: str | None,
    text: str | None,
    text_file: Path | None,
    data: Path | None,
    steps: int | None,
    sample: str | None,
    seed: int | None,
    criterion: str | None,
    readout: str | None,
    reduction: str | None,
    rnn: str | None,
    readout_layer: str | None,
    max_mib: int,
    **network: Any,
) -> tuple[Experiment, int]:
    """The experiment of SPEC, with what the options say in place of what it says; and the limit of bytes."""
    from dataclasses import replace

    from unrollviz.readers.experiment import DataPart, Experiment, read

    experiment = Experiment()
    if spec is not None and spec.endswith(".toml"):
        experiment = read(spec)
    elif spec is not None:
        file, iteration = split(spec)
        if file.suffix.lower() not in SUFFIXES and iteration is None and not file.is_dir():
            endings = ", ".join(SUFFIXES)
            raise BadFile(
                clean(spec), f"cannot be read: give a model ({endings}), an experiment (.toml) or a run's folder"
            )
        experiment = replace(experiment, model=replace(experiment.model, file=file, iteration=iteration))
    chosen: dict[str, Any] = {"text": text, "text_file": text_file, "file": data, "steps": steps, "sample": sample}
    given = {key: value for key, value in chosen.items() if value is not None}
    if len(given) > 1:
        named = " and ".join("--data" if key == "file" else f"--{key.replace('_', '-')}" for key in given)
        raise UnrollvizError(f"{named} both say what the sequence is; give one of them")
    asked = {"rnn": rnn, "readout": readout_layer, **network}
    if (rnn or readout_layer) and experiment.model.file is None:
        raise UnrollvizError("--rnn and --readout-layer choose among what a model file holds; give one as SPEC")
    model = replace(experiment.model, **{key: value for key, value in asked.items() if value is not None})
    if model.file is not None:
        for key in ("cell", "hidden", "layers", "bidirectional", "learn_initial", "init"):
            if getattr(model, key) is not None:
                raise UnrollvizError(f"--{key.replace('_', '-')} is what {model.file.name} says; leave it out")
    loss = {"kind": criterion, "readout": readout, "reduction": reduction}
    return (
        Experiment(
            model,
            DataPart(**given) if given else experiment.data,
            replace(experiment.loss, **{key: value for key, value in loss.items() if value is not None}),
            experiment.seed if seed is None else seed,
        ),
        max_mib * 2**20,
    )


def parts(**options: Any) -> tuple[Network, Sequence, int]:
    """The network, what it is to be trained on, and the seed."""
    from unrollviz import experiments

    experiment, limit = described(**options)
    found = experiments.assembled(experiment, limit=limit, instances=None)
    tell_invented(experiment)
    return *found, experiment.seed


def asked(**options: Any) -> tuple[Experiment, int]:
    """The same as `described`, for what only looks. Raises UnrollvizError too for a seed that nothing is drawn by."""
    from unrollviz import experiments

    experiment, limit = described(**options)
    if options["seed"] is not None and not experiments.draws(experiment):
        raise UnrollvizError("--seed is of random numbers, and here there are none: both model and data are read")
    return experiment, limit


def begin(**options: Any) -> Begun | None:
    """Its beginning, where the sequence is long; see `experiments.begun`."""
    from unrollviz import experiments

    experiment, limit = asked(**options)
    return experiments.begun(experiment, limit)


def unrolled(**options: Any) -> Run:
    """The network and sequence that SPEC and the options describe, unrolled."""
    from unrollviz import experiments

    experiment, limit = asked(**options)
    tell_invented(experiment)
    run = experiments.run(experiment, limit=limit)
    if experiment.data.file is not None and run.instances > run.steps and sys.stderr.isatty():
        note(f"{axes(run)}: of the axes of xs, steps come first")
    return run


def axes(run: Run) -> str:
    """How many steps and instances there are, for whoever has put the axes of his data the other way round."""
    return f"T = {run.steps} step{'s' * (run.steps != 1)}, B = {run.instances} instance{'s' * (run.instances != 1)}"


def tell_invented(experiment: Experiment) -> None:
    """Have it said, before what the command prints, that a model is shown on numbers that nobody gave."""
    from unrollviz import experiments

    steps = experiments.invented(experiment)
    if steps is not None:
        note(f"{steps} steps of random numbers, not your data; give --data FILE.npz")


def build(**options: Any) -> Run:
    """The same, for a command that prints: to its end, a terminal is told where work takes long."""
    click.get_current_context().with_resource(waiting())
    note_given()
    return unrolled(**options)
