"""Plots: their numbers against single paths and explicit products, and both back ends for every plot of the table."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from command import unrollviz as cli
from hostile import labels

import unrollviz as uz
from unrollviz.draw.text import ascii_only, width_of
from unrollviz.errors import UnknownName
from unrollviz.names import clean
from unrollviz.plots import LOG, PLOTS, SIGNED, Chart, Curve, Grid, Plot
from unrollviz.report.plot import plot_json, plot_text

SVG = "{http://www.w3.org/2000/svg}"


def random_run(cell="elman", steps=12, instances=1, scale=1.0, **options) -> uz.Run:
    rng = np.random.default_rng(1)
    net = uz.Network.init(cell, 3, 4, 3, seed=1, **options)
    net = net.replace(**{name: scale * value for name, value in net.params.items() if "W" in name})
    return uz.unroll(net, rng.standard_normal((steps, instances, 3)), rng.integers(0, 3, (steps, instances)))


RUNS = {
    "article": uz.article,
    "one step": lambda: random_run(steps=1),
    "learned initial state, one step": lambda: random_run(steps=1, learn_initial=True),
    "batch": lambda: random_run("lstm", 20, 3),
    "bidirectional": lambda: random_run("gru", 6, layers=2, bidirectional=True),
    "vanished": lambda: random_run(steps=250, scale=0.02),
    "no gradient": lambda: (
        lambda run: uz.unroll(run.network.replace(V=0 * run.network.params["V"]), run.inputs, [0] * 4)
    )(random_run(steps=4)),
    "many to one": lambda: uz.unroll(uz.Network.init("gru", 3, 4, 3, seed=0), np.ones((7, 3)), [0], readout="last"),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request) -> uz.Run:
    return RUNS[request.param]()


def chart(plot: Plot, place: int = 0) -> Chart:
    part = plot.parts[place]
    assert isinstance(part, Chart)
    return part


def values(plot: Plot, name: str, place: int = 0) -> np.ndarray:
    return next(curve.values for curve in chart(plot, place).curves if curve.name == name)


# ------------------------------------------------------------------------------------------- the numbers


def test_the_matrix_is_made_of_single_paths(article):
    norms, shares = article.plotted("matrix").parts
    for path in article.paths(to="W"):  # in this network one path leads from each loss to each step
        t, k = norms.rows.index(path.entry + path.lag), norms.columns.index(path.entry)
        assert math.isclose(10 ** norms.values[t, k], path.norm, rel_tol=1e-12)
        assert math.isclose(shares.values[t, k], path.share, rel_tol=1e-12)
    assert np.isfinite(norms.values).sum() == 15
    assert math.isclose(np.nansum(shares.values), 1)


@pytest.mark.parametrize(("name", "label"), [("lag", "lag"), ("entry", "entry"), ("loss", "loss")])
def test_shares_and_norms_are_sums_over_single_paths(article, name, label):
    found = article.plotted(name, losses=["L3", "L4", "L5"])
    paths = list(article.paths(["L3", "L4", "L5"], "W"))
    key = {path: int(path.loss[1:]) if label == "loss" else getattr(path, label) for path in paths}
    for at, share, norm in zip(chart(found).at, values(found, "share"), values(found, "norm"), strict=True):
        mine = [path for path in paths if key[path] == at]
        assert math.isclose(share, math.fsum(path.share for path in mine), rel_tol=1e-9)
        assert math.isclose(10**norm, np.linalg.norm(sum(path.term for path in mine)), rel_tol=1e-9)


def test_cancellation_is_that_of_single_paths(article):
    found = article.plotted("cancellation")
    paths = list(article.paths(to="W"))
    for place, of in ((0, lambda path: int(path.loss[1:])), (1, lambda path: path.lag)):
        for at, added, whole, ratio in zip(
            chart(found, place).at, *(curve.values for curve in chart(found, place).curves), strict=True
        ):
            mine = [path for path in paths if of(path) == at]
            norms, total = math.fsum(path.norm for path in mine), np.linalg.norm(sum(path.term for path in mine))
            assert math.isclose(10**added, norms, rel_tol=1e-9)
            assert math.isclose(10**whole, total, rel_tol=1e-9)
            assert math.isclose(ratio, max(norms / total, 1.0), rel_tol=1e-9)


def test_jacobians_are_those_of_the_formula(article):
    found = article.plotted("jacobians")
    weights, product = article.network.params["W"], np.eye(3)
    one, whole = (curve.values for curve in chart(found).curves)
    for step in range(5, 0, -1):
        state = article.graph.nodes[f"s{step}"]["value"][0]
        jacobian = np.diag(1 - state**2) @ weights
        product = product @ jacobian
        assert math.isclose(10 ** one[step - 1], np.linalg.norm(jacobian, 2), rel_tol=1e-9)
        assert math.isclose(10 ** whole[step - 1], np.linalg.norm(product, 2), rel_tol=1e-9)


def test_routes_are_the_largest_of_the_flow():
    run = uz.article(cell="lstm")
    found, flow = run.plotted("route"), run.flow("W_f", by="route")
    assert np.allclose(values(found, "share"), sorted(flow.shares, key=abs, reverse=True)[:16])
    assert "direct" in chart(found).at
    assert "110 more routes carry" in found.notes[0] and len(flow.shares) == 126
    assert chart(found, 1).at == ("W_i", "W_f", "W_g", "W_o", "f ⊙")


def test_routes_of_a_long_sequence_are_counted_more_coarsely():
    found = random_run("lstm", 60).plotted("route", losses="L60")
    assert any("weights" in note for note in found.notes)
    assert any("weights" in at or "highway" in at for at in chart(found).at)


def test_what_has_vanished_is_told_from_0():
    found = RUNS["vanished"]().plotted("lag")
    *norms, last = values(found, "norm")
    assert min(norms) < -500 and np.isfinite(norms).all()
    assert last == -np.inf  # nothing was there before the first step
    assert "e-5" in "\n".join(plot_text(found))


def test_neighbours_share_a_place():
    drawn = Chart("", "lag", tuple(range(10)), (
        Curve("share", np.arange(10.0), SIGNED, "share"), Curve("norm", np.r_[-np.inf, np.arange(9.0)], LOG, "norm"),
    )).pooled(4)  # fmt: skip
    assert drawn.at == ("0–2", "3–5", "6–8", "9–9")
    assert drawn.curves[0].values.tolist() == [3, 12, 21, 9]
    assert drawn.curves[1].values.tolist() == [1, 4, 7, 8]
    full = np.where(np.tri(5) > 0, 1.0, np.nan)
    steps = tuple(range(1, 6))
    shares, by = Grid("", steps, steps, full, SIGNED).pooled(3)
    assert by == 2 and np.nansum(shares) == 15 and np.isnan(shares[0, 1])
    assert np.nanmax(Grid("", steps, steps, full, LOG).pooled(3)[0]) == 1


# ------------------------------------------------------------------------------------------- back ends


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_of_every_run_is_drawn_by_both_back_ends(run, name):
    pytest.importorskip("matplotlib")
    from unrollviz.draw.matplot import figure

    found = run.plotted(name)
    assert found.name == name
    lines = plot_text(found, title="a <b> \x1b title")
    assert lines[0] == "a <b> <1B> title"
    assert max(map(width_of, lines)) <= 160
    assert all(ascii_only(line).isascii() for line in lines), [line for line in lines if not ascii_only(line).isascii()]
    assert len(lines) < 200
    report = json.loads(json.dumps(plot_json(found), allow_nan=False))
    assert report["plot"] == name and len(report["charts"]) + len(report["grids"]) == len(found.parts)
    assert found.parts or found.notes  # never empty without a word
    root = ElementTree.fromstring(figure(found)._repr_svg_())
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert not tags & {"image", "script", "a", "foreignObject"}
    said = "".join(root.itertext())
    assert found.title in said
    for part in found.parts:
        if isinstance(part, Chart):
            assert all(curve.axis in said for curve in part.curves)


def test_a_gradient_of_0_says_so():
    found = RUNS["no gradient"]()
    for name in ("matrix", "lag", "loss", "entry", "route", "cancellation"):
        plot = found.plotted(name)
        assert any("undefined" in note for note in plot.notes), name
        assert "nan" not in "\n".join(plot_text(plot))
    assert any("–" in line for line in plot_text(found.plotted("lag")))


def test_what_no_path_reaches_says_so(article):
    assert article.plotted("lag", "x5", "L3").notes == ("no path leads there",)


def test_text_of_the_article(article):
    lines = plot_text(article.plotted("matrix"))
    assert "    4  0.0135 ▓  0.0914 █  0.3197 █  0.4201 █" in lines
    assert "    5   +0.2 % ▒   +1.3 % ▓  +0.4 % ▓   +1.5 % ▓  -4.1 % █" in lines


def test_hostile_titles_stay_text(article):
    pytest.importorskip("matplotlib")
    every = labels(110)
    for label in ("".join(every[start : start + 9]) for start in range(0, 110, 9)):
        root = ElementTree.fromstring(article.plot("loss", title=label)._repr_svg_())
        lines = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
        assert clean(label).strip() in [line.strip() for line in lines] or not clean(label).strip(), label


def test_a_figure_is_a_matplotlib_figure(article, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    drawn = article.plot("lag", "W", "L4", theme="dark")
    assert isinstance(drawn, matplotlib.figure.Figure)
    assert drawn._repr_svg_() == article.plot("lag", "W", "L4", theme="dark")._repr_svg_()  # the same every time
    assert len(drawn.axes) == 2
    with pytest.raises(UnknownName, match="did you mean lag"):
        article.plot("lags")
    with pytest.raises(UnknownName, match="dark"):
        article.plot("lag", theme="drak")


# ---------------------------------------------------------------------------------------- command line


def test_the_command_prints_and_writes(tmp_path, article):
    assert cli("plot", "lag", cwd=tmp_path).stdout.splitlines() == [
        line.rstrip() for line in plot_text(article.plotted("lag"))
    ]
    pytest.importorskip("matplotlib")
    done = cli("plot", "-o", "p.pdf", "--loss", "L4", cwd=tmp_path)
    assert done.stdout == "written: p.pdf\n" and done.stderr == ""
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    from unrollviz.draw.matplot import write

    write(article.plotted("lag"), tmp_path / "p.png", "中")  # a title for which there is no glyph is no trouble
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["matrx"], "did you mean matrix?"),
        (["-o", "p.gif"], "choose one of .svg, .png, .pdf"),
        (["--theme", "dark"], "give -o FILE too"),
        (["lag", "--json", "--title", "x"], "leave out -o and --title"),
    ],
)
def test_the_command_refuses_in_a_line(arguments, words, tmp_path):
    done = cli("plot", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_without_matplotlib_the_extra_is_named_and_text_still_works(tmp_path):
    none = "sys.modules['matplotlib'] = None"
    done = cli("plot", "-o", "p.svg", cwd=tmp_path, before=none)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "pip install 'unrollviz[plots]'" in done.stderr
    assert cli("plot", "lag", cwd=tmp_path, before=none).returncode == 0


def test_help_names_every_plot(tmp_path):
    said = cli("plot", "--help", cwd=tmp_path).stdout
    for name in PLOTS:
        assert f"{name} " in said or f"{name}, " in said
