"""The cells, stacked and in both directions: equations, names, padding, path counts, folds, initial states, bad input.

What is compared with PyTorch is in test_gated_torch.py."""

import math
from functools import cache
from itertools import pairwise
from unittest.mock import patch

import mpmath
import networkx as nx
import numpy as np
import pytest

import unrollviz as uz
from unrollviz.cells import CELLS, Cell, gated
from unrollviz.errors import NonFinite, ShapeError, UnknownName, UnrollvizError
from unrollviz.graph import LEVELS
from unrollviz.ops import OPS
from unrollviz.sweep import FOLDS

every_cell = pytest.mark.parametrize("cell", CELLS)
one_and_two_ways = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
every_level = pytest.mark.parametrize("detail", LEVELS)


def network(cell, layers=1, bidirectional=False, *, n=2, d=3, k=4, seed=0, learned=False, activation="tanh"):
    """A network all of whose parameters are drawn, biases and learned initial states too."""
    net = uz.Network.init(cell, n, d, k, activation, layers=layers, bidirectional=bidirectional, learn_initial=learned)
    rng = np.random.default_rng([seed, 1])
    return net.replace(**{name: rng.uniform(-0.9, 0.9, value.shape) for name, value in net.params.items()})


def unrolled(net, T=4, B=2, seed=0, **options):
    rng = np.random.default_rng([seed, 2])
    xs, ids = rng.normal(size=(T, B, net.inputs)), rng.integers(0, net.outputs, (T, B))
    return uz.unroll(net, xs, options.pop("targets", ids), **options)


def value(run, name):
    return run.graph.nodes[name]["value"]


def close(found, expected, scale=None, bound=1e-13):
    largest = np.abs(expected).max(initial=0.0) if scale is None else scale
    return np.abs(np.asarray(found) - expected).max(initial=0.0) <= bound * largest


# ---------------------------------------------------------------- equations and names


def sigma(a):
    return 1 / (1 + np.exp(-a))


def elman_by_hand(p, x, s):
    return {"s": np.tanh(x @ p["U"].T + s["s"] @ p["W"].T + p["b"])}


def gru_by_hand(p, x, s):
    h = s["h"]
    r, z = (sigma(x @ p[f"U_{g}"].T + h @ p[f"W_{g}"].T + p[f"b_{g}"]) for g in "rz")
    n = np.tanh(x @ p["U_n"].T + p["b_n"] + r * (h @ p["W_n"].T + p["b_hn"]))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


def lstm_by_hand(p, x, s):
    a = {g: x @ p[f"U_{g}"].T + s["h"] @ p[f"W_{g}"].T + p[f"b_{g}"] for g in "ifgo"}
    i, f, o, g = sigma(a["i"]), sigma(a["f"]), sigma(a["o"]), np.tanh(a["g"])
    c = f * s["c"] + i * g
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": o * np.tanh(c)}


BY_HAND = {"elman": elman_by_hand, "gru": gru_by_hand, "lstm": lstm_by_hand}


@every_cell
@one_and_two_ways
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_gate_and_state_has_its_name_and_value(cell, bidirectional, layers):
    T, net = 4, network(cell, layers, bidirectional)
    run = unrolled(net, T)
    ways = {"fwd.": range(1, T + 1), "bwd.": range(T, 0, -1)} if bidirectional else {"": range(1, T + 1)}
    below = {t: value(run, f"x{t}") for t in range(1, T + 1)}
    for number in range(1, layers + 1):
        read_out = {}
        for way, times in ways.items():
            prefix = (f"l{number}." if layers > 1 else "") + way
            p = {name.removeprefix(prefix): w for name, w in net.params.items() if name.startswith(prefix)}
            state = {name: np.zeros((2, 3)) for name in CELLS[cell].states}
            for t in times:
                state = BY_HAND[cell](p, below[t], state)
                for name, expected in state.items():
                    node = run.graph.nodes[f"{prefix}{name}{t}"]
                    assert close(node["value"], expected), (prefix, name, t)
                    assert (node["time"], node["layer"]) == (t, number if way or layers > 1 else node["layer"])
                    assert node["role"] == ("state" if name in CELLS[cell].states else "gate")
                read_out.setdefault(t, []).append(state[CELLS[cell].states[0]])
        below = {t: np.concatenate(states, axis=1) for t, states in read_out.items()}
    for t in below:
        assert close(value(run, f"logits{t}"), below[t] @ net.params["V"].T + net.params["c"])


def test_names_are_those_that_people_type():
    assert {"l2.s3", "l2.W", "l1.a3"} <= set(unrolled(network("elman", 2)).graph)
    assert {"r3", "z3", "n3", "h3", "W_r", "b_hn"} <= set(unrolled(network("gru")).graph)
    assert {"i3", "f3", "g3", "o3", "c3", "h3", "a_f3", "U_f"} <= set(unrolled(network("lstm")).graph)
    assert {"l2.bwd.h3", "l2.fwd.c3", "l2.bwd.W_f"} <= set(unrolled(network("lstm", 2, True)).graph)
    assert {"bwd.h3", "fwd.h3", "bwd.W_n"} <= set(unrolled(network("gru", 1, True)).graph)


@every_cell
@one_and_two_ways
def test_parameter_shapes_and_their_number(cell, bidirectional):
    n, d, k, gates = 2, 3, 4, {"elman": 1, "gru": 3, "lstm": 4}[cell]
    net, ways = network(cell, 3, bidirectional), 2 if bidirectional else 1
    extra = d if cell == "gru" else 0
    layer = lambda inputs: ways * (gates * (d * inputs + d * d + d) + extra)  # noqa: E731
    expected = layer(n) + 2 * layer(ways * d) + k * ways * d + k
    count = net.count_parameters()
    assert count.total == sum(p.size for p in net.params.values()) == expected
    assert sum(number for *_, number in count.rows) == expected
    assert {name: shape for name, _, shape, _ in count.rows} == {name: p.shape for name, p in net.params.items()}
    learned = network(cell, 3, bidirectional, learned=True)
    assert learned.count_parameters().total == expected + 3 * ways * len(CELLS[cell].states) * d


def test_a_new_cell_is_a_function_and_a_row():
    """A peephole LSTM (Gers & Schmidhuber 2000), without touching the package."""

    def peephole(p, x, state):
        h, c = state
        i = p["U_i"] @ x + p["W_i"] @ h + p["b_i"] + p["p_i"] * c
        g = p["U_g"] @ x + p["W_g"] @ h + p["b_g"]
        apply = x.tracer.apply
        gate = apply("sigmoid", i, name="i", role="gate")
        c = apply("add", c, gate * apply("tanh", g), name="c", role="state")
        return apply("tanh", c, name="h", role="state"), c

    row = Cell(peephole, ("h", "c"), lambda n, d: gated("ig")(n, d) | {"p_i": (d,)})
    with patch.dict(CELLS, peephole=row):
        run = unrolled(network("peephole", 2, True, learned=True), T=2, lengths=[2, 1])
        assert run.check(["l1.bwd.p_i", "l1.fwd.U_g", "l2.bwd.c0"]).ok
        assert run.paths(to="l1.bwd.p_i").count > 0


# ---------------------------------------------------------------- padding


def each_alone(net, xs, targets, lengths, **options):
    """A run for each instance, cut to its length."""
    weights, initial = options.pop("weights", None), options.pop("initial", {})
    for b, length in enumerate(lengths):
        alone = dict(options)
        if weights is not None:
            alone["weights"] = weights[:length, b : b + 1] if weights.ndim == 2 else weights[:length]
        alone["initial"] = {name: given if given.ndim == 1 else given[b : b + 1] for name, given in initial.items()}
        yield uz.unroll(net, xs[:length, b : b + 1], targets[:length, b : b + 1], **alone)


@every_cell
@one_and_two_ways
@pytest.mark.parametrize("readout", ["every", "last"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_padded_batch_is_exactly_the_mean_of_each_sequence_alone(cell, bidirectional, readout, reduction):
    for layers, begin, weighted in ((1, "zeros", "no"), (2, "given", "by step"), (2, "learned", "by instance")):
        rng, T, B = np.random.default_rng(layers), 6, 4
        net = network(cell, layers, bidirectional, learned=begin == "learned")
        xs, ids, lengths = rng.normal(size=(T, B, 2)), rng.integers(0, 4, (T, B)), np.array([3, 5, 1, 3])
        weights = {"no": None, "by step": rng.uniform(0.2, 2, T), "by instance": rng.uniform(0.2, 2, (T, B))}[weighted]
        names = [f"{layer.prefix}{state}0" for layer in net.stack for state in CELLS[cell].states]
        given = {}
        if begin == "given":
            given = {name: rng.normal(size=(B, 3)[i % 2 :]) for i, name in enumerate(names)}
        options = {"readout": readout, "reduction": reduction, "weights": weights, "initial": given}
        run = uz.unroll(net, xs, ids, lengths=lengths, **options)
        alone = list(each_alone(net, xs, ids, lengths, **options))

        every = np.ones((T, B)) if weights is None else np.broadcast_to(weights.reshape(T, -1), (T, B))
        counts = [
            every[:length, b].sum() if readout == "every" else every[length - 1, b] for b, length in enumerate(lengths)
        ]
        part = np.full(B, 1 / B) if reduction == "sum" else np.array(counts) / sum(counts)
        assert run.loss == pytest.approx(sum(w * one.loss for w, one in zip(part, alone, strict=True)), rel=1e-13)
        per_loss = np.zeros(T)
        for b, one in enumerate(alone):
            per_loss[: lengths[b]] += part[b] * one.losses
        assert close(run.losses, per_loss)
        gradients = [one.gradients() for one in alone]
        for name, found in run.gradients().items():
            terms = np.array([w * g[name] for w, g in zip(part, gradients, strict=True)])
            assert close(found, terms.sum(axis=0), scale=np.abs(terms).max()), (layers, name)
        for b, one in enumerate(alone):
            for node, role in one.graph.nodes(data="role"):
                if role in ("state", "gate"):
                    assert close(value(run, node)[b], value(one, node)[0]), (b, node)


@every_cell
@one_and_two_ways
def test_what_padding_holds_changes_nothing(cell, bidirectional):
    net, lengths = network(cell, 2, bidirectional, learned=True), np.array([2, 5, 4])
    rng = np.random.default_rng(0)
    xs, ids = rng.normal(size=(5, 3, 2)), rng.integers(0, 4, (5, 3))
    padding = np.arange(1, 6)[:, None] > lengths
    other_xs, other_ids = np.where(padding[:, :, None], 100 * rng.normal(size=xs.shape), xs), np.where(padding, 0, ids)
    for readout in ("every", "last"):
        one = uz.unroll(net, xs, ids, lengths=lengths, readout=readout)
        other = uz.unroll(net, other_xs, other_ids, lengths=lengths, readout=readout)
        np.testing.assert_array_equal(one.losses, other.losses)
        for name, gradient in one.gradients().items():
            np.testing.assert_array_equal(gradient, other.gradient(name))


def test_many_to_one_has_a_loss_where_a_sequence_ends():
    net = network("lstm", 2)
    run = unrolled(net, T=5, B=3, lengths=[2, 5, 2], readout="last")
    assert [name for name, role in run.graph.nodes(data="role") if role == "loss"] == ["L2", "L5"]
    assert (run.losses > 0).tolist() == [False, True, False, False, True]
    assert run.loss == pytest.approx(sum(run.losses))


@pytest.mark.parametrize("kind", ["ids", "distributions", "numbers"])
def test_many_to_one_takes_one_target_for_every_instance(kind):
    """Also where T = B = k, so that (B, k) might be taken for (T, B)."""
    rng = np.random.default_rng(1)
    for T, B, k in ((4, 2, 3), (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 3, 3), (3, 1, 3), (3, 1, 1)):
        net = network("gru", n=2, k=k)
        wanted = {
            "ids": rng.integers(0, k, B),
            "distributions": rng.dirichlet(np.ones(k), B),
            "numbers": rng.normal(size=(B, k)),
        }[kind]
        loss = "squared_error" if kind == "numbers" else "cross_entropy"
        xs = rng.normal(size=(T, B, 2))
        one = uz.unroll(net, xs, wanted, loss=loss, readout="last")
        every = uz.unroll(net, xs, np.array([wanted] * T), loss=loss, readout="last")
        assert one.targets.shape == (T, B, k)
        np.testing.assert_array_equal(one.targets, every.targets)
        assert one.loss == every.loss > (0 if k > 1 or kind == "numbers" else -1)


def test_no_loss_counts_where_every_weight_is_0():
    for readout in ("every", "last"):
        run = unrolled(network("gru"), readout=readout, weights=np.zeros(4), reduction="mean")
        assert run.loss == 0
        assert not run.gradient("W_r").any()
        assert not run.paths(to="W_r").sum().any()
        assert list(run.paths(to="W_r")) == [] or readout == "every"
        assert run.flow("W_r", by="lag").counts == () or readout == "every"
        assert run.check(["W_r"]).ok


# ---------------------------------------------------------------- path counts

# What a node reads, once for every way in which it does at that level: parameters by name, x from below, `h-` the
# state at the step before.
READS = {
    "elman": {"s": "x s- U W b"},
    "gru": {
        "h": "z z n h-",  # (1 - z) ⊙ n + z ⊙ h: z twice
        "r": "x h- U_r W_r b_r",
        "z": "x h- U_z W_z b_z",
        "n": "x U_n b_n r h- W_n b_hn",
    },
    "lstm": {"h": "o c", "c": "f c- i g"} | {gate: f"x h- U_{gate} W_{gate} b_{gate}" for gate in "ifgo"},
}
READS_AT = {
    "op": READS,
    "gate": READS | {"gru": READS["gru"] | {"h": "z n h-"}},
    "state": {
        "elman": READS["elman"],
        "gru": {"h": "x h- " + " ".join(CELLS["gru"].shapes(1, 1))},
        "lstm": {
            "h": "c x h- U_o W_o b_o",
            "c": "c- x h- " + " ".join(f"{letter}_{gate}" for letter in "UWb" for gate in "ifg"),
        },
    },
}


def ways(run, detail, loss, target):
    """The number of paths from a loss back to a target, from READS_AT alone."""
    net, batch, T = run.network, run.batch, run.steps
    reads, top = READS_AT[detail][net.cell], CELLS[net.cell].states[0]
    learned = any(name.endswith("0") for name in net.params)

    def prefix(layer, direction):
        way = {1: "fwd.", -1: "bwd."}[direction] if net.bidirectional else ""
        return (f"l{layer}." if net.layers > 1 else "") + way

    @cache
    def count(layer, direction, node, t):
        here = prefix(layer, direction)
        if f"{here}{node}{t}" == target:
            return 1
        total = 0
        for read in reads[node].split():
            if read == "x" and layer > 1:
                total += sum(count(layer - 1, d, top, t) for d in ((1, -1) if net.bidirectional else (1,)))
            elif read == "x":
                total += target == f"x{t}"
            elif read.endswith("-"):
                before, state = t - direction, read[:-1]
                if not 1 <= before <= T or (direction < 0 and (batch.lengths == t).any()):
                    begun = 0 if direction > 0 else T + 1
                    total += target == (f"{here}{state}0" if learned else f"{here}{state}{begun}")
                if 1 <= before <= T:
                    total += count(layer, direction, state, before)
            elif read in reads:
                total += count(layer, direction, read, t)
            else:
                total += target == here + read
        return total

    t = int(loss[1:])
    if target in ("V", "c"):
        return 1
    last = batch.readout == "last"
    backwards = count(net.layers, -1, top, 1 if last else t) if net.bidirectional else 0
    return count(net.layers, 1, top, t) + backwards


def initial_names(net, T):
    learned = any(name.endswith("0") for name in net.params)
    return [
        f"{layer.prefix}{state}{0 if learned or layer.direction > 0 else T + 1}"
        for layer in net.stack
        for state in CELLS[net.cell].states
    ]


@every_level
@every_cell
@one_and_two_ways
def test_path_counts_are_those_of_the_equations(cell, bidirectional, detail):
    for layers, T, learned, lengths, readout in (
        (1, 7, False, None, "every"),
        (1, 5, True, [5, 2], "last"),
        (2, 4, True, [2, 4], "every"),
        (3, 3, False, [3, 3], "last"),
    ):
        net = network(cell, layers, bidirectional, learned=learned)
        run = unrolled(net, T, lengths=lengths, readout=readout)
        losses = run.loss_names()
        for target in [*net.params, *initial_names(net, T), "x1", f"x{T}"]:
            expected = sum(ways(run, detail, loss, target) for loss in losses)
            assert run.paths(to=target, detail=detail).count == expected, (layers, target)
            assert run.paths(losses[-1], target, detail=detail).count == ways(run, detail, losses[-1], target)


def simple_paths(graph, loss, target):
    """Every path from the loss back to the target by networkx: its nodes."""
    part = graph.subgraph(nx.ancestors(graph, loss) | {loss})
    if target not in part:
        return []
    edges = nx.all_simple_edge_paths(part, target, loss)
    return [tuple(reversed([target, *(head for _, head, _ in path)])) for path in edges]


@every_cell
@pytest.mark.parametrize(
    ("layers", "bidirectional", "T"), [(1, False, 3), (1, True, 2), (2, False, 2), (2, True, 2)], ids=str
)
def test_paths_are_those_that_brute_force_finds(cell, layers, bidirectional, T):
    net = network(cell, layers, bidirectional, learned=True, n=1, d=1, k=1)
    run = unrolled(net, T, lengths=[T, 1])
    for target in net.params:
        for loss in run.loss_names():
            walked = simple_paths(run.graph, loss, target)
            for detail, landmark in LEVELS.items():
                keep = {name for name, node in run.graph.nodes(data=True) if landmark(node)}
                expected = walked if detail == "op" else {tuple(n for n in path if n in keep) for path in walked}
                paths = run.paths(loss, target, detail=detail)
                assert paths.count == len(expected), (target, loss, detail)
                assert sorted(path.nodes for path in paths) == sorted(expected)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_stacked_elman_counts_are_binomial(layers):
    """From L_t a path goes t - k steps back and layers - l layers down, in any order."""
    T = 7
    run = unrolled(network("elman", layers, d=1), T)
    for number in range(1, layers + 1):
        name, down = (f"l{number}.W" if layers > 1 else "W"), layers - number
        for t in range(1, T + 1):
            paths = run.paths(f"L{t}", name)
            assert paths.count == math.comb(t + down, down + 1)
            flow = run.flow(name, by="entry", losses=f"L{t}")
            assert dict(zip(flow.labels[:, 0].tolist(), flow.counts, strict=True)) == {
                k: math.comb(t - k + down, down) for k in range(1, t + 1)
            }
        assert run.paths(to=name).count == math.comb(T + down + 1, down + 2)
        assert run.paths(to=name, detail="op").count == math.comb(T + down + 1, down + 2)


def test_lstm_counts_at_level_op():
    run = unrolled(network("lstm", d=1), T=9, B=1)

    def counts(target):
        return [run.paths(f"L{t}", target, detail="op").count for t in range(1, 10)]

    to_a_gate = [1, 6, 30, 145, 696, 3336, 15985, 76590, 366966]
    assert counts("U_f") == counts("W_i") == counts("b_g") == to_a_gate
    assert counts("W_o") == [1, 5, 24, 115, 551, 2640, 12649, 60605, 290376]
    # From L₉ to the four gates' W together, which PyTorch keeps as one weight_hh.
    assert sum(counts(f"W_{gate}")[-1] for gate in "ifgo") == 1_391_274


def test_gru_counts_have_closed_forms():
    """From h_t to h_{t-1}: directly, twice by way of z, once past n and once by way of n and r: 5 paths, 4 at gates,
    1 at states."""
    T = 8
    run = unrolled(network("gru", d=1), T, B=1)
    for detail, base in (("op", 5), ("gate", 4), ("state", 1)):
        for target, ways_in in (("W_z", 2), ("W_n", 1), ("W_r", 1)):
            flow = run.flow(target, by="entry", losses=f"L{T}", detail=detail)
            once = 1 if detail != "op" else ways_in
            assert list(flow.counts) == [once * base ** (T - k) for k in range(1, T + 1)]


def test_counts_are_exact_past_64_bits():
    run = unrolled(network("lstm", 2, d=1), T=60, B=1)
    count = run.paths("L60", "l1.W_f", detail="op").count
    assert count == ways(run, "op", "L60", "l1.W_f") > 2**64
    flow = run.flow("l1.W_f", by="entry", losses="L60", detail="op")
    assert sum(flow.counts) == count


# ---------------------------------------------------------------- folds

NETWORKS = {
    "elman": ("elman", 1, False),
    "elman-2-layers": ("elman", 2, False),
    "elman-2-layers-two-way": ("elman", 2, True),
    "gru": ("gru", 1, False),
    "gru-two-way": ("gru", 1, True),
    "gru-2-layers": ("gru", 2, False),
    "lstm": ("lstm", 1, False),
    "lstm-two-way": ("lstm", 1, True),
    "lstm-2-layers-two-way": ("lstm", 2, True),
}


def some_parameters(net):
    """One parameter of every gate, the readout and the initial states."""
    kept = {}
    for name in net.params:
        layer, _, stem = name.rpartition(".")
        kept.setdefault((layer.startswith("l2"), layer.endswith("bwd"), stem.rpartition("_")[2]), name)
    return list(kept.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_fold_takes_the_gradient_apart(kind):
    cell, layers, bidirectional = NETWORKS[kind]
    net = network(cell, layers, bidirectional, learned=True)
    run = unrolled(net, 3, lengths=[3, 2])
    for name in some_parameters(net):
        gradient, rows_at = run.gradient(name), {}
        for detail in LEVELS:
            paths = run.paths(to=name, detail=detail)
            folds = [*FOLDS, "path"] if paths.count < 3000 else FOLDS
            scale = np.linalg.norm(run.flow(name, by=folds and list(folds)[-1], detail=detail).norms, 1)
            for by in folds:
                flow = run.flow(name, by=by, detail=detail)
                terms = flow.terms
                assert sum(flow.counts) == paths.count
                assert min(flow.counts) >= 1
                assert close(terms.sum(axis=0), gradient, scale), (name, detail, by)
                assert abs(flow.shares.sum() - 1) <= 1e-13 * scale / np.linalg.norm(gradient)
                norms = np.linalg.norm(terms.reshape(len(terms), -1), axis=1)
                assert close(flow.norms, norms, scale), (name, detail, by)
                assert len(np.unique(flow.labels, axis=0)) == len(flow.labels)
                if by == "path":
                    assert close(paths.sum(), gradient, scale)
                    continue
                labels, rows = rows_at.setdefault(by, (flow.labels, terms))
                np.testing.assert_array_equal(flow.labels, labels, err_msg=f"{name} by {by} at {detail}")
                assert close(terms, rows, scale), (name, detail, by)


@every_cell
def test_lags_backwards_in_time_are_negative(cell):
    T, net = 4, network(cell, 2, True)
    run, state = unrolled(net, T), CELLS[cell].states[0]
    w = next(name for name in CELLS[cell].shapes(1, 1) if name.startswith("W"))
    lags = {
        name: run.flow(name, by="lag").labels[:, 0].tolist() for name in (f"l2.fwd.{w}", f"l2.bwd.{w}", f"l1.bwd.{w}")
    }
    assert lags[f"l2.fwd.{w}"] == [0, 1, 2, 3]
    assert lags[f"l2.bwd.{w}"] == [-3, -2, -1, 0]
    assert lags[f"l1.bwd.{w}"] == list(range(-3, 4))  # up through both directions of layer 2
    paths = run.paths("L1", f"l2.bwd.{w}")
    assert {path.lag for path in paths} == {-3, -2, -1, 0}
    assert all(path.lag == 1 - path.entry for path in paths)
    assert any(f"l2.bwd.{state}{T}" in path.nodes for path in paths)


def test_paths_factors_multiply_to_the_term():
    run = unrolled(network("lstm", 2, True, learned=True), T=2, B=1)
    for detail in LEVELS:
        for path in run.paths("L1", "l1.bwd.W_f", detail=detail)[::7]:
            product = path.factors[0].matrix()[0]
            for factor in path.factors[1:-1]:
                product = product @ factor.matrix()[0]
            last = path.factors[-1].matrix()[0]
            assert close((product @ last).reshape(path.term.shape), path.term, bound=1e-12)
            assert path.norm == pytest.approx(np.linalg.norm(path.term))


# ---------------------------------------------------------------- initial states


def by_difference(loss_at, at, h=1e-5):
    """∂loss/∂at by central differences."""
    found = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[index] = h
        found[index] = (loss_at(at + step) - loss_at(at - step)) / (2 * h)
    return found


@every_cell
@one_and_two_ways
def test_learned_initial_states_are_parameters_with_paths(cell, bidirectional):
    net, T = network(cell, 2, bidirectional, learned=True), 3
    options = {"T": T, "lengths": [3, 1]}
    run = unrolled(net, **options)
    names = [f"{layer.prefix}{state}0" for layer in net.stack for state in CELLS[cell].states]
    assert names == [name for name in net.params if name.endswith("0")]
    for name in names:
        assert run.graph.nodes[name]["role"] == "parameter"
        paths = run.paths(to=name)
        assert paths.count >= T
        assert close(paths.sum(), run.gradient(name), paths.norm_sum)
        expected = by_difference(
            lambda v, name=name: unrolled(net.replace(**{name: v}), **options).loss, net.params[name]
        )
        assert close(run.gradient(name), expected, bound=1e-8)
    assert run.check(names).ok


@every_cell
@one_and_two_ways
def test_given_initial_states_are_nodes_before_the_first_step(cell, bidirectional):
    net, T, rng = network(cell, 1, bidirectional), 3, np.random.default_rng(5)
    names = [f"{layer.prefix}{state}" for layer in net.stack for state in CELLS[cell].states]
    given = {f"{name}0": rng.normal(size=(2, 3)) for name in names}
    run = unrolled(net, T, lengths=[3, 2], initial=given)
    for name in names:
        node = f"{name}{T + 1 if name.startswith('bwd') else 0}"
        assert run.graph.nodes[node]["role"] == "initial"
        np.testing.assert_array_equal(value(run, node), given[f"{name}0"])
        expected = by_difference(
            lambda v, name=name: unrolled(net, T, lengths=[3, 2], initial={**given, f"{name}0": v}).loss,
            given[f"{name}0"],
        )
        assert close(run.gradient(node), expected, bound=1e-8)
        lags = run.flow(node, by="lag").labels[:, 0].tolist()
        assert lags == ([-3, -2, -1] if name.startswith("bwd") else [1, 2, 3])


@every_level
def test_a_learned_initial_state_is_entered_at_the_first_step_that_is_read(detail):
    one_way = unrolled(network("gru", learned=True), T=3, lengths=[3, 2])
    assert one_way.flow("h0", by="temporal", detail=detail).labels.tolist() == [[1, 1], [2, 1], [3, 1]]
    two_way = unrolled(network("gru", bidirectional=True, learned=True), T=4, lengths=[4, 2])
    reached = [[1, 2], [1, 4], [2, 2], [2, 4], [3, 4], [4, 4]]  # the second instance begins at its step 2
    assert two_way.flow("bwd.h0", by="temporal", detail=detail).labels.tolist() == reached


def test_one_state_may_be_given_without_its_name():
    net, s0 = network("gru"), np.array([0.1, -0.2, 0.3])
    one, other = unrolled(net, initial=s0), unrolled(net, initial={"h0": np.array([s0, s0])})
    assert one.loss == other.loss != unrolled(net).loss


# ---------------------------------------------------------------- the whole of check()


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
def test_check_is_ok_for_every_activation_of_the_elman_cell(activation):
    run = unrolled(network("elman", 2, True, learned=True, activation=activation), T=3, lengths=[3, 2])
    assert run.check().ok, run.check().worst


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "squared_error"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_check_is_ok(kind, loss):
    cell, layers, bidirectional = NETWORKS[kind]
    net = network(cell, layers, bidirectional, d=2, k=2, learned=True)
    wanted = np.random.default_rng(2).dirichlet(np.ones(2), (3, 2))
    readout = "last" if loss == "binary_cross_entropy" else "every"
    run = unrolled(net, 3, targets=wanted, loss=loss, lengths=[3, 2], readout=readout)
    report = run.check(some_parameters(net)[:: 2 * layers])
    assert report.ok, report.worst


# ---------------------------------------------------------------- saturated outputs


def readout_only(logits, target, loss):
    """A run of one step whose logits are given: V = 0 and c the logits."""
    net = network("lstm", k=len(logits))
    net = net.replace(V=0 * net.params["V"], c=np.array(logits, dtype=float))
    return uz.unroll(net, np.ones((1, 2)), np.array([target], dtype=float), loss=loss)


def exact(logits, target, loss):
    """Loss and ∂L/∂z, with digits enough for e^-2000 to count."""
    with mpmath.workdps(900):
        z = [mpmath.mpf(float(entry)) for entry in logits]
        p = [mpmath.mpf(float(entry)) for entry in target]
        if loss == "cross_entropy":
            total = mpmath.fsum(mpmath.exp(a) for a in z)
            yhat = [mpmath.exp(a) / total for a in z]
            whole = -mpmath.fsum(b * mpmath.log(y) for b, y in zip(p, yhat, strict=True) if b)
            slope = [y * mpmath.fsum(p) - b for b, y in zip(p, yhat, strict=True)]
        else:
            yhat = [1 / (1 + mpmath.exp(-a)) for a in z]
            not_yhat = [1 / (1 + mpmath.exp(a)) for a in z]
            whole = -mpmath.fsum(
                (b * mpmath.log(y) if b else 0) + ((1 - b) * mpmath.log(m) if b != 1 else 0)
                for b, y, m in zip(p, yhat, not_yhat, strict=True)
            )
            slope = [y - b for b, y in zip(p, yhat, strict=True)]
        return float(whole), np.array([float(s) for s in slope])


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("size", [1000, 300, 40, 3])
@pytest.mark.parametrize("target", [(1, 0), (0, 1), (0.25, 0.75)], ids=str)
def test_extreme_logits_have_exact_gradients(loss, size, target):
    for logits in ((size, -size), (-size, size), (size, size), (size, 0)):
        run = readout_only(logits, target, loss)
        whole, slope = exact(logits, target, loss)
        assert run.loss == pytest.approx(whole, rel=1e-14)
        np.testing.assert_allclose(run.gradient("c"), slope, rtol=1e-14, atol=1e-300)
        assert close(run.paths(to="V").sum(), run.gradient("V"))
        np.testing.assert_allclose(run.gradient("V"), np.outer(slope, value(run, "h1")[0]), rtol=1e-13, atol=1e-300)


def test_the_textbooks_cotangent_at_a_sure_output():
    """∂L/∂ŷ = -p/ŷ is finite where every ŷ that is wanted is; 0 for a class of probability 0 that is not wanted."""
    run = readout_only((1000, -1000), (1, 0), "cross_entropy")
    np.testing.assert_array_equal(run.gradient("yhat1"), [[-1, 0]])
    np.testing.assert_array_equal(run.paths("L1", "yhat1").sum(), [[-1, 0]])
    with pytest.raises(NonFinite, match="yhat1"):
        readout_only((1000, -1000), (0, 1), "cross_entropy").gradient("yhat1")
    run = readout_only((40, -40), (1, 0), "binary_cross_entropy")
    np.testing.assert_allclose(run.gradient("yhat1"), [[-1, 1]], rtol=1e-14)


@pytest.mark.parametrize("sign", [1, -1])
def test_saturated_gates_keep_their_slopes(sign):
    """At a_f = ±300, σ' = e^-300; σ(1 - σ) would be 0 at one end."""
    net = network("lstm", n=1, d=1, k=1)
    net = net.replace(b_f=np.array([300.0 * sign]), U_f=np.zeros((1, 1)), W_f=np.zeros((1, 1)))
    run = uz.unroll(net, np.ones((2, 1)), np.ones((2, 1)), loss="squared_error")
    slope = run.graph.edges["a_f2", "f2", 0]["jacobian"].slope
    assert slope[0, 0] == pytest.approx(math.exp(-300), rel=1e-14)
    assert run.gradient("b_f")[0] != 0


# ---------------------------------------------------------------- the primitives of gated cells


def operands(name, rng, B, m):
    """Arguments and constants of an op."""
    batch, weight = rng.normal(size=(B, m)), rng.uniform(0, 2, (B, 1))
    return {
        "one_minus": ([batch], {}),
        "concat": ([batch, rng.normal(size=(B, rng.integers(1, 4)))], {}),
        "repeat": ([rng.normal(size=m)], {"instances": B}),
        "begin": ([batch, rng.normal(size=(B, m))], {"begun": rng.random((B, 1)) < 0.5}),
        "logistic": ([batch], {}),
        "cross_entropy": (
            [np.log(rng.dirichlet(np.ones(m), B))],
            {"target": rng.dirichlet(np.ones(m), B), "weight": weight},
        ),
        "binary_cross_entropy": ([3 * batch], {"target": rng.uniform(size=(B, m)), "weight": weight}),
        "squared_error": ([batch], {"target": rng.normal(size=(B, m)), "weight": weight}),
    }[name]


# Written again, for complex numbers too: Im f(x + ih) / h is f' without cancellation.
FORMULAS = {
    "one_minus": lambda a: 1 - a,
    "concat": lambda a, b: np.hstack([a, b]),
    "repeat": lambda a, instances: np.tile(a, (instances, 1)),
    "begin": lambda s, first, begun: begun * s + (1 - begun) * first,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "cross_entropy": lambda log_yhat, target, weight: -(weight[:, 0] * (target * log_yhat).sum(axis=1)).sum(),
    "binary_cross_entropy": lambda z, target, weight: (
        -(weight * (target * -np.log(1 + np.exp(-z)) + (1 - target) * -np.log(1 + np.exp(z)))).sum()
    ),
    "squared_error": lambda y, target, weight: (weight[:, 0] * ((y - target) ** 2).sum(axis=1)).sum(),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_ops_have_their_value_and_jacobian(name):
    op, formula = OPS[name], FORMULAS[name]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values, constants = operands(name, rng, B=rng.integers(1, 5), m=rng.integers(1, 5))
        y = op.forward(*values, **constants)
        np.testing.assert_allclose(y, formula(*values, **constants), rtol=1e-13, atol=1e-14)
        for position, (argument, jacobian) in enumerate(
            zip(values, op.jacobians(y, *values, **constants), strict=True)
        ):
            assert (jacobian.out_shape, jacobian.in_shape) == (y.shape, argument.shape)
            bars, dots = rng.normal(size=(3, *y.shape)), rng.normal(size=(3, *argument.shape))
            pulled, pushed = jacobian.vjp(bars), jacobian.jvp(dots)
            for row in range(3):
                moved = [v.astype(complex) for v in values]
                moved[position] = moved[position] + 1e-30j * dots[row]
                expected = np.imag(formula(*moved, **constants)) / 1e-30
                if op.chart is not None:
                    u = op.chart.coordinate(*values)
                    expected = expected / op.chart.scale(u, op.chart.value(u))  # into the chart's coordinate
                np.testing.assert_allclose(pushed[row], expected, rtol=1e-12, atol=1e-13)
                products = (bars[row] * pushed[row]).sum(), (pulled[row] * dots[row]).sum()
                np.testing.assert_allclose(*products, rtol=1e-11, atol=1e-12)
            assert jacobian.norm() == pytest.approx(np.linalg.norm(jacobian.matrix()))
            assert jacobian.row_norms(bars) == pytest.approx(np.linalg.norm(pulled.reshape(3, -1), axis=1))


def test_the_logistic_chart_is_the_logit():
    z = np.array([[-800.0, -30.0, 0.0, 2.0, 30.0]])
    op = OPS["logistic"]
    np.testing.assert_array_equal(op.chart.coordinate(z), z)
    with mpmath.workdps(60):
        slopes = [float(mpmath.exp(-abs(mpmath.mpf(a))) / (1 + mpmath.exp(-abs(mpmath.mpf(a)))) ** 2) for a in z[0]]
    np.testing.assert_allclose(op.chart.scale(z, op.chart.value(z))[0], slopes, rtol=1e-14)


def test_weights_count_each_instance_and_step():
    net = network("gru", k=2)
    weights = np.random.default_rng(6).uniform(0, 2, (4, 2))
    run, rows = unrolled(net, weights=weights), np.zeros((4, 2))
    for b in range(2):
        for t in range(4):
            only = np.zeros((4, 2))
            only[t, b] = 1.0
            rows[t, b] = unrolled(net, weights=only).loss
    assert close(run.losses, (weights * rows).sum(axis=1))
    mean = unrolled(net, weights=weights, reduction="mean")
    assert mean.loss == pytest.approx((weights * rows).sum() * 2 / weights.sum(), rel=1e-13)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"cell": "lsmt"}, UnknownName, "did you mean lstm"),
        (
            {"cell": "lstm", "activation": "relu"},
            UnknownName,
            "unknown activation of the lstm cell 'relu'; choose one of tanh",
        ),
        ({"cell": "gru", "activation": "sigmoid"}, UnknownName, "activation of the gru cell"),
        ({"cell": "elman", "activation": "rellu"}, UnknownName, "did you mean relu"),
        ({"cell": "lstm", "layers": 0}, ShapeError, "layers=0"),
        ({"cell": "lstm", "layers": -3}, ShapeError, "layers=-3"),
        ({"cell": "lstm", "layers": 1.5}, ShapeError, "layers=1.5"),
        ({"cell": "lstm", "hidden": 0}, ShapeError, "hidden=0"),
        ({"cell": "lstm", "hidden": 2.5}, ShapeError, "hidden=2.5"),
        ({"cell": "lstm", "scheme": "xaver"}, UnknownName, "did you mean xavier"),
    ],
    ids=str,
)
def test_networks_that_cannot_be(options, kind, said):
    with pytest.raises(kind, match=said):
        uz.Network.init(**options)


def test_parameters_that_do_not_fit():
    net = network("lstm", 2, True)
    p = dict(net.params)

    def made(**changed):
        return uz.Network("lstm", {**p, **changed}, layers=2, bidirectional=True)

    assert made().params.keys() == p.keys()
    with pytest.raises(ShapeError, match=r"l2\.bwd\.U_o has shape \(3, 3\)"):
        made(**{"l2.bwd.U_o": np.zeros((3, 3))})
    with pytest.raises(ShapeError, match="V has shape"):
        made(V=np.zeros((4, 3)))
    with pytest.raises(UnknownName, match=r"did you mean l1\.fwd\.W_f"):
        made(**{"l1.fwd.W_ff": np.zeros((3, 3))})
    with pytest.raises(UnknownName, match=r"did you mean l1\.fwd\.h0"):
        made(**{"l1.fwd.hh0": np.zeros(3)})
    with pytest.raises(ShapeError, match=r"l2\.fwd\.c0 has shape \(2,\)"):
        made(**{"l2.fwd.c0": np.zeros(2)})
    with pytest.raises(NonFinite, match=r"l1\.bwd\.b_g"):
        made(**{"l1.bwd.b_g": np.array([0, np.nan, 0])})
    with pytest.raises(ShapeError, match=r"l1\.fwd\.U_g is missing"):
        uz.Network("lstm", {name: w for name, w in p.items() if name != "l1.fwd.U_g"}, layers=2, bidirectional=True)
    with pytest.raises(UnrollvizError):
        uz.Network("lstm", p, layers=1, bidirectional=True)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"loss": "cross_entopy"}, UnknownName, "did you mean cross_entropy"),
        ({"readout": "lats"}, UnknownName, "did you mean last"),
        ({"reduction": "men"}, UnknownName, "did you mean mean"),
        ({"weights": [1, -1, 1, 1]}, ShapeError, "negative or not finite"),
        ({"weights": [1, np.nan, 1, 1]}, ShapeError, "negative or not finite"),
        ({"weights": [1, np.inf, 1, 1]}, ShapeError, "negative or not finite"),
        ({"weights": [1, 1, 1]}, ShapeError, r"weights has shape \(3,\); give \(T,\) = \(4,\) or \(T, B\) = \(4, 2\)"),
        ({"weights": np.ones((2, 4))}, ShapeError, r"weights has shape \(2, 4\)"),
        ({"weights": ["a", "b", "c", "d"]}, ShapeError, "weights"),
        ({"weights": [[1], [1, 2], [1], [1]]}, ShapeError, "weights"),
        ({"weights": [1j, 0, 0, 0]}, ShapeError, "weights"),
        ({"lengths": [0, 4]}, ShapeError, "from 1 to 4"),
        ({"lengths": [4, 5]}, ShapeError, "from 1 to 4"),
        ({"lengths": [4]}, ShapeError, "2 whole numbers"),
        ({"lengths": [4.0, 3.0]}, ShapeError, "whole numbers"),
        ({"lengths": [[1], [1, 2]]}, ShapeError, "lengths"),
        ({"lengths": 4}, ShapeError, "whole numbers"),
        ({"initial": {"h1": np.zeros(3)}}, UnknownName, "did you mean h0"),
        ({"initial": {"s0": np.zeros(3)}}, UnknownName, "h0, c0"),
        (
            {"initial": {"c0": np.zeros(2)}},
            ShapeError,
            r"c0 has shape \(2,\); give \(d,\) = \(3,\) or \(B, d\) = \(2, 3\)",
        ),
        ({"initial": {"c0": np.zeros((3, 2))}}, ShapeError, r"c0 has shape \(3, 2\)"),
        ({"initial": {"h0": "zeros"}}, ShapeError, "h0"),
        ({"initial": {"h0": [[1], [1, 2]]}}, ShapeError, "h0"),
        ({"initial": np.zeros(3)}, ShapeError, "by name: h0, c0"),
        ({"initial": {"c0": np.array([0, np.inf, 0])}}, NonFinite, "c0"),
        ({"targets": [[0], [0, 1], [0], [0]]}, ShapeError, "targets is ragged"),
        ({"targets": [[0], [0, 1]], "readout": "last"}, ShapeError, "targets is ragged"),
        ({"loss": 3}, UnknownName, "unknown loss '3'"),
        ({"initial": {3: np.zeros(3)}}, UnknownName, "unknown initial state '3'"),
        ({"targets": np.zeros((4, 3), dtype=int)}, ShapeError, "4 steps of 2 instances, targets 4 steps of 3"),
        ({"targets": np.full((4, 2), 9)}, ShapeError, "holds id 9 at step 1"),
        ({"targets": np.full((4, 2, 4), 0.3)}, ShapeError, "step 1, instance 1 is not a distribution"),
        ({"targets": np.full((4, 2, 3), 0.3)}, ShapeError, "targets has shape"),
        ({"targets": np.full((4, 2, 4), 1.2), "loss": "binary_cross_entropy"}, ShapeError, "is not a probability"),
        ({"targets": np.full((4, 2, 4), -0.1), "loss": "binary_cross_entropy"}, ShapeError, "from 0 to 1"),
        ({"targets": np.full((4, 2, 4), np.nan), "loss": "squared_error"}, NonFinite, "targets"),
        ({"targets": np.zeros(3, dtype=int), "readout": "last"}, ShapeError, "targets"),
        ({"targets": np.zeros((2, 3)), "readout": "last", "loss": "squared_error"}, ShapeError, "targets"),
    ],
    ids=str,
)
def test_batches_that_cannot_be(options, kind, said):
    with pytest.raises(kind, match=said):
        unrolled(network("lstm"), **options)


def test_an_initial_state_is_not_given_twice():
    with pytest.raises(ShapeError, match=r"c0 is a parameter of the network"):
        unrolled(network("lstm", learned=True), initial={"c0": np.zeros(3)})


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "squared_error"])
def test_whole_numbers_are_numbers_where_the_loss_takes_numbers(loss):
    """0 and 1 are probabilities to binary cross-entropy, not class ids: the 0 of k = 1 is not class 0."""
    net = network("gru", k=1)
    wanted = np.array([[0], [1], [1], [0]])
    run = unrolled(net, B=1, targets=wanted, loss=loss)
    assert run.targets.ravel().tolist() == [0, 1, 1, 0]
    assert run.loss == unrolled(net, B=1, targets=wanted.astype(float), loss=loss).loss
    last = unrolled(net, B=3, targets=np.array([[0], [1], [0]]), loss=loss, readout="last")
    assert last.targets[-1].ravel().tolist() == [0, 1, 0]
    zeros = unrolled(net, B=1, targets=np.zeros((4, 1), dtype=int), loss=loss)
    assert not zeros.targets.any()


def test_names_that_are_not_there():
    run = unrolled(network("lstm", 2, True))
    with pytest.raises(UnknownName, match=r"did you mean l2\.bwd\.h3"):
        run.paths("L1", "l2.bwd.h33")
    with pytest.raises(UnknownName, match=r"did you mean L4"):
        run.paths("L44", "V")
    with pytest.raises(UnknownName, match="level of detail"):
        run.paths("L1", "V", detail="gates")


def test_the_graph_is_in_the_order_of_computation():
    for cell in CELLS:
        run = unrolled(network(cell, 2, True, learned=True), lengths=[2, 4])
        position = {name: index for index, name in enumerate(run.graph)}
        assert all(position[tail] < position[head] for tail, head in run.graph.edges())
        for detail in LEVELS:
            order = [position[name] for name in run.level(detail)]
            assert all(a < b for a, b in pairwise(order))


# ---------------------------------------------------------------- truncation


@pytest.mark.parametrize("kind", NETWORKS)
def test_truncation_deletes_the_paths_that_go_too_far(kind):
    """Those whose lag, from the loss to the step at which they enter, is longer; the rows of the flow by lag agree."""
    cell, layers, bidirectional = NETWORKS[kind]
    run = unrolled(network(cell, layers, bidirectional, learned=True), T=3, lengths=[3, 2])
    for name in some_parameters(run.network)[::2]:
        paths, flow = run.paths(to=name), run.flow(name, by="lag")
        for steps in (0, 1, 2):
            near = [path for path in paths if abs(path.lag) <= steps]
            expected = sum((path.term for path in near), start=np.zeros(run.network.params[name].shape))
            assert close(run.gradient(name, truncate=steps), expected, paths.norm_sum), (name, steps)
            kept = flow.terms[np.abs(flow.labels[:, 0]) <= steps].sum(axis=0)
            assert close(kept, expected, paths.norm_sum)
        assert close(run.gradient(name, truncate=4), run.gradient(name), paths.norm_sum)
