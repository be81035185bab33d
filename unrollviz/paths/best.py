"""The best partial paths to every neuron, and their way through an edge: (max, ×) for (+, ×), in logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrollviz.arrays import Array
from unrollviz.paths.neurons import Indices, Local

ZERO = -1e300
"""Logarithm of a derivative that is 0: the path exists and adds nothing. Where there is no edge it is -inf."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best partial paths to the units of a node, each array (B, units, paths).

    logs: of |product of derivatives|;  edges: number of the last edge;  sources: unit · paths + path at its head.
    """

    logs: Array
    edges: Indices
    sources: Indices

    def top(self, k: int) -> Best:
        """The k best of each unit."""
        if self.logs.shape[2] <= k:
            return self
        best = np.argpartition(self.logs, -k, axis=2)[:, :, -k:]
        return Best(*(np.take_along_axis(x, best, axis=2) for x in (self.logs, self.edges, self.sources)))

    def beside(self, other: Best) -> Best:
        """Both, where edges meet."""
        pairs = ((self.logs, other.logs), (self.edges, other.edges), (self.sources, other.sources))
        return Best(*(np.concatenate(pair, axis=2) for pair in pairs))


def logarithms(values: Array, absent: Indices | None) -> Array:
    logs = np.maximum(np.log(np.abs(values)), ZERO)
    if absent is not None:
        logs[:, absent] = -np.inf
    return logs


def push(logs: Array, local: Local, k: int) -> tuple[Array, Indices]:
    """Partial paths to the units of y, (B, units of y, paths), behind an edge: (B, entries, ≤ k) and their sources."""
    derivative = logarithms(local.values, local.absent)
    paths = logs.shape[2]
    if local.sources is not None:
        sources = local.sources[:, None] * paths + np.arange(paths)
        behind = logs[:, local.sources] + derivative[:, :, None]
        return behind, np.broadcast_to(sources, behind.shape)
    instances, entries, units = derivative.shape
    heads = np.broadcast_to(np.arange(units), derivative.shape)
    if units > k:  # a unit whose best path is not among the k best of all units has none among the k best paths
        reach = logs.max(axis=2)[:, None] + derivative
        heads = np.argpartition(reach, -k, axis=2)[:, :, -k:]
        derivative = np.take_along_axis(derivative, heads, axis=2)
    behind = logs[np.arange(instances)[:, None, None], heads] + derivative[..., None]
    sources = heads[..., None] * paths + np.arange(paths)
    return behind.reshape(instances, entries, -1), sources.reshape(instances, entries, -1)
