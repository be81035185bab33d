"""The tree of partial paths: exact subtotals at every branch, the walk along heavy branches, and what is said of it."""

import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from byhand import all_paths
from command import unrollviz
from hypothesis import given
from hypothesis import strategies as st
from strategies import IntegerDag, bounded, integer_dags, recipes

import unrollviz as uz
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import names_of
from unrollviz.paths import prefixes as prefixes_module
from unrollviz.paths.prefixes import Prefix, PrefixTree, heaviest_branches
from unrollviz.report import tree as report
from unrollviz.report.tree import tree_json, tree_text


def every(prefix: Prefix) -> list[Prefix]:
    """The prefix and all its descendants, parents first."""
    return [prefix, *(below for child in prefix.children() for below in every(child))]


def assert_exact(run: uz.Run, losses, target: str, detail: str) -> None:
    """Every prefix of a small tree against the single paths of PathSet."""
    tree, paths = run.tree(losses, target, detail=detail), list(run.paths(losses, target, detail=detail))
    S = sum(path.norm for path in paths)
    scale = S / tree.total_norm if tree.total_norm > 0 else 1.0
    found = every(tree.root)
    assert tree.root.count == len(paths)
    assert [prefix.rank for prefix in found if prefix.complete] == list(range(len(paths)))
    for prefix, norm in zip(found, tree.norms(found), strict=True):
        mine = paths[prefix.rank : prefix.rank + prefix.count]
        assert len(mine) == prefix.count
        assert all(path.nodes[: len(prefix.nodes)] == prefix.nodes for path in mine)
        total = np.sum([path.term for path in mine] or [np.zeros_like(tree.gradient)], axis=0)
        assert np.abs(prefix.term - total).max() <= 1e-13 * S
        assert abs(norm - np.linalg.norm(total)) <= 1e-13 * S
        if tree.total_norm > 0:
            assert abs(prefix.share - sum(path.share for path in mine)) <= 1e-13 * scale
        else:
            assert np.isnan(prefix.share)
        children = prefix.children()
        if children:
            assert sum(child.count for child in children) == prefix.count
            assert np.isnan(prefix.share) or abs(sum(c.share for c in children) - prefix.share) <= 1e-13 * scale
        else:
            assert prefix.complete == (prefix.count == 1)
        if prefix.complete:
            (path,) = mine
            assert prefix.nodes == path.nodes
            assert norm == pytest.approx(path.norm, rel=1e-13)
            np.testing.assert_allclose(prefix.term, path.term, rtol=1e-12, atol=1e-15 * S)


@given(recipe=recipes(steps=st.integers(1, 4), activations=bounded), detail=st.sampled_from(["state", "op"]))
def test_every_branch_is_the_exact_sum_of_its_paths(recipe, detail):
    run = recipe.unroll()
    last = f"L{run.steps}"
    for losses, target in (
        (None, "W"),
        (last, "W"),
        (None, "b"),
        (None, "V"),
        (last, "s0"),
        (None, "s1"),
        (None, "x1"),
    ):
        assert_exact(run, losses, target, detail)
    assert_exact(run, None, "yhat1", detail)
    assert_exact(run, [last, "L1"], "U", detail)


CELLS = [("gru", "gate", "W_n"), ("gru", "op", "W_z"), ("lstm", "state", "W_f"), ("lstm", "gate", "b_i")]


@pytest.mark.parametrize(("cell", "detail", "param"), CELLS)
def test_gated_cells_at_every_level(cell, detail, param):
    run = uz.article(cell=cell)
    for losses, target in (("L3", param), (["L1", "L3"], "h1"), ("L2", "x1"), (["L3", "L2"], "h2")):
        assert_exact(run, losses, target, detail)


@pytest.mark.parametrize("options", [{"layers": 2}, {"bidirectional": True}, {"learn_initial": True, "layers": 2}])
def test_stacks_both_directions_and_learned_beginnings(options):
    run = uz.article(**options)
    for target in [name for name in names_of(run.graph, "parameter") if name.endswith(("W", "s0", "V"))]:
        assert_exact(run, ["L1", "L2"], target, "state")
        assert_exact(run, ["L1"], target, "op")


@pytest.mark.parametrize("options", [{"readout": "last"}, {"reduction": "mean", "cell": "gru"}])
def test_other_losses(options):
    assert_exact(uz.article(**options), None, "U" if "cell" not in options else "U_r", "state")


@given(dag=integer_dags())
def test_parallel_edges_are_branches_of_their_own(dag):
    graph = dag.build()
    losses = names_of(graph, "loss")
    for target in ("P", "b", "x1", "v0"):
        walked = all_paths(graph, losses, target)
        tree = PrefixTree(graph, losses, target)
        sums: dict[tuple, np.ndarray] = defaultdict(float)
        counts: dict[tuple, int] = defaultdict(int)
        for path in walked:
            for length in range(len(path.nodes) + 1):
                begin = path.nodes[:length], path.keys[: max(0, length - 1)]
                sums[begin] += path.term.astype(float)
                counts[begin] += 1
        square = (tree.gradient**2).sum()
        found = [prefix for prefix in every(tree.root) if prefix.count]
        for prefix, norm in zip(found, tree.norms(found), strict=True):
            begin = prefix.nodes, keys_of(prefix)
            assert prefix.count == counts[begin]
            assert norm == pytest.approx(np.linalg.norm(sums[begin]), rel=1e-13)
            np.testing.assert_array_equal(prefix.term, sums[begin])
            if square:
                share = (sums[begin] * tree.gradient).sum() / square
                assert prefix.share == pytest.approx(share, rel=1e-12, abs=1e-12)
        begins = {(prefix.nodes, keys_of(prefix)) for prefix in found}
        assert len(begins) == len(found)
        assert begins | {((), ())} == set(counts) | {((), ())}


def keys_of(prefix: Prefix) -> tuple[int, ...]:
    keys = []
    while prefix.parent is not None:
        if prefix.edge is not None:
            keys.append(prefix.edge.key)
        prefix = prefix.parent
    return tuple(reversed(keys))


# ---------------------------------------------------------------- more paths than can be walked


def long_lstm(steps: int) -> uz.Run:
    rng = np.random.default_rng(0)
    network = uz.Network.init("lstm", 3, 4, 3)
    return uz.unroll(network, rng.normal(size=(steps, 2, 3)), rng.integers(0, 3, (steps, 2)))


@pytest.fixture(scope="module")
def hundred() -> uz.Run:
    return long_lstm(100)


@pytest.mark.parametrize("detail", ["state", "gate", "op"])
def test_among_10_to_the_60_paths_every_branch_adds_up(hundred, detail):
    tree, paths = hundred.tree(to="W_f", detail=detail), hundred.paths(to="W_f", detail=detail)
    assert tree.root.count == paths.count > 10**40
    here = tree.root
    while not here.complete:
        children = here.children(heaviest_first=True)
        assert sum(child.count for child in children) == here.count
        kappa = sum(abs(child.share) for child in children)
        assert sum(child.share for child in children) == pytest.approx(here.share, rel=1e-12, abs=1e-13 * kappa)
        assert all(abs(one.share) >= abs(other.share) for one, other in pairwise(children))
        here = children[0]
    path = paths[here.rank]
    assert path.nodes == here.nodes
    assert path.share == pytest.approx(here.share, rel=1e-11)
    assert path.norm == pytest.approx(here.norm, rel=1e-11)
    np.testing.assert_allclose(path.term, here.term, rtol=1e-9, atol=1e-13 * path.norm)


def test_the_norm_of_a_loss_branch_is_that_of_its_gradient(hundred):
    tree = hundred.tree(to="W_f", detail="gate")
    children = tree.root.children()
    for child in (children[0], children[49], children[99]):
        assert child.norm == pytest.approx(np.linalg.norm(hundred.gradient("W_f", child.node)), rel=1e-11)
        np.testing.assert_allclose(child.term, hundred.gradient("W_f", child.node), rtol=1e-9, atol=1e-15)


def test_a_long_chain_is_neither_recursion_nor_slow():
    network = uz.Network.init("elman", 2, 3, 2)
    run = uz.unroll(network, np.random.default_rng(0).normal(size=(1500, 2)), np.zeros(1500, dtype=int))
    tree = run.tree("L1500", "W")
    here = tree.root
    while not here.complete:
        here = here.children()[-1]
    assert here.nodes == ("L1500", "yhat1500", *(f"s{k}" for k in range(1500, 0, -1)), "W")
    assert here.rank == tree.root.count - 1
    (line,) = heaviest_branches(run.tree("L1500", "s0").root)
    assert len(line.chain) == 1503
    json.dumps(tree_json(run.tree("L1500", "s0"), run.tree("L1500", "s0").root, 6, 0.01, 99))


# ---------------------------------------------------------------- edges of the domain


def test_shares_are_undefined_where_the_gradient_is_zero_and_counts_and_norms_are_not():
    network = uz.Network.init("elman", 2, 3, 2, "relu", seed=1).replace(b=np.full(3, -100.0))
    run = uz.unroll(network, np.random.default_rng(0).normal(size=(3, 2)), [0, 1, 0])
    for losses in (None, "L3"):
        assert_exact(run, losses, "W", "state")
        tree = run.tree(losses, "W")
        assert all(np.isnan(prefix.share) for prefix in every(tree.root))
        lines = tree_text(tree, tree.root, 6, 0.01, 99)
        assert "–" in lines[4]
        assert any("the gradient is 0" in line for line in lines)
        assert tree_json(tree, tree.root, 6, 0.0, 99)["root"]["share"] is None
        shown = {line.chain[-1].rank for line in heaviest_branches(tree.root, 9, 0.0) if line.chain[-1].complete}
        assert shown == set(range(tree.root.count))


def test_without_a_path_the_root_is_alone(article):
    tree = article.tree("L1", "x2")
    assert (tree.root.count, tree.root.children(), tree.root.complete) == (0, [], False)
    assert article.tree(["L1", "L2"], "x2").root.children()[0].node == "L2"


def test_outputs_that_are_sure_keep_their_digits():
    """Cotangents at ŷ are kept in the chart u = log ŷ, and tangents must be too."""
    network = uz.Network.init("elman", 2, 2, 3)
    network = network.replace(c=np.array([1000.0, 0.0, -1000.0]))
    run = uz.unroll(network, np.ones((2, 2)), [2, 0], initial=np.ones(2))
    for detail in ("state", "op"):
        for target in ("W", "c", "logits1"):
            assert_exact(run, None, target, detail)
        assert_exact(run, "L2", "yhat2", detail)


def test_a_loss_alone_is_the_root(article):
    alone, both = article.tree("L4", "W"), article.tree(["L4", "L2"], "W")
    assert (alone.root.node, alone.root.nodes, alone.root.share) == ("L4", ("L4",), 1.0)
    assert (both.root.node, both.root.nodes, both.root.share) == ("", (), 1.0)
    assert [child.node for child in both.root.children()] == ["L4", "L2"]
    assert [child.edge for child in both.root.children()] == [None, None]
    assert article.tree().target == "W"
    assert repr(alone) == "<PrefixTree to W: 4 paths>"
    assert "tree" not in repr(alone.root)


def test_a_prefix_is_found_by_its_nodes(article):
    for losses in (None, "L4"):
        tree = article.tree(losses, "W")
        found = tree.find(["L4", "yhat4", "s4", "s3"])
        assert (found.node, found.count) == ("s3", 3)
        assert tree.find([]) is tree.root
        assert tree.find(found.nodes).share == found.share
        with pytest.raises(UnknownName, match="unknown step of a path from s3 's1'; did you mean s2"):
            tree.find(["L4", "yhat4", "s4", "s3", "s1"])
    for losses, nodes in ((None, ["s4"]), ("L4", ["s4"]), ("L4", ["yhat4"])):
        with pytest.raises(UnknownName, match=f"unknown start of a path '{nodes[0]}'"):
            article.tree(losses, "W").find(nodes)


def test_unknown_names_are_refused(article):
    with pytest.raises(UnknownName, match="level of detail"):
        article.tree("L4", "W", detail="states")
    with pytest.raises(UnknownName, match="L9"):
        article.tree("L9", "W")
    with pytest.raises(UnknownName, match="parameter or node"):
        article.tree("L4", "Q")
    with pytest.raises(UnrollvizError, match="is a loss"):
        article.tree("L4", "L3")


# ---------------------------------------------------------------- work: how much, and how it stops


def counted_sweeps(monkeypatch) -> list[int]:
    """How many prefixes each sweep carried."""
    carried: list[int] = []
    genuine = PrefixTree._sums

    def watched(self, prefixes, pulse):
        carried.append(len(prefixes))
        return genuine(self, prefixes, pulse)

    monkeypatch.setattr(PrefixTree, "_sums", watched)
    return carried


def test_shares_need_no_sweep_and_norms_one(monkeypatch):
    run = uz.article(cell="lstm")
    carried = counted_sweeps(monkeypatch)
    tree = run.tree("L3", "W_f")
    found = every(tree.root)
    assert carried == []
    first = tree.norms(found)
    assert carried == [sum(not prefix.complete for prefix in found) - 1]
    assert tree.norms(found) == first
    assert [prefix.norm for prefix in found] == first
    assert len(carried) == 1


def test_norms_are_the_same_a_few_at_a_time(monkeypatch):
    run = uz.article(cell="lstm")
    expected = [prefix.norm for prefix in every(run.tree("L3", "W_f").root)]
    tree = run.tree("L3", "W_f")
    carried = counted_sweeps(monkeypatch)
    monkeypatch.setattr(prefixes_module, "MEMORY_LIMIT", 8 * 8 * 9 * 5)
    found = tree.norms(every(tree.root))
    assert len(carried) > 3
    assert max(carried) <= 5
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tangents_too_large_for_memory_are_refused(monkeypatch, article):
    monkeypatch.setattr(prefixes_module, "MEMORY_LIMIT", 100)
    with pytest.raises(UnrollvizError, match="tangents of a tree of paths to W"):
        article.tree(None, "W")


class Stopped(Exception):
    pass


def test_work_can_be_stopped_and_taken_up_again(article):
    tree = article.tree(None, "W")
    found = every(tree.root)
    beats = iter(range(3))

    def pulse() -> None:
        if next(beats, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        tree.norms(found, pulse)
    assert tree.norms(found) == article.tree(None, "W").norms(found)
    beats = iter(range(3))
    with pytest.raises(Stopped):
        PrefixTree(article.level("state"), ["L4"], "W", pulse)


# ---------------------------------------------------------------- the heaviest branches


@given(
    recipe=recipes(steps=st.integers(1, 5)),
    depth=st.integers(0, 5),
    min_share=st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5]),
    losses=st.sampled_from([None, "L1"]),
)
def test_the_branches_of_a_parent_add_up_to_it(recipe, depth, min_share, losses):
    run = recipe.unroll()
    tree = run.tree(losses, "W", detail="op")
    lines = list(heaviest_branches(tree.root, depth, min_share))
    undefined = tree.total_norm == 0
    kappa = 1.0 if undefined else sum(path.norm for path in run.paths(losses, "W", detail="op")) / tree.total_norm
    for index, line in enumerate(lines):
        end = next((i for i in range(index + 1, len(lines)) if lines[i].depth <= line.depth), len(lines))
        below = [one for one in lines[index + 1 : end] if one.depth == line.depth + 1]
        assert line.opened == bool(below)
        assert line.depth <= depth
        assert all(one.count == line.count and one.parent is not None for one in line.chain[1:])
        if below:
            assert sum(one.count for one in below) == line.count
            assert sum(one.branches for one in below) == len(line.chain[-1].children())
            assert [one.last for one in below] == [False] * (len(below) - 1) + [True]
            assert undefined or abs(sum(one.share for one in below) - line.share) <= 1e-13 * kappa
            light = [one for one in below if not (min_share == 0 or abs(one.share) >= min_share) or not one.chain]
            assert len(light) < 2
            assert all(not one.opened for one in light)
            kept = [abs(one.share) for one in below if one.chain]
            assert undefined or kept == sorted(kept, reverse=True)


def test_everything_is_shown_on_request(article):
    lines = list(heaviest_branches(article.tree(None, "W").root, 100, 0.0))
    whole = [line for line in lines if line.chain[-1].complete]
    assert sorted(line.chain[-1].rank for line in whole) == list(range(15))
    assert all(line.opened or line.chain[-1].complete for line in lines)


def heavy(prefix: Prefix) -> bool:
    return abs(prefix.share) >= 0.05


def test_what_is_opened_is_heavy_and_has_heavy_branches():
    kinds = set()
    for seed in range(8):
        for line in heaviest_branches(
            uz.article(cell="lstm", seed=seed).tree("L5", "W_f", detail="gate").root, 6, 0.05
        ):
            if line.chain and 0 < line.depth < 6 and not line.chain[-1].complete:
                here, below = heavy(line.chain[0]), any(map(heavy, line.chain[-1].children()))
                assert line.opened == (here and below)
                kinds.add((here, below))
            elif not line.chain:
                assert line.branches > 1
                kinds.add("sum")
    assert kinds >= {(True, True), (True, False), (False, False), "sum"}


def test_a_light_branch_of_heavy_ones_that_cancel_stays_closed():
    """On its own it is opened."""
    seen = 0
    for seed in range(40):
        for line in heaviest_branches(uz.article(seed=seed).tree(None, "W").root, 6, 0.05):
            if line.chain and line.depth and not heavy(line.chain[0]):
                assert not line.opened
                if any(map(heavy, line.chain[-1].children())):
                    assert next(heaviest_branches(line.chain[0], 6, 0.05)).opened
                    seen += 1
    assert seen


def test_no_more_branches_of_a_parent_than_asked_for(article):
    root = article.tree(None, "W").root
    start, *below = heaviest_branches(root, 1, 0.0, limit=2)
    assert [(line.branches, len(line.chain) > 0) for line in below] == [(1, True), (1, True), (3, False)]
    assert sum(line.count for line in below) == start.count == 15
    assert sum(line.share for line in below) == pytest.approx(1, abs=1e-13)
    lightest = min(abs(line.share) for line in below[:2])
    assert lightest >= max(abs(child.share) for child in root.children(heaviest_first=True)[2:])
    assert len(list(heaviest_branches(root, 1, 0.0, limit=4))) == 6


# ---------------------------------------------------------------- what is said


def test_the_text_is_a_tree_with_aligned_figures(article):
    tree = article.tree("L4", "W")
    lines = tree_text(tree, tree.root, 6, 0.01, 99)
    assert lines[0] == "∂L₄/∂W as a tree of 4 paths, norm 0.6826"
    drawn = [line[line.index("L₄") :] if "L₄ →" in line else line[39:] for line in lines[4:11]]
    assert drawn == ["L₄ → ŷ₄ → s₄", "├─ W", "└─ s₃", "   ├─ W", "   └─ s₂", "      ├─ W", "      └─ s₁ → W"]
    assert len({line.index(" %") for line in lines[4:11]}) == 1
    assert "4 paths, share +100.0 %" in lines[12]
    assert not any("goes on" in line for line in lines)


def test_the_text_says_how_to_go_on(article):
    tree = article.tree(None, "W")
    lines = tree_text(tree, tree.root, 1, 0.05, 99)
    assert any(line.endswith("├─ L₂ → ŷ₂ → s₂ → ⋯") for line in lines)
    assert "  --at L2,yhat2 begins at the heaviest that is named" not in lines
    assert "  --at L2 begins at the heaviest that is named" in lines
    said = "⋯ goes on: branches below 5.0 % (--min-share), beyond 99 of one parent (--limit), 1 levels down (--depth)"
    assert said in lines


def test_parallel_branches_are_told_apart_in_words():
    dag = IntegerDag(2, 1, (("P", (1, 0)), ("mul", (0, 0)), ("identity", (0, 0))), (1,), 3)
    tree = PrefixTree(dag.build(), ["L3"], "P")
    text = "\n".join(tree_text(tree, tree.root, 6, 0.0, 99))
    assert "v₀ → P (argument 1 of v₁)" in text
    assert "v₀ → P (argument 2 of v₁)" in text
    keys = [child["key"] for child in tree_json(tree, tree.root, 6, 0.0, 99)["root"]["children"]]
    assert sorted(keys) == [0, 1]


def test_too_many_lines_are_refused(monkeypatch, article):
    monkeypatch.setattr(report, "BRANCH_LIMIT", 10)
    tree = article.tree(None, "W")
    with pytest.raises(
        UnrollvizError, match=r"more than 10 branches .* raise --min-share, or lower --depth or --limit"
    ):
        tree_text(tree, tree.root, 6, 0.0, 99)
    assert len(tree_text(tree, tree.root, 1, 0.0, 99)) > 5


# ---------------------------------------------------------------- the command


def output(*arguments: str) -> str:
    done = unrollviz("tree", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def assert_adds_up(branch: dict) -> None:
    rest = [branch["rest"]] if branch["rest"] else []
    below = [*branch["children"], *rest]
    if below:
        assert sum(one["count"] for one in below) == branch["count"]
        assert sum(one["share"] for one in below) == pytest.approx(branch["share"], abs=1e-12)
    assert branch["nodes"][0] == branch["node"]
    assert branch["complete"] <= (not below)
    for child in branch["children"]:
        assert_adds_up(child)


def test_json_is_nested_and_exact(article):
    found = json.loads(output("--json", "--depth", "20", "--min-share", "0"))
    assert {key: found[key] for key in ("param", "loss", "count", "at")} == {
        "param": "W",
        "loss": "L",
        "count": 15,
        "at": [],
    }
    assert found["total_norm"] == found["root"]["norm"]
    assert found["total_norm"] == pytest.approx(np.linalg.norm(article.gradient("W")), rel=1e-14)
    assert (found["root"]["node"], found["root"]["share"], found["root"]["rest"]) == ("L", 1.0, None)
    assert_adds_up(found["root"])
    losses = {child["node"]: child for child in found["root"]["children"]}
    assert set(losses) == {"L1", "L2", "L3", "L4", "L5"}
    assert losses["L1"]["nodes"] == ["L1", "yhat1", "s1", "W"]
    assert losses["L4"]["norm"] == pytest.approx(np.linalg.norm(article.gradient("W", "L4")), rel=1e-13)


def test_json_of_an_lstm_has_counts_that_no_float_holds():
    found = json.loads(output("--cell", "lstm", "--steps", "100", "--detail", "gate", "--loss", "L100", "--json"))
    assert found["count"] == found["root"]["count"] > 2**200
    assert_adds_up(found["root"])
    assert found["root"]["nodes"] == ["L100", "yhat100", "h100"]


def test_a_tree_as_deep_as_may_be_asked_for_is_json():
    found = json.loads(output("--steps", "210", "--loss", "L210", "--depth", "200", "--min-share", "0", "--json"))
    assert_adds_up(found["root"])


def test_the_command_begins_where_it_is_told():
    found = json.loads(output("--loss", "L4", "--at", "L4,yhat4,s4,s3", "--json"))
    assert (found["at"], found["count"], found["root"]["count"]) == (["L4", "yhat4", "s4", "s3"], 4, 3)
    text = output("--loss", "L4", "--at", "L4, yhat4, s4, s3")
    assert "below L₄ → ŷ₄ → s₄ → s₃: 3 of them" in text
    assert f"{100 * found['root']['share']:+.1f} %" in text
    both = output(
        "--bidirectional", "--detail", "op", "--at", "L4,yhat4,logits4,V@concat(fwd.s4,bwd.s4),concat(fwd.s4,bwd.s4)"
    )
    assert "concat(fwd.s₄,bwd.s₄): " in both


def test_the_command_says_that_no_path_leads_there():
    assert "no path leads from L₁ back to x₂" in output("--loss", "L1", "--param", "x2")
    found = json.loads(output("--loss", "L1", "--param", "x2", "--json"))
    assert (found["count"], found["total_norm"], found["root"]["share"], found["root"]["children"]) == (0, 0, None, [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "L4,yhat4,s3"], "unknown step of a path from yhat4 's3'; did you mean s4?"),
        (["--at", ""], "unknown start of a path ''"),
        (["--depth", "-1"], "--depth"),
        (["--min-share", "x"], "--min-share"),
        (["--min-share", "20"], "20 is no share; give a number from 0 to 1: 20 % is 0.2, or 20%"),
        (["--min-share", "101%"], "give a number from 0 to 1"),
        (["--min-share", "-0.1"], "give a number from 0 to 1"),
        (["--param", "w"], "did you mean W?"),
    ],
)
def test_bad_input_is_one_line(arguments, said):
    done = unrollviz("tree", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_share_is_a_number_or_a_percentage():
    assert output("--min-share", "20%") == output("--min-share", "0.2") != output("--min-share", "0.5%")


def test_help_teaches():
    text = output("--help")
    for word in ("--depth", "--min-share", "--at", "--detail", "share", "s₉ → s₈ → s₇", "--json"):
        assert word in text
