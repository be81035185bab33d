"""Pictures of a training run: their numbers are the history's, both back ends draw every panel, text stays text."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from command import unrollviz
from hostile import labels

import unrollviz as uz
from unrollviz.draw.page.history import content
from unrollviz.draw.page.history import page as page_of
from unrollviz.draw.panels import LAGS, PANELS, RECORDS, Course, panels
from unrollviz.draw.style import THEMES
from unrollviz.errors import UnknownName
from unrollviz.names import clean
from unrollviz.plots import LOG, Chart, Grid
from unrollviz.training.learning import course

SVG = "{http://www.w3.org/2000/svg}"
OPTIONS = {"epochs": 6, "batch": 2, "every": 1, "optimizer": "momentum"}


def made(cell="lstm", steps=7, **options):
    rng = np.random.default_rng(0)
    network = uz.Network.init(cell, 3, 4, 2, seed=1, **{k: v for k, v in options.items() if k in ("layers",)})
    data = rng.standard_normal((steps, 6, 3)), rng.integers(0, 2, (steps, 6))
    chosen = OPTIONS | {k: v for k, v in options.items() if k != "layers"}
    return uz.train(network, data, **chosen)


def vanished():
    network = uz.Network.init("elman", 3, 4, 2).replace(V=np.zeros((2, 4)), W=np.zeros((4, 4)))
    return uz.train(network, (np.ones((1, 3)), np.array([0])), epochs=1, every=5, optimizer="gradient_descent", lr=1e-9)


RUNS = {
    "lstm": lambda: made(validation=0.34, watch=("W_f", "U_i")),
    "two layers of 70 steps": lambda: made("gru", 70, layers=2, epochs=1, batch=6),
    "one step, no gradient": vanished,
}


@pytest.fixture(scope="module", params=RUNS)
def trained(request):
    return RUNS[request.param]()


@pytest.fixture(scope="module")
def lstm():
    return RUNS["lstm"]()


def asked(trained) -> Course:
    return course(trained.network.cell, trained.settings, trained.state)


def chart(course: Course, name: str, place: int = 0) -> dict[str, np.ndarray]:
    """The plain numbers of a panel's curves, by name; of the loss panel where they are known."""
    (panel,) = [panel for key, panel in zip(PANELS, panels(course, place), strict=True) if key == name]
    assert isinstance(panel.part, Chart)
    return {one.name: 10**one.values if one.unit == LOG else one.values for one in panel.part.curves}


# ------------------------------------------------------------------------------------------- the numbers


def test_every_panel_shows_the_figures_of_the_history(lstm):
    shown, history = asked(lstm), lstm.history
    assert history.watched == ("W_f", "U_i")
    close = np.testing.assert_allclose
    for place, name in enumerate(history.watched):
        index = history.params.index(name)
        close(chart(shown, "gradient", place)["all parameters"], history.total_norms)
        close(chart(shown, "gradient", place)[name], history.gradient_norms[:, index])
        reach = chart(shown, "reach", place)
        for part in (0.5, 0.9, 0.99):
            assert reach[f"{100 * part:g} %"].tolist() == history.reach(part)[:, place].tolist()
        routes = chart(shown, "routes", place)
        close(sum(routes.values()), 1)
        close(routes["highway"], history.route_shares[:, place, 2])
        close(chart(shown, "cancellation", place)["κ"], history.cancellations[:, place])
        ratios = chart(shown, "updates", place)
        close(ratios[name], history.update_ratios[:, index])
        close(ratios["largest of one"][1:], np.nanmax(history.update_ratios[1:], axis=1))
        close(ratios["least"][1:], np.nanmin(history.update_ratios[1:], axis=1))
        close(
            ratios["all parameters"][1:] ** 2 * (history.weight_norms[1:] ** 2).sum(axis=1),
            (history.update_norms[1:] ** 2).sum(axis=1),
        )
        lags = panels(shown, place)[list(PANELS).index("lags")].part
        assert isinstance(lags, Grid)
        close(lags.values.T, history.lag_shares[:, place])
        assert lags.columns == tuple(history.updates)
    close(list(chart(shown, "jacobians").values()), history.jacobian_norms.T)


def test_losses_of_epochs_are_where_they_belong(lstm):
    """Two updates an epoch: its mean is in its middle, the validation at its end."""
    shown = asked(lstm)
    loss = panels(shown, 0)[0].part
    assert isinstance(loss, Chart)
    at, found = np.array(loss.at), chart(shown, "loss")
    np.testing.assert_allclose(found["instances watched"][np.isin(at, lstm.history.updates)], lstm.history.losses)
    assert shown.per_epoch == 2
    for epoch in range(6):
        (middle,) = np.flatnonzero(at == 2 * epoch + 1)
        (end,) = np.flatnonzero(at == 2 * epoch + 2)
        assert found["training"][middle] == pytest.approx(lstm.losses[epoch])
        assert found["validation"][end] == pytest.approx(lstm.validation_losses[epoch])
    assert np.isfinite(found["training"]).sum() == np.isfinite(found["validation"]).sum() == 6


def test_of_many_records_and_lags_a_picture_shows_some(lstm):
    many = replace(asked(lstm), history=lstm.history.part([0, *[1] * 500, 2]))
    assert len(many.thinned()) == RECORDS
    assert many.thinned().updates[[0, -1]].tolist() == [0, 2]
    assert "200 records of 502, evenly picked" in page_of(many, 0).decode()
    long = asked(RUNS["two layers of 70 steps"]())
    lags = panels(long, 0)[list(PANELS).index("lags")]
    assert isinstance(lags.part, Grid)
    assert lags.part.rows == tuple(range(0, 70, 2)) and len(lags.part.rows) <= LAGS
    assert "2 lags a row" in lags.words
    np.testing.assert_allclose(lags.part.values[1], long.history.lag_shares[:, 0, 2:4].sum(axis=1))
    bars = content(long, 0)["watched"][0]["bars"]
    assert (bars["lag"]["by"], bars["loss"]["labels"][:2]) == (2, ["1", "3"])
    np.testing.assert_allclose(np.sum(bars["loss"]["shares"], axis=1), 1, rtol=1e-4)


# -------------------------------------------------------------------------------------------- matplotlib


@pytest.mark.parametrize("theme", THEMES)
def test_every_panel_is_drawn(trained, theme):
    pytest.importorskip("matplotlib")
    drawn = trained.plot(theme=theme)
    root = ElementTree.fromstring(drawn._repr_svg_())
    assert not {element.tag.removeprefix(SVG) for element in root.iter()} & {"image", "script", "a", "foreignObject"}
    said = "".join(root.itertext())
    for panel in panels(asked(trained), 0):
        assert panel.title in said and panel.words in said
    axes = drawn.axes[: len(PANELS)]
    assert len({one.get_xlim() for one in axes}) == 1  # one axis of updates for all


def test_curves_are_told_apart_without_colour(lstm):
    pytest.importorskip("matplotlib")
    for axes, panel in zip(lstm.plot().axes, panels(asked(lstm), 0), strict=False):
        if isinstance(panel.part, Chart) and not panel.ordered:
            lines = axes.get_lines()[: len(panel.part.curves)]
            assert len({line.get_marker() for line in lines}) == len(lines)
            assert len({line.get_color() for line in lines}) == len(lines)


# ---------------------------------------------------------------------------------------------- the page


class Taken(HTMLParser):
    """A page taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.raw, self.inside = [], [], {"script": [], "style": []}, None
        self.feed(text)
        self.close()
        self.data = json.loads(self.raw["script"][0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in self.raw else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        (self.raw[self.inside] if self.inside else self.words).append(data)


def test_the_page_lets_in_its_own_style_and_script_and_nothing_else(trained):
    page = Taken(trained.page())
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    (style,), (_, script) = page.raw["style"], page.raw["script"]
    hashes = ["sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    assert policy == (
        f"default-src 'none'; style-src '{hashes[0]}'; script-src '{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )
    assert [tag for tag, a in page.tags if tag in ("style", "script") or "http-equiv" in a] == [
        "meta",
        "style",
        "script",
        "script",
    ]
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("style", "src", "href", "action") for name in attributes)
    assert not re.search(r"url\(|@import", style)
    assert re.findall(r"\w+://[^\"]*", script) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|XMLHttp|import\(", script)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_the_page_knows_the_figures_of_the_history(lstm):
    data, history = Taken(lstm.page("U_i")).data, lstm.history
    assert data["opened"] == 1 and [one["name"] for one in data["watched"]] == ["W_f", "U_i"]
    assert data["updates"] == history.updates.tolist() and data["epochs"] == history.epochs.tolist()
    np.testing.assert_allclose(data["losses"], history.losses, rtol=1e-5)
    for place, watched in enumerate(data["watched"]):
        assert [panel["name"] for panel in watched["panels"]] == list(PANELS)
        for by, shares in (("lag", history.lag_shares), ("loss", history.loss_shares)):
            np.testing.assert_allclose(watched["bars"][by]["shares"], shares[:, place], rtol=1e-5)
        np.testing.assert_allclose(watched["bars"]["route"]["shares"], history.route_shares[:, place], rtol=1e-5)
        assert watched["bars"]["route"]["labels"] == ["own step", "weights", "highway", "both"]
        ratio = watched["panels"][-1]
        assert ratio["curves"][0]["values"][0] is None  # there was no update yet
    assert Taken(vanished().page()).data["watched"][0]["bars"]["lag"]["shares"] == [[None], [None]]


def test_hostile_names_stay_text_in_the_page(lstm):
    """Parameters cannot be named so by a file that is read, but a page must not depend on it."""
    plain = [tag for tag, _ in Taken(lstm.page()).tags]
    history = lstm.history
    for label in ["".join(labels(110)[start : start + 9]) for start in range(0, 110, 9)]:
        params = tuple(label if name == "W_f" else name for name in history.params)
        named = replace(history, params=params, watched=(label, "U_i"))
        hostile = replace(asked(lstm), history=named, heading=label)
        text = page_of(hostile, 0, title=label).decode("utf-8")
        page = Taken(text)
        assert [tag for tag, _ in page.tags] == plain
        assert page.words.count(clean(label)) >= 2 or not clean(label).strip()  # <title> and <h1>
        raw = page.raw["script"][0]
        assert not set("<>&") & set(raw) and raw.isascii()
        assert "\x1b" not in json.dumps(page.data, ensure_ascii=False)


def test_hostile_names_stay_text_in_a_picture(lstm):
    pytest.importorskip("matplotlib")
    from unrollviz.draw.multiples import figure

    label = "\x00\x1b]0;x\x07</text><script>&$x^2$"
    params = tuple(label if name == "W_f" else name for name in lstm.history.params)
    named = replace(lstm.history, params=params, watched=(label, "U_i"))
    root = ElementTree.fromstring(figure(replace(asked(lstm), history=named, heading=label), 0, label)._repr_svg_())
    lines = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
    assert lines.count(clean(label)) == 3  # the title, and in two legends
    assert f"∂L/∂{clean(label)} while it learns: {clean(label)}" in lines


def test_what_is_not_there_is_said(lstm):
    with pytest.raises(UnknownName, match="did you mean W_f"):
        lstm.page("W_g")
    with pytest.raises(uz.UnrollvizError, match="no history"):
        uz.train(uz.Network.init("elman", 3, 4, 2), (np.ones((2, 3)), [0, 1]), epochs=1, every=0).page()


# ------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made(folder=folder / "run", watch=("W_f", "U_i"))
    return folder


cli = partial(unrollviz, "history", "run")
NO_MATPLOTLIB = "sys.modules['matplotlib'] = None"


def test_the_command_writes_pictures_and_pages(folder):
    done = cli("-o", "h.html", "--param", "U_i", "--theme", "dark", cwd=folder, before=NO_MATPLOTLIB)  # needs nothing
    assert (done.returncode, done.stdout, done.stderr) == (0, "written: h.html\n", "")
    page = Taken((folder / "h.html").read_text(encoding="utf-8"))
    assert page.data["opened"] == 1
    assert ("html", {"lang": "en", "data-theme": "dark"}) in page.tags
    pytest.importorskip("matplotlib")
    done = cli("-o", "h.pdf", "--title", "a run", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "written: h.pdf\n", "")
    assert (folder / "h.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "h.gif"], "choose one of .html, .svg, .png, .pdf"),
        (["-o", "h.html", "--json"], "give one of them"),
        (["--theme", "dark"], "give -o FILE too"),
        (["-o", "h.html", "--theme", "drak"], "did you mean dark"),
        (["-o", "h.html", "--param", "W_g"], "did you mean W_f"),
        (["-o", "missing/h.html"], "there is no folder"),
    ],
)
def test_the_command_refuses_in_a_line(arguments, words, folder):
    done = cli(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_without_matplotlib_the_extra_is_named(folder):
    done = cli("-o", "h.svg", cwd=folder, before=NO_MATPLOTLIB)
    assert done.returncode == 2
    assert "pip install 'unrollviz[plots]'" in done.stderr and done.stderr.count("\n") == 1
