"""Sequences to start from: the article's network, text spelled letter by letter, names and sunspots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from unrollviz.api import Network, Run, unroll
from unrollviz.arrays import Array, Labels
from unrollviz.errors import ShapeError

END = "⏎"
"""The mark that ends a name."""


def article(
    hidden: int = 3,
    activation: str = "tanh",
    seed: int = 0,
    cell: str = "elman",
    scheme: str = "orthogonal",
    *,
    layers: int = 1,
    bidirectional: bool = False,
    learn_initial: bool = False,
    readout: str = "every",
    reduction: str = "sum",
) -> Run:
    """The article's network: T = 5 steps with an output and a loss at each; n = k = 4, all numbers drawn by `seed`.

    The initial states are drawn too, so that W has a term at step 1, unless they are learned."""
    network, sample = article_parts(
        hidden, activation, seed, cell, scheme, layers=layers, bidirectional=bidirectional, learn_initial=learn_initial
    )
    return unroll(network, sample.xs, sample.targets, **sample.options, readout=readout, reduction=reduction)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a network can be run and trained on: arrays for `unroll`, and the options that go with them."""

    xs: Any
    targets: Any
    options: dict[str, Any] = field(default_factory=dict)


def article_parts(
    hidden: int,
    activation: str,
    seed: int,
    cell: str,
    scheme: str,
    *,
    layers: int,
    bidirectional: bool,
    learn_initial: bool,
) -> tuple[Network, Sample]:
    """The article's network, and what it is run on."""
    network = Network.init(
        cell,
        4,
        hidden,
        4,
        activation,
        seed,
        scheme,
        layers=layers,
        bidirectional=bidirectional,
        learn_initial=learn_initial,
    )
    rng = np.random.default_rng([seed, 5])
    xs = rng.standard_normal((5, 4))
    initial = {name: rng.standard_normal(hidden) / 2 for name in network.initial_states}
    targets = rng.integers(0, 4, 5)
    return network, Sample(xs, targets, {} if learn_initial else {"initial": initial})


@dataclass(frozen=True)
class Spelling:
    """Next-letter prediction: `xs[t]` is a letter, `targets[t]` the one after it, both ids into `vocabulary`."""

    xs: Labels
    targets: Labels
    vocabulary: tuple[str, ...]


def spell(text: str, vocabulary: Sequence[str] | None = None) -> Spelling:
    """Read `text` letter by letter, each predicting the next: "hello" has T = 4 steps.

    The vocabulary is the sorted set of the letters in use, unless given.

    Raises ShapeError where the text is shorter than two letters, or has a letter that is not in the vocabulary.
    """
    if len(text) < 2:
        raise ShapeError(f"the text has {len(text)} letters; give at least 2, so that one can predict the next")
    letters = tuple(vocabulary) if vocabulary is not None else tuple(sorted(set(text)))
    ids = {letter: index for index, letter in enumerate(letters)}
    for position, letter in enumerate(text):
        if letter not in ids:
            raise ShapeError(
                f"letter {letter!r} at position {position + 1} is not in the vocabulary {''.join(letters)!r}"
            )
    encoded = np.array([ids[letter] for letter in text])
    return Spelling(encoded[:-1], encoded[1:], letters)


def first_names() -> tuple[str, ...]:
    """The most frequent first names of the 1990 US census, in lower case."""
    return tuple(_read("first_names.txt").split())


def sunspots() -> Array:
    """Yearly mean sunspot numbers, 1700 to 2008: (309, 2) of year and number."""
    lines = _read("sunspots.csv").splitlines()[1:]
    return np.array([[float(part) for part in line.split(",")] for line in lines])


def adding(steps: int = 30, instances: int = 2000, seed: int = 0) -> Sample:
    """The adding problem (Hochreiter & Schmidhuber 1997, section 5.4): two of T numbers are marked; say their sum.

    Inputs (T, B, 2) are a number from 0 to 1 and a mark, 0 or 1: one in the first half, one in the second. The target
    is the sum at the last step; to answer 1 always costs 1/6. Raises ShapeError for fewer than 2 steps."""
    if steps < 2:
        raise ShapeError(f"the adding problem of {steps} step has no two numbers to add; give at least 2 steps")
    rng = np.random.default_rng([seed, 7])
    numbers, marks = rng.random((steps, instances)), np.zeros((steps, instances))
    every, half = np.arange(instances), steps // 2
    marks[rng.integers(0, half, instances), every] = 1.0
    marks[rng.integers(half, steps, instances), every] = 1.0
    targets = (numbers * marks).sum(axis=0)[:, None]
    return Sample(np.stack([numbers, marks], axis=2), targets, {"loss": "squared_error", "readout": "last"})


def names_sample() -> Sample:
    """First names letter by letter, each predicting the next, and the last the end of the name: padded to the longest.

    The vocabulary is the letters and END, which is only ever predicted."""
    names = first_names()
    vocabulary = (*sorted(set("".join(names))), END)
    spelled = [spell(name + END, vocabulary) for name in names]
    lengths = np.array([len(one.xs) for one in spelled])
    xs, targets = np.zeros((2, lengths.max(), len(names)), dtype=np.int64)
    for instance, one in enumerate(spelled):
        xs[: len(one.xs), instance], targets[: len(one.xs), instance] = one.xs, one.targets
    return Sample(xs, targets, {"lengths": lengths, "vocabulary": vocabulary})


def sunspots_sample() -> Sample:
    """Sunspots, each year's number predicting the next one's: 7 sequences of 44 years, in hundreds of sunspots."""
    numbers = sunspots()[:, 1] / 100
    xs, targets = (series.reshape(7, 44).T[:, :, None] for series in (numbers[:-1], numbers[1:]))
    return Sample(xs, targets, {"loss": "squared_error"})


SAMPLES: dict[str, Callable[[int], Sample]] = {
    "names": lambda seed: names_sample(),
    "sunspots": lambda seed: sunspots_sample(),
    "adding": lambda seed: adding(seed=seed),
}
"""What `--sample` may name, drawn by a seed."""


def _read(name: str) -> str:
    return (files("unrollviz") / "data" / name).read_text(encoding="utf-8")
