"""The HTML page as text: what it may hold, that its numbers are the run's, that text from outside stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from collections import Counter
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command import unrollviz
from hostile import labels

import unrollviz as uz
from unrollviz.draw.legend import quoted
from unrollviz.draw.page.content import LISTED, SIDE, TOP
from unrollviz.draw.page.document import escaped_json
from unrollviz.draw.page.markup import SHAPES
from unrollviz.gradient import cotangents
from unrollviz.names import clean

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """A page taken apart: its tags with their attributes, and the text of every element that is no markup."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.words, self.raw = text, [], [], {"script": [], "style": []}
        self.inside: list[str] = []
        self.feed(text)
        self.close()
        self.data = json.loads(self.raw["script"][0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.raw:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside[-1]].append(data)
        else:
            self.words.append(data)


def rnn(cell: str, steps: int, layers: int = 1, bidirectional: bool = False) -> uz.Run:
    rng = np.random.default_rng(0)
    network = uz.Network.init(cell, 3, 2, 3, layers=layers, bidirectional=bidirectional, seed=1)
    return uz.unroll(network, rng.standard_normal((steps, 3)), rng.integers(0, 3, steps))


RUNS = {
    "elman 5": (uz.article, {}),
    "elman 5, one loss": (uz.article, {"losses": "L4", "target": "V"}),
    "elman 5, operations": (uz.article, {"detail": "op"}),
    "elman 30": (lambda: rnn("elman", 30), {"color_by": "share"}),
    "elman 24, every step": (lambda: rnn("elman", 24), {"fold": False}),
    "lstm 5, gates": (lambda: rnn("lstm", 5), {"detail": "gate", "highlight": 3}),
    "lstm 30, gates": (lambda: rnn("lstm", 30), {"detail": "gate", "highlight": "lag:2"}),
    "gru 5, two layers, both directions": (lambda: rnn("gru", 5, 2, True), {"values": True}),
}


@pytest.fixture(params=RUNS, scope="module")
def made(request) -> tuple[uz.Run, dict, Page]:
    build, options = RUNS[request.param]
    run = build()
    return run, options, Page(run.page(**options))


def paths_of(run: uz.Run, options: dict) -> uz.PathSet:
    target = options.get("target", run.recurrent_weight)
    return run.paths(options.get("losses"), target, detail=options.get("detail", "state"))


# What may be in it


def test_policy_lets_in_its_own_style_and_script_and_nothing_else(made):
    _, _, page = made
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    (style,), (_, script) = page.raw["style"], page.raw["script"]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src {digest(style)}",
        f"script-src {digest(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    order = [tag for tag, a in page.tags if tag in ("style", "script", "svg") or "http-equiv" in a]
    assert order == ["meta", "style", "svg", "script", "script"]  # the policy before all that it is for
    assert [a["type"] for tag, a in page.tags if tag == "script"] == ["application/json", "module"]


def test_nothing_is_fetched_linked_or_run_from_an_attribute(made):
    _, _, page = made
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("style", "src", "srcset", "xlink:href", "action")
            assert name != "href" or value == "#paths"
    assert not re.search(r"url\(|@import", page.raw["style"][0])
    script = page.raw["script"][1]
    assert re.findall(r"\w+://[^\"]*", script) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(|XMLHttp|import\(", script)


def test_picture_is_made_of_few_harmless_tags(made):
    _, _, page = made
    start = next(i for i, (tag, _) in enumerate(page.tags) if tag == "svg")
    drawing = []
    for tag, attributes in page.tags[start + 1 :]:
        if tag == "div":
            break
        drawing.append(tag)
        assert attributes.keys() <= {
            "id",
            "class",
            "data-tail",
            "data-head",
            *SHAPES.get(tag, ()),
        }
    assert set(drawing) <= {"g", "title", *SHAPES}
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_every_colour_is_one_on_light_and_one_on_dark_paper(made):
    _, _, page = made
    rules = dict(re.findall(r"^\.(p\d+)\{\w+:#\w{6};\w+:light-dark\((#\w{6},#\w{6})\)\}$", page.raw["style"][0], re.M))
    classes = {name for _, a in page.tags for name in (a.get("class") or "").split() if re.fullmatch(r"[pq]\d+", name)}
    styles = dict(re.findall(r"^\.(q\d+)\{([a-z0-9.,:;-]+)\}$", page.raw["style"][0], re.M))
    assert classes == {*rules, *styles}
    assert any("font-size:14px" in style for style in styles.values())
    assert any(light != dark for light, dark in (rule.split(",") for rule in rules.values()))


# Its numbers


def test_paths_are_those_of_the_run_with_all_digits(made):
    run, options, page = made
    data, paths = page.data, paths_of(run, options)
    assert data["count"] == str(paths.count)
    assert data["total"]["norm"] == paths.total_norm
    if paths.count <= LISTED:
        expected = list(paths)
        assert data["heaviest"] is None and data["cancellation"] == paths.cancellation
        assert [row["place"] for row in data["paths"]] == list(range(1, paths.count + 1))
        assert abs(sum(row["share"] for row in data["paths"]) - 1) < 1e-9
    else:
        expected = paths.top(TOP)
        assert data["heaviest"]["exact"] == expected.exact
        assert data["heaviest"]["coverage"] == expected.coverage
        assert data["heaviest"]["residual"] == expected.residual
    assert len(data["paths"]) == len(expected)
    for row, path in zip(data["paths"], expected, strict=True):
        edges = [data["edges"][edge] for edge in row["edges"]]
        names = [data["nodes"][edge["head"]]["name"] for edge in edges] + [data["nodes"][edges[-1]["tail"]]["name"]]
        assert tuple(names) == path.nodes
        assert [data["nodes"][edge["tail"]]["name"] for edge in edges] == list(path.nodes[1:])
        assert (row["norm"], row["share"], row["entry"], row["lag"]) == (path.norm, path.share, path.entry, path.lag)
        assert row["running"] == list(path.running_norms)
        assert [edge["norm"] for edge in edges] == [factor.norm for factor in path.factors]
        if row["term"] is not None:
            assert row["term"] == path.term.tolist()


def test_matrix_and_flows_are_those_of_the_run(made):
    run, options, page = made
    paths = paths_of(run, options)
    detail = options.get("detail", "state")
    for by, cells in {"temporal": page.data["matrix"], **page.data["flows"]}.items():
        flow = run.flow(paths.target, by, paths.losses, detail=detail)
        assert cells["bin"] == 1
        columns = list(zip(*cells["cells"], strict=True))
        assert np.array_equal(np.array(columns[: flow.labels.shape[1]]).T, flow.labels)
        norms, _, shares, _ = columns[flow.labels.shape[1] :]
        assert list(norms) == flow.norms.tolist()
        assert list(shares) == flow.shares.tolist()


def test_many_steps_share_a_square_that_says_so():
    run = rnn("elman", 200)
    data = Page(run.page()).data
    flow = run.flow("W", "temporal")
    size = data["matrix"]["bin"]
    assert size == 4 and 200 / size <= SIDE
    cells = {(t, k): rest for t, k, *rest in data["matrix"]["cells"]}
    inside = ((flow.labels - [81, 77]) // size == 0).all(axis=1)
    norm, _, share, count = cells[81, 77]
    assert norm == flow.norms[inside].max() and share == pytest.approx(flow.shares[inside].sum()) and count == "16"
    assert sum(rest[2] for rest in cells.values()) == pytest.approx(1)
    assert data["flows"]["lag"]["bin"] == 2


def test_replay_computes_every_node_and_hands_back_every_cotangent(made):
    run, options, page = made
    data, paths = page.data, paths_of(run, options)
    order = [moment["phase"] for moment in data["moments"]]
    assert order == sorted(order, key=["forward", "loss", "backward"].index)
    graph = paths.graph
    computed = [moment for moment in data["moments"] if moment["phase"] != "backward"]
    told = sum(len(moment["nodes"]) + moment["hidden"] for moment in computed)
    assert told == sum(node["op"] is not None for _, node in graph.nodes(data=True))
    at = {node["name"]: i for i, node in enumerate(data["nodes"])}
    reference = {name: float(np.linalg.norm(value)) for name, value in cotangents(graph, paths.losses).items()}
    last, known = {}, set()
    for moment in data["moments"]:
        if moment["phase"] != "backward":
            known.update(moment["nodes"])
        for edge, norm in moment["handed"]:
            last[data["edges"][edge]["tail"]] = norm
    for name, norm in reference.items():
        if name in at and data["nodes"][at[name]]["id"]:
            assert last[at[name]] == pytest.approx(norm, rel=1e-12, abs=1e-300)
            assert data["nodes"][at[name]]["cotangent_norm"] == pytest.approx(norm, rel=1e-12, abs=1e-300)
    assert last[data["target"]] == pytest.approx(paths.total_norm, rel=1e-12)


def test_values_are_exact_or_their_beginning(made):
    run, options, page = made
    graph = paths_of(run, options).graph
    for node in page.data["nodes"]:
        value = np.asarray(graph.nodes[node["name"]]["value"])
        assert node["shape"] == list(value.shape)
        assert node["value"] == value.tolist() or node["value"] == value.reshape(-1)[: len(node["value"])].tolist()
        assert node["norm"] == pytest.approx(float(np.linalg.norm(value)), rel=1e-15)


# The picture and the numbers together


def test_ids_lead_from_numbers_to_shapes(made):
    _, _options, page = made
    shapes = {a["id"]: a for tag, a in page.tags if tag == "g" and "id" in a}
    data = page.data
    for node in data["nodes"]:
        if node["id"]:
            assert "thing" in shapes[node["id"]]["class"].split()
    lines = [edge["id"] for edge in data["edges"] if edge["id"]]
    for edge in data["edges"]:
        if edge["id"]:
            line = shapes[edge["id"]]
            assert "link" in line["class"].split()
            ends = {line["data-head"]: data["nodes"][edge["head"]], line["data-tail"]: data["nodes"][edge["tail"]]}
            for end, node in ends.items():
                kind = shapes[end]["class"].split()[1]
                assert node["id"] == end or kind == "fold" or (kind == "copy" and node["kind"] == "parameter")
    links = {name for name, a in shapes.items() if "link" in a.get("class", "").split()}
    assert links == set(lines)
    if not data["spans"]:
        assert len(lines) == len(set(lines)) == len(data["edges"])
        assert all(node["id"] for node in data["nodes"])


def test_folded_steps_are_a_box_and_counted():
    run = rnn("elman", 30)
    data = Page(run.page(highlight=300)).data
    assert [(span["first"], span["last"]) for span in data["spans"]]
    hidden = {t for span in data["spans"] for t in range(span["first"], span["last"] + 1)}
    for node in data["nodes"]:
        assert (node["id"] is None) == (node["time"] in hidden)
    assert data["selected"] == 300 and data["paths"][300]["place"] == 301
    told = [moment for moment in data["moments"] if moment["hidden"]]
    assert told and all(not moment["nodes"] for moment in told)


def test_page_opens_with_what_is_highlighted():
    run = uz.article()
    assert Page(run.page()).data["selected"] is None
    assert Page(run.page(["L4", "yhat4", "s4", "s3", "W"])).data["selected"] == 7
    group = Page(run.page("lag:2")).data["group"]
    assert group["words"].startswith("lag 2: 3 of 15 paths, norm ")
    run = rnn("lstm", 30)
    data = Page(run.page(run.paths("L30", "W_f").nodes(5))).data
    assert data["selected"] == TOP  # below the heaviest: it is none of them
    assert data["paths"][TOP]["loss"] == 30


# Text from outside


def test_hostile_labels_stay_text():
    """3,000 in all, 200 a page: symbols read and wanted; some are titles too."""
    found, steps = labels(3_000), 100
    network = uz.Network.init("elman", 2 * steps, 2, 2 * steps, seed=0)
    some_tags = {tag for tag, _ in Page(uz.article().page(title="plain")).tags}
    for start in range(0, len(found), 2 * steps):
        some, title = found[start : start + 2 * steps], found[start // (2 * steps)]
        ids = np.arange(steps)
        run = uz.unroll(network, ids, ids + steps, vocabulary=some)
        page = Page(run.page(title=title, caption=some[0], losses="L1", fold=False))
        assert {tag for tag, _ in page.tags} == some_tags
        symbols = {node["name"]: node["symbol"] for node in page.data["nodes"] if "symbol" in node}
        for t in ids + 1:
            assert (symbols[f"x{t}"], symbols[f"L{t}"]) == (clean(some[t - 1]), clean(some[steps + t - 1]))
        drawn = Counter(word for word in page.words if word.startswith("“"))
        assert drawn == Counter(quoted(label) for label in some)
        assert page.words.count(clean(title)) >= 2  # <title> and <h1>
        text = page.raw["script"][0]
        assert not set("<>&") & set(text) and text.isascii()


def test_json_is_json_and_cannot_end_its_element():
    data = {"a": ["</script>", "<!--", "\u2028", 0.1, None, "&lt;"]}
    assert json.loads(escaped_json(data)) == data
    assert not re.search(r"[<>&\u2028]", escaped_json(data))
    with pytest.raises(ValueError, match="JSON compliant"):
        escaped_json({"a": float("nan")})


def test_gradient_of_nothing_is_a_page_too():
    network = uz.Network.init("elman", 3, 2, 3, seed=1)
    params = dict(network.params) | {"V": np.zeros((3, 2))}
    run = uz.unroll(uz.Network("elman", params, "tanh"), np.ones((4, 3)), [0, 1, 2, 0])
    data = Page(run.page()).data
    assert data["total"]["norm"] == 0 and all(row["share"] is None for row in data["paths"])
    assert data["matrix"]["cells"][0][2:5] == [0.0, None, None]


# From the command line


def test_render_writes_a_page(tmp_path):
    asked = ["--loss", "L4", "--param", "W", "-o", "page.html", "--theme", "dark"]
    done = unrollviz("render", *asked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.data["symbol"] == "∂L₄/∂W" and page.data["count"] == "4"
    assert ("html", {"lang": "en", "data-theme": "dark"}) in page.tags
    assert ("html", {"lang": "en"}) in Page(uz.article().page()).tags
    assert page.words.count("∂L₄/∂W of an Elman network over 5 steps") == 2


def test_its_files_are_in_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["unrollviz"]
    files = [path for path in (ROOT / "unrollviz/draw/page").iterdir() if path.suffix in (".html", ".css", ".js")]
    assert len(files) == 13
    for path in files:
        assert any(fnmatch(path.relative_to(ROOT / "unrollviz").as_posix(), pattern) for pattern in patterns), path
