"""The losses: one table of what turns the readout z_t = V s_t + c into ŷ_t, and ŷ_t into L_t."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A row of the table: the ops for ŷ and L, and what the targets are.

    Attributes:
        output: op of ŷ = output(z).
        op: op of L from ŷ and the target.
        targets: "distributions" (or class ids), "probabilities" (each in [0, 1]) or "numbers".
    """

    output: str
    op: str
    targets: str


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss("softmax", "cross_entropy", "distributions"),
    "binary_cross_entropy": Loss("logistic", "binary_cross_entropy", "probabilities"),
    "squared_error": Loss("identity", "squared_error", "numbers"),
}
