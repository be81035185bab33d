"""The benchmark's task without unrollviz: by hand for an Elman network in NumPy, PyTorch and JAX, and through PyTorch's
autograd for any; those of them that are installed.

The task: the norm and the signed share of ∂L_t/∂W via step k for all t ≥ k, (T, T) each, W being the recurrent weight
(of an LSTM that of its forget gate, of a GRU that of its candidate). The forward pass is not counted for anybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import unrollviz as uz
from unrollviz.arrays import Array, arithmetic

Answer: TypeAlias = tuple[Array, Array]


def numpy_by_hand(run: uz.Run) -> Callable[[], Answer]:
    """What an expert writes for this one cell: two buffers in turn, one product a step, nothing allocated."""
    states, begun, weight = _elman(run)
    steps = len(begun)

    def task() -> Answer:
        slopes = 1.0 - states[1:] ** 2
        rows, pulled = np.empty_like(begun), np.empty_like(begun)
        norms, shares = np.zeros((steps, steps)), np.zeros((steps, steps))
        gradient, row = np.zeros_like(weight), np.zeros(len(weight))
        with arithmetic():
            for k in reversed(range(steps)):
                row = (begun[k] + row) * slopes[k]
                gradient += np.outer(row, states[k])
                row = row @ weight
            size = float((gradient**2).sum())
            for k in reversed(range(steps)):
                alive = steps - k
                rows[alive - 1] = begun[k]  # row i belongs to L_{T-i}
                at_a = np.multiply(rows[:alive], slopes[k], out=pulled[:alive])
                norms[::-1][:alive, k] = np.sqrt(np.vecdot(at_a, at_a)) * np.linalg.norm(states[k])
                shares[::-1][:alive, k] = at_a @ (gradient @ states[k]) / size
                np.matmul(at_a, weight, out=rows[:alive])
        return norms, shares

    return task


def torch_by_hand(run: uz.Run) -> Callable[[], Answer] | None:
    """The same with PyTorch's operations, slopes multiplied into the weight; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    states, begun, weight = (torch.tensor(numbers) for numbers in _elman(run))
    steps = len(begun)

    def task() -> Answer:
        torch.set_num_threads(1)
        slopes = 1.0 - states[1:] ** 2
        gradient, row = torch.zeros_like(weight), torch.zeros_like(weight[0])
        for k in reversed(range(steps)):
            row = (begun[k] + row) * slopes[k]
            gradient.addr_(row, states[k])
            row = row @ weight
        directions, lengths = states[:-1] @ gradient.T / (gradient**2).sum(), states[:-1].norm(dim=1)
        norms, shares = torch.zeros(steps, steps, dtype=torch.float64), torch.zeros(steps, steps, dtype=torch.float64)
        rows, pulled = torch.empty_like(begun), torch.empty_like(begun)
        for k in reversed(range(steps)):
            alive = steps - k
            rows[alive - 1] = begun[k] * slopes[k]  # row i belongs to L_{T-i}, its slope multiplied in
            at_a = rows[:alive]
            norms[k, :alive] = torch.linalg.vector_norm(at_a, dim=1) * lengths[k]
            shares[k, :alive] = at_a @ directions[k]
            if k > 0:
                torch.mm(at_a, weight * slopes[k - 1], out=pulled[:alive])
            rows, pulled = pulled, rows
        return norms.T.flip(0).numpy(), shares.T.flip(0).numpy()

    return task


def jax_jitted(run: uz.Run) -> Callable[[], Answer] | None:
    """The same compiled by JAX, in blocks of steps with as many rows as the block's last step has; None without JAX.

    It is compiled here, before anybody measures it."""
    os.environ |= {"JAX_ENABLE_X64": "1", "NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}  # one thread
    try:
        import jax
    except ImportError:
        return None
    states, begun, weight = map(jax.numpy.asarray, _elman(run))
    steps, block = len(begun), max(16, len(begun) // 32)

    def fused(states: Any, begun: Any, weight: Any) -> Any:
        slopes = 1.0 - states[1:] ** 2

        def total(row: Any, k: Any) -> Any:
            row = (begun[k] + row) * slopes[k]
            return row @ weight, row

        _, rows = jax.lax.scan(total, jax.numpy.zeros_like(begun[0]), jax.numpy.arange(steps), reverse=True)
        gradient = rows.T @ states[:-1]
        directions = states[:-1] @ gradient.T / (gradient**2).sum()
        lengths = jax.numpy.linalg.norm(states[:-1], axis=1)

        def back(rows: Any, k: Any) -> Any:
            at_a = rows.at[steps - 1 - k].set(begun[k]) * slopes[k]
            return at_a @ weight, (jax.numpy.sqrt((at_a * at_a).sum(1)) * lengths[k], at_a @ directions[k])

        rows, found = begun[:0], []
        for last in range(steps, 0, -block):
            first = max(0, last - block)
            rows = jax.numpy.pad(rows, ((0, last - first), (0, 0)))
            rows, figures = jax.lax.scan(back, rows, jax.numpy.arange(first, last), reverse=True)
            found.append([jax.numpy.pad(figure, ((0, 0), (0, first))) for figure in figures])
        return [jax.numpy.concatenate(column[::-1]).T[::-1] for column in zip(*found, strict=True)]

    compiled = jax.jit(fused)

    def task() -> Answer:
        norms, shares = compiled(states, begun, weight)
        return np.asarray(norms), np.asarray(shares)

    task()
    return task


def _elman(run: uz.Run) -> tuple[Array, Array, Array]:
    """s_0 … s_T, (T + 1, d); ∂L_t/∂s_t of every step's own loss, (T, d); and W."""
    values = {name: node["value"] for name, node in run.graph.nodes(data=True)}
    states = np.concatenate([values[f"s{t}"] for t in range(run.steps + 1)])
    errors = np.concatenate([values[f"yhat{t}"] for t in range(1, run.steps + 1)]) - run.targets[:, 0]
    return states, errors @ run.network.params["V"], run.network.params["W"]


def torch_batched(run: uz.Run) -> Callable[[], Answer] | None:
    """One call of torch.autograd.grad with is_grads_batched, all losses at once; None without PyTorch."""
    return _through_torch(run, batched=True)


def torch_by_loss(run: uz.Run) -> Callable[[], Answer] | None:
    """One call of torch.autograd.grad a loss; None without PyTorch."""
    return _through_torch(run, batched=False)


def _through_torch(run: uz.Run, batched: bool) -> Callable[[], Answer] | None:
    try:
        import torch
    except ImportError:
        return None
    losses, before, states = _forward(torch, run)
    steps = run.steps

    def task() -> Answer:
        torch.set_num_threads(1)
        if batched:
            seeds = torch.eye(steps, dtype=torch.float64)
            pulled = torch.autograd.grad(torch.stack(losses), before, seeds, retain_graph=True, is_grads_batched=True)
            at_a = torch.stack(pulled, 1)  # (losses, steps, d)
        else:
            at_a = torch.zeros(steps, steps, states.shape[1], dtype=torch.float64)
            for t, loss in enumerate(losses):
                at_a[t, : t + 1] = torch.stack(torch.autograd.grad(loss, before[: t + 1], retain_graph=True))
        gradient = at_a.sum(0).T @ states
        norms = at_a.norm(dim=2) * states.norm(dim=1)
        shares = (at_a * (states @ gradient.T)).sum(2) / (gradient**2).sum()
        return norms.numpy(), shares.numpy()

    return task


def _forward(torch: Any, run: uz.Run) -> tuple[list[Any], list[Any], Any]:
    """Losses, the products with W whose derivatives are wanted, and the states that W multiplies: (T, d)."""
    params = {name: torch.tensor(value, requires_grad=True) for name, value in run.network.params.items()}
    xs, wanted = torch.tensor(run.inputs[:, 0]), torch.tensor(run.targets[:, 0])
    hidden = run.network.hidden
    h = c = torch.zeros(hidden, dtype=torch.float64)
    losses, before, states = [], [], []

    def affine(gate: str, x: Any, h: Any) -> Any:
        return params[f"U_{gate}"] @ x + params[f"W_{gate}"] @ h + params[f"b_{gate}"]

    for x, p in zip(xs, wanted, strict=True):
        states.append(h.detach())
        if run.network.cell == "elman":
            before.append(params["W"] @ h)
            h = torch.tanh(params["U"] @ x + before[-1] + params["b"])
        elif run.network.cell == "lstm":
            before.append(affine("f", x, h))
            i, f, o = (torch.sigmoid(a) for a in (affine("i", x, h), before[-1], affine("o", x, h)))
            c = f * c + i * torch.tanh(affine("g", x, h))
            h = o * torch.tanh(c)
        else:
            r, z = (torch.sigmoid(affine(gate, x, h)) for gate in "rz")
            before.append(params["W_n"] @ h)
            n = torch.tanh(params["U_n"] @ x + params["b_n"] + r * (before[-1] + params["b_hn"]))
            h = (1 - z) * n + z * h
        losses.append(-(p * torch.log_softmax(params["V"] @ h + params["c"], 0)).sum())
    return losses, before, torch.stack(states)


def unrollviz_answer(run: uz.Run) -> Answer:
    """The same through the public call, as (T, T) matrices, for comparison."""
    found = run.flow(run.recurrent_weight, by="temporal")
    norms, shares = np.zeros((run.steps, run.steps)), np.zeros((run.steps, run.steps))
    losses, entries = found.labels.T - 1
    norms[losses, entries], shares[losses, entries] = found.norms, found.shares
    return norms, shares
