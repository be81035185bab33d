"""Hypothesis strategies: random networks with their sequences, and random graphs of integers.

Both draw a *recipe*, a small frozen dataclass whose repr is all it takes to repeat a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st

import unrollviz as uz
from unrollviz.graph import Graph, Tracer
from unrollviz.jacobians import Gradient
from unrollviz.network import SCHEMES
from unrollviz.ops import ACTIVATIONS, OPS, Op

seeds = st.integers(0, 2**32 - 1)
scales = st.one_of(st.sampled_from([0.1, 0.5, 1.0, 3.0]), st.floats(0.1, 3.0))


@dataclass(frozen=True)
class Recipe:
    """A network and a sequence, made from sizes and a seed."""

    steps: int = 4
    inputs: int = 3
    hidden: int = 3
    outputs: int = 3
    instances: int = 2
    activation: str = "tanh"
    scheme: str = "uniform"
    scale: float = 1.0
    targets: str = "ids"
    seed: int = 0

    def network(self) -> uz.Network:
        """Parameters drawn by the scheme, times the scale; biases too are not 0."""
        net = uz.Network.init("elman", self.inputs, self.hidden, self.outputs, self.activation, self.seed, self.scheme)
        rng = np.random.default_rng([self.seed, 1])
        biases = {name: rng.normal(size=net.params[name].shape) / 2 for name in "bc"}
        return net.replace(**{name: self.scale * value for name, value in {**net.params, **biases}.items()})

    def unroll(self) -> uz.Run:
        rng = np.random.default_rng([self.seed, 2])
        shape = (self.steps, self.instances)
        xs = rng.normal(size=(*shape, self.inputs))
        s0 = rng.normal(size=(self.instances, self.hidden)) / 2
        ids = rng.integers(0, self.outputs, shape)
        wanted = ids if self.targets == "ids" else rng.dirichlet(np.ones(self.outputs), shape)
        return uz.unroll(self.network(), xs, wanted, initial=s0)


_STEPS, _SIZES, _ACTIVATIONS = st.integers(1, 7), st.integers(1, 4), st.sampled_from(ACTIVATIONS)


bounded = st.sampled_from(["tanh", "sigmoid"])
"""Activations whose logits stay moderate, so that the textbook's 1 / ŷ is finite."""


@st.composite
def recipes(
    draw: st.DrawFn,
    steps: st.SearchStrategy[int] = _STEPS,
    activations: st.SearchStrategy[str] = _ACTIVATIONS,
) -> Recipe:
    """Random networks over short sequences, of every activation and initialisation scheme."""
    return Recipe(
        steps=draw(steps),
        inputs=draw(_SIZES),
        hidden=draw(_SIZES),
        outputs=draw(_SIZES),
        instances=draw(_SIZES),
        activation=draw(activations),
        scheme=draw(st.sampled_from(sorted(SCHEMES))),
        scale=draw(scales),
        targets=draw(st.sampled_from(["ids", "distributions"])),
        seed=draw(seeds),
    )


WEIGHTED_SUM = Op(
    "weighted_sum",
    "Σ w {0}",
    lambda a, *, weights: np.asarray((weights * a).sum()),
    lambda y, a, *, weights: (Gradient(weights),),
)
"""A loss that keeps whole numbers whole: a primitive is one entry in OPS."""


@dataclass(frozen=True)
class IntegerDag:
    """A random graph of whole numbers. `lines` are (op, arguments), an argument n being the node n steps back."""

    units: int
    instances: int
    lines: tuple[tuple[str, tuple[int, int]], ...]
    losses: tuple[int, ...]
    seed: int

    def build(self) -> Graph:
        """Traced with parameters P, Q (m, m) and b (m,); inputs x1, x2; nodes v0, v1 …; losses L."""
        rng = np.random.default_rng(self.seed)

        def whole(*shape: int) -> np.ndarray:
            return rng.choice([-2.0, -1.0, 1.0, 1.0], shape)

        m, tracer = self.units, Tracer()
        weights = {name: tracer.leaf(name, whole(m, m), "parameter") for name in "PQ"}
        bias = tracer.leaf("b", whole(m), "parameter")
        tracer.time = 0
        nodes = [tracer.leaf(name, whole(self.instances, m), "input") for name in ("x1", "x2")]
        for number, (op, back) in enumerate(self.lines):
            tracer.time = number
            first, second = (nodes[-1 - index % len(nodes)] for index in back)
            arguments = {
                "P": ("matvec", weights["P"], first),
                "Q": ("matvec", weights["Q"], first),
                "add_bias": ("add", first, bias, second),
                "mul_bias": ("mul", first, bias),
                "add": ("add", first, second),
                "mul": ("mul", first, second),
                "relu": ("relu", first),
                "identity": ("identity", first),
            }
            nodes.append(tracer.apply(*arguments[op], name="v"))
        with patch.dict(OPS, {WEIGHTED_SUM.name: WEIGHTED_SUM}):
            for number, index in enumerate(self.losses):
                tracer.time = len(self.lines) + number
                node = nodes[-1 - index % len(self.lines)]
                tracer.apply("weighted_sum", node, name="L", role="loss", weights=whole(self.instances, m))
        return tracer.graph

    def is_small(self) -> bool:
        """No value so large that a sum of products could leave the whole numbers that float64 holds."""
        return all(np.abs(value).max() < 2**12 for _, value in self.build().nodes(data="value"))


_LINE_OPS = ("P", "Q", "add", "add_bias", "mul_bias", "add", "mul", "P", "relu", "identity")


@st.composite
def _integer_dags(draw: st.DrawFn) -> IntegerDag:
    back = st.tuples(st.integers(0, 3), st.integers(0, 3))
    return IntegerDag(
        units=draw(st.integers(1, 3)),
        instances=draw(st.integers(1, 2)),
        lines=tuple(draw(st.lists(st.tuples(st.sampled_from(_LINE_OPS), back), min_size=3, max_size=8))),
        losses=tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))),
        seed=draw(seeds),
    )


def integer_dags() -> st.SearchStrategy[IntegerDag]:
    """Graphs of 3 to 8 ops, with parallel edges, diamonds and parameters used many times."""
    return _integer_dags().filter(IntegerDag.is_small)
