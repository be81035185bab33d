"""Optimizers, schedules and clipping: step for step what PyTorch does, for every row of the tables."""

import math
from itertools import pairwise

import numpy as np
import pytest

from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.optim import (
    OPTIMIZERS,
    SCHEDULES,
    Memory,
    clip_by_norm,
    clip_by_value,
    optimizer_named,
    scheduled,
    total_norm,
    update,
)

SHAPES = {"W": (4, 3), "b": (4,)}

IN_TORCH = {
    "gradient_descent": lambda torch, ws, lr, n: torch.optim.SGD(ws, lr=lr),
    "momentum": lambda torch, ws, lr, n: torch.optim.SGD(ws, lr=lr, momentum=n["momentum"]),
    "nesterov": lambda torch, ws, lr, n: torch.optim.SGD(ws, lr=lr, momentum=n["momentum"], nesterov=True),
    "rmsprop": lambda torch, ws, lr, n: torch.optim.RMSprop(ws, lr=lr, alpha=n["alpha"], eps=n["epsilon"]),
    "adagrad": lambda torch, ws, lr, n: torch.optim.Adagrad(ws, lr=lr, eps=n["epsilon"]),
    "adam": lambda torch, ws, lr, n: torch.optim.Adam(ws, lr=lr, betas=(n["beta1"], n["beta2"]), eps=n["epsilon"]),
    "adamw": lambda torch, ws, lr, n: torch.optim.AdamW(
        ws, lr=lr, betas=(n["beta1"], n["beta2"]), eps=n["epsilon"], weight_decay=n["decay"]
    ),
}


def drawn(rng):
    """Gradients of very different sizes, with zeros among them."""
    return {
        name: rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 3, shape) * (rng.random(shape) > 0.2)
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("shifted", [False, True], ids=["defaults", "other numbers"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_pytorchs_step_for_step(name, shifted):
    torch = pytest.importorskip("torch")
    row = OPTIMIZERS[name]
    numbers = {key: value * (0.9 if shifted else 1) for key, value in row.numbers.items()}
    rng = np.random.default_rng(3)
    params = {key: rng.standard_normal(shape) for key, shape in SHAPES.items()}
    theirs = {key: torch.tensor(value.copy()) for key, value in params.items()}
    optimizer = IN_TORCH[name](torch, list(theirs.values()), row.lr, numbers)
    memory = Memory.fresh(row, params)
    for count in range(1, 101):
        gradients = drawn(rng)
        for key, g in gradients.items():
            theirs[key].grad = torch.tensor(g)
        optimizer.step()
        memory, params = update(row, memory, params, gradients, row.lr, **numbers)
        assert memory.updates == count
        for key, value in params.items():
            np.testing.assert_allclose(value, theirs[key].numpy(), rtol=1e-12, atol=1e-12)


def test_the_table_in_this_test_has_every_row():
    assert set(IN_TORCH) == set(OPTIMIZERS)
    for row in OPTIMIZERS.values():
        assert "(" in (row.rule.__doc__ or "") or "20" in (row.rule.__doc__ or ""), f"{row.name} names no source"


def test_update_changes_nothing_in_place():
    params = {"W": np.ones((2, 2))}
    memory = Memory.fresh(OPTIMIZERS["adam"], params)
    update(OPTIMIZERS["adam"], memory, params, {"W": np.ones((2, 2))}, 0.1)
    assert memory.updates == 0
    assert (params["W"] == 1).all()
    assert all((memory.arrays[kept]["W"] == 0).all() for kept in "ms")


def torch_schedules(torch, optimizer, updates):
    lr = torch.optim.lr_scheduler
    return {
        "constant": lr.ConstantLR(optimizer, factor=1.0),
        "linear": lr.LinearLR(optimizer, 1.0, 0.0, updates),
        "cosine": lr.CosineAnnealingLR(optimizer, updates),
        "exponential": lr.ExponentialLR(optimizer, 0.01 ** (1 / updates)),
        "steps": lr.MultiStepLR(optimizer, [updates // 2, updates * 3 // 4]),
    }


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "warmup"])
def test_schedules_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch_schedules(torch, optimizer, 40)[name]
    optimizer.param_groups[0]["lr"] = theirs.base_lrs[0] = 1.0
    for count in range(40):
        assert scheduled(name, count, 40) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_warmup_rises_and_falls():
    rates = [scheduled("warmup", count, 100) for count in range(101)]
    assert rates[0] == 0
    assert rates[10] == 1.0
    assert rates[100] == pytest.approx(0, abs=1e-15)
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert all(a > b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize("most", [0.01, 1.0, 1e6])
def test_clipping_is_pytorchs(most):
    torch = pytest.importorskip("torch")
    gradients = {name: np.random.default_rng(1).standard_normal(shape) for name, shape in SHAPES.items()}
    for ours, theirs in (
        (clip_by_norm, torch.nn.utils.clip_grad_norm_),
        (clip_by_value, torch.nn.utils.clip_grad_value_),
    ):
        tensors = {name: torch.zeros(g.shape, dtype=torch.float64) for name, g in gradients.items()}
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients[name].copy())
        theirs(tensors.values(), most)
        for name, g in ours(gradients, most).items():
            np.testing.assert_allclose(g, tensors[name].grad.numpy(), rtol=1e-12, atol=0)


def test_the_norm_of_all_gradients():
    assert total_norm([]) == 0
    assert total_norm([np.zeros(3)]) == 0
    assert total_norm([np.array([3.0]), np.array([[4.0]])]) == 5
    assert total_norm([np.array([3e200, 4e200])]) == pytest.approx(5e200)
    assert total_norm([np.array([3e-200, 4e-200])]) == pytest.approx(5e-200)
    assert math.isinf(total_norm([np.array([np.inf])]))


def test_unknown_names_are_named():
    with pytest.raises(UnknownName, match="did you mean adam"):
        optimizer_named("adm", {})
    with pytest.raises(UnknownName, match="did you mean epsilon"):
        optimizer_named("adam", {"epsilo": 0.5})
    with pytest.raises(UnrollvizError, match="leave momentum out"):
        optimizer_named("gradient_descent", {"momentum": 0.9})
    with pytest.raises(UnrollvizError, match="at least 0"):
        optimizer_named("momentum", {"momentum": -1})
    with pytest.raises(UnknownName, match="schedule"):
        scheduled("cosin", 0, 1)
