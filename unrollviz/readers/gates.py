"""The gates of a layer: one set of parameters each here, rows of one matrix in every file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unrollviz.arrays import Array

PYTORCH = {"elman": ("",), "gru": ("_r", "_z", "_n"), "lstm": ("_i", "_f", "_g", "_o")}
"""Cell -> the gates in the order of PyTorch's rows, as our names end: U_i, W_i, b_i."""

ONNX = {"elman": ("",), "gru": ("_z", "_r", "_n"), "lstm": ("_i", "_o", "_f", "_g")}

Stacked = tuple[Array, Array, Array, Array]
"""weight_ih (gates·d, n), weight_hh (gates·d, d), bias_ih (gates·d,), bias_hh (gates·d,)"""


def split(gates: tuple[str, ...], stacked: Stacked) -> dict[str, Array]:
    """One set U, W, b a gate, b being the sum of both biases; of GRU's n they stay apart, as b_n and b_hn."""
    weight_ih, weight_hh, bias_ih, bias_hh = stacked
    units = weight_hh.shape[1]
    params = {}
    for number, gate in enumerate(gates):
        rows = slice(number * units, (number + 1) * units)
        given, recurrent = bias_ih[rows], bias_hh[rows]
        params[f"U{gate}"], params[f"W{gate}"] = weight_ih[rows], weight_hh[rows]
        if gate == "_n":
            params["b_n"], params["b_hn"] = given, recurrent
        else:
            # -0.0 + 0.0 is 0.0: where there is nothing to add, keep every bit
            params[f"b{gate}"] = np.where(recurrent == 0, given, given + recurrent)
    return params


def stack(gates: tuple[str, ...], params: Mapping[str, Array]) -> Stacked:
    """The other way round; both biases of a gate become the first, and zeros."""
    units = len(params[f"b{gates[0]}"])
    recurrent = [params["b_hn"] if gate == "_n" else np.zeros(units) for gate in gates]
    weight_ih, weight_hh, bias_ih = (np.concatenate([params[f"{letter}{gate}"] for gate in gates]) for letter in "UWb")
    return weight_ih, weight_hh, bias_ih, np.concatenate(recurrent)
