"""Neurons: their names, which of them an edge joins, and by what derivative.

A neuron is one unit of a node, `s3[0]`, counted from 0 as NumPy counts. Where there are several instances each has
neurons of its own, and its number, counted from 1, follows: `s3[0]#2`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, singledispatch
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from unrollviz.arrays import Array, Shape
from unrollviz.charts import InChart, LeaveChart
from unrollviz.composite import Composite, Sloped
from unrollviz.errors import UnrollvizError
from unrollviz.graph import Graph
from unrollviz.jacobians import Broadcast, Columns, Dense, Diagonal, Gradient, Identity, Jacobian, Outer, Softmax

Indices: TypeAlias = npt.NDArray[Any]
"""Whole numbers: places of units, or (dtype object) numbers of paths."""


_ENTRY = re.compile(r"(?P<node>[^\[\]#]+)(?:\[(?P<units>\d+(?:,\d+)*)\])?(?:#(?P<instance>\d+))?")


@dataclass(frozen=True)
class Target:
    """A parameter or node, or some of its entries: `W`, `W[0,2]`, `s1[0]`, and of one instance `s1[0]#2` or `s1#2`."""

    node: str
    units: tuple[int, ...] | None = None
    instance: int | None = None

    @classmethod
    def named(cls, name: str) -> Target:
        """From what a person types; `UnitPaths` sees whether there is such an entry."""
        match = _ENTRY.fullmatch(name.replace(" ", ""))
        if match is None:
            return cls(name)
        units = tuple(map(int, match["units"].split(","))) if match["units"] else None
        return cls(match["node"], units, int(match["instance"]) if match["instance"] else None)

    def __str__(self) -> str:
        units = "" if self.units is None else f"[{','.join(map(str, self.units))}]"
        return self.node + units + ("" if self.instance is None else f"#{self.instance}")

    def place(self, shape: Shape, shared: bool) -> tuple[int | slice, ...]:
        """What is asked for of an array of the node's `shape`; `shared` by all instances, as parameters are.

        Raises UnrollvizError where there is no such entry."""
        axes = shape if shared else shape[1:]
        units = self.units if self.units is not None else (slice(None),) * len(axes)
        fits = self.units is None or (
            len(self.units) == len(axes) and all(unit < size for unit, size in zip(self.units, axes, strict=True))
        )
        if not fits:
            last = ",".join(str(size - 1) for size in axes)
            first = ",".join("0" for _ in axes)
            raise UnrollvizError(
                f"{self} is no entry of {self.node}; give {self.node}[{first}] to {self.node}[{last}], counted from 0"
            )
        if self.instance is None:
            return units if shared else (slice(None), *units)
        if shared or not 1 <= self.instance <= shape[0]:
            known = "is shared by all instances" if shared else f"has instances #1 to #{shape[0]}"
            raise UnrollvizError(f"{self} asks for instance {self.instance}, but {self.node} {known}")
        return (self.instance - 1, *units)


def neuron(graph: Graph, name: str, instance: int, unit: int) -> str:
    """`s3[0]`; with several instances `s3[0]#1`; a parameter's entry `W[0,2]`; a loss is one for all."""
    found = graph.nodes[name]
    shape: Shape = found["value"].shape
    if not shape:
        return name
    if found["role"] == "parameter":
        return str(Target(name, tuple(map(int, np.unravel_index(unit, shape)))))
    return str(Target(name, (unit,), instance + 1 if shape[0] > 1 else None))


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which units of y depend on which units of x: `joins` (units of y, units of x), the same for every instance.

    Of a parameter, x's units are its rows: a unit that depends on a row depends on all columns of it."""

    joins: npt.NDArray[np.bool_]

    @cached_property
    def sources(self) -> Indices | None:
        """For each unit of x the only unit of y that depends on it, -1 for none; None where some have several."""
        several = self.joins.sum(axis=0)
        if (several > 1).any():
            return None
        return np.where(several == 1, self.joins.argmax(axis=0), -1)

    def counts(self, ways: Indices) -> Indices:
        """Numbers of paths to each unit of y, as Python integers -> to each unit of x."""
        if self.sources is not None:
            return np.where(self.sources >= 0, ways[self.sources], 0)
        if self.joins.all():
            return np.full(self.joins.shape[1], ways.sum(), dtype=object)
        return np.asarray(ways @ self.joins.astype(object))


@lru_cache(maxsize=256)
def _same(units: int) -> Pattern:
    return Pattern(np.eye(units, dtype=bool))


@lru_cache(maxsize=256)
def _all(units_out: int, units_in: int) -> Pattern:
    return Pattern(np.ones((units_out, units_in), dtype=bool))


@lru_cache(maxsize=256)
def _window(units_out: int, units_in: int, start: int) -> Pattern:
    return Pattern(np.eye(units_out, units_in, -start, dtype=bool))


@lru_cache(maxsize=256)
def _through(first: Pattern, second: Pattern) -> Pattern:
    """Back through `first`, then through `second`. Cached, as all steps of a run are alike."""
    return Pattern((first.joins.astype(np.float32) @ second.joins.astype(np.float32)) > 0)


@lru_cache(maxsize=256)
def _either(first: Pattern, second: Pattern) -> Pattern:
    return first if first is second else Pattern(first.joins | second.joins)


@singledispatch
def joined(jacobian: Jacobian) -> Pattern:
    """Which units an edge joins: those that its kind allows to, whether or not a derivative happens to be 0."""
    raise TypeError(f"JOINED has no rule that says which units a {type(jacobian).__name__} joins")


def _composite(jacobian: Composite) -> Pattern:
    """One edge between two units wherever any path through the interior joins them: interior paths are summed."""
    at = {jacobian.head: _same(units_of(jacobian.out_shape))}
    for head, tail, part in jacobian.edges:
        pattern = _through(at[head], joined(part))
        at[tail] = _either(at[tail], pattern) if tail in at else pattern
    return at[jacobian.tail]


JOINED: dict[type[Jacobian], Callable[[Any], Pattern]] = {
    Identity: lambda edge: _same(units_of(edge.out_shape)),
    Diagonal: lambda edge: _same(units_of(edge.out_shape)),
    LeaveChart: lambda edge: _same(units_of(edge.out_shape)),
    Broadcast: lambda edge: _same(units_of(edge.out_shape)),
    Outer: lambda edge: _same(units_of(edge.out_shape)),
    Dense: lambda edge: _all(*edge.weight.shape),
    Sloped: lambda edge: _all(*edge.weight.shape),
    Softmax: lambda edge: _all(units_of(edge.out_shape), units_of(edge.in_shape)),
    Gradient: lambda edge: _all(1, units_of(edge.in_shape)),
    Columns: lambda edge: _window(edge.width, units_of(edge.in_shape), edge.start),
    InChart: lambda edge: joined(edge.jacobian),
    Composite: _composite,
}
"""Which units each kind of Jacobian joins."""

for _kind, _rule in JOINED.items():
    joined.register(_kind, _rule)


def units_of(shape: Shape) -> int:
    """Units of a node whose value has this shape; a loss has one."""
    return shape[-1] if shape else 1


def instances_of(shape: Shape) -> int:
    """Instances of a node whose value has this shape; a loss is one for all."""
    return shape[0] if shape else 1


@dataclass(frozen=True, eq=False)
class Local:
    """The derivatives of an edge with respect to some entries of x (units of a node, places in a flattened parameter).

    Where each entry has at most one unit of y that depends on it, `sources` (entries,) says which, -1 for none, and
    `values` is (B, entries). Else `sources` is None and `values` is (B, entries, units of y). `absent` (values' last
    axes) is where no edge is, None where all are. Derivatives are in the chart at ŷ, as cotangents are.
    """

    values: Array
    sources: Indices | None
    absent: npt.NDArray[np.bool_] | None

    @classmethod
    def of(cls, jacobian: Jacobian, entries: Indices) -> Local:
        """Built from a few vector-Jacobian products with rows of the identity."""
        pattern = joined(jacobian)
        columns = 1 if jacobian.per_instance else math.prod(jacobian.in_shape[1:])
        rows = entries // columns
        if pattern.sources is not None:
            sources = pattern.sources[rows]
            absent = sources < 0
            return cls(_single(jacobian)[:, entries], sources, absent if absent.any() else None)
        joins = pattern.joins[:, rows].T
        return cls(_several(jacobian, entries), None, None if joins.all() else ~joins)


def _single(jacobian: Jacobian) -> Array:
    """∂y/∂x where each entry of x has one unit of y: (B, entries), the sum over all units of y being that one's."""
    if jacobian.out_shape == ():
        return jacobian.vjp(np.ones(1)).reshape(instances_of(jacobian.in_shape) if jacobian.per_instance else 1, -1)
    if jacobian.per_instance:
        return np.asarray(jacobian.vjp(np.ones((1, *jacobian.out_shape)))[0])
    instances, units = jacobian.out_shape
    each = np.eye(instances)[:, :, None] * np.ones(units)
    return jacobian.vjp(each).reshape(instances, -1)


def _several(jacobian: Jacobian, entries: Indices) -> Array:
    """∂y/∂x in full: (B, entries, units of y)."""
    instances, units = jacobian.out_shape
    if jacobian.per_instance:
        basis = np.broadcast_to(np.eye(units)[:, None], (units, instances, units))
        return jacobian.vjp(basis)[:, :, entries].transpose(1, 2, 0)
    if len(entries) < instances * units:
        tangents = np.zeros((len(entries), math.prod(jacobian.in_shape)))
        tangents[np.arange(len(entries)), entries] = 1.0
        return jacobian.jvp(tangents.reshape(-1, *jacobian.in_shape)).transpose(1, 0, 2)
    rows = np.eye(instances * units).reshape(-1, instances, units)
    pulled = jacobian.vjp(rows).reshape(instances, units, -1)
    return pulled[:, :, entries].transpose(0, 2, 1)


def derivatives(jacobian: Jacobian, instance: int, unit: int) -> Array:
    """∂y_unit/∂x of one instance: (units of x) or (entries of a parameter)."""
    if jacobian.out_shape == ():
        row = jacobian.vjp(np.ones(1))[0]
    else:
        basis = np.zeros((1, *jacobian.out_shape))
        basis[0, instance, unit] = 1.0
        row = jacobian.vjp(basis)[0]
    return np.asarray(row[instance] if jacobian.per_instance else row.reshape(-1))
