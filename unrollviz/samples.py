"""Sequences to start from: the article's network, text spelled letter by letter, names and sunspots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

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
    given = None if learn_initial else initial
    return unroll(network, xs, targets, initial=given, readout=readout, reduction=reduction)


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


def _read(name: str) -> str:
    return (files("unrollviz") / "data" / name).read_text(encoding="utf-8")
