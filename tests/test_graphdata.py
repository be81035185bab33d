"""The graph as data: GraphML and node-link JSON, which networkx reads back with all that was in them."""

import io
import json
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from command import unrollviz
from hostile import labels

import unrollviz as uz
from unrollviz.draw.graphdata import as_graphml, as_node_link, graphml, node_link
from unrollviz.draw.view import view
from unrollviz.names import storable

LABELS = labels(3_000)


def from_graphml(data: bytes) -> nx.MultiDiGraph:
    return nx.read_graphml(io.BytesIO(data), force_multigraph=True)


def from_json(data: bytes) -> nx.MultiDiGraph:
    return nx.node_link_graph(json.loads(data), edges="edges")


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("detail", ["state", "op"])
def test_json_gives_the_same_graph_back(cell, detail):
    run = uz.article(cell=cell)
    graph = run.level(detail)
    back = from_json(node_link(view(run, detail=detail)))
    assert list(back.edges(keys=True)) == list(graph.edges(keys=True))
    assert list(back) == list(graph)
    for name, node in graph.nodes(data=True):
        assert np.array_equal(back.nodes[name]["value"], node["value"])
        assert back.nodes[name].get("time") == node["time"]
        assert back.nodes[name]["label"] == node["label"]
    for *edge, jacobian in graph.edges(keys=True, data="jacobian"):
        assert back.edges[edge]["norm"] == jacobian.norm()


def test_graphml_gives_the_same_graph_back(article):
    path = article.paths("L4", "W", detail="op")[1]
    graph = article.level("op")
    data = graphml(view(article, path, detail="op", color_by="share", losses="L4", target="W"))
    back = from_graphml(data)
    arguments = sorted((tail, head, argument) for tail, head, argument in back.edges(data="argument"))
    assert arguments == sorted(graph.edges(keys=True))
    for name, node in graph.nodes(data=True):
        assert np.array_equal(json.loads(back.nodes[name]["value"]), node["value"])
        assert json.loads(back.nodes[name]["shape"]) == list(np.shape(node["value"]))
        assert back.nodes[name]["role"] == node["role"]
    assert [
        name for name in sorted(back, key=lambda n: back.nodes[n].get("path", 99)) if "path" in back.nodes[name]
    ] == [*path.nodes]
    into_w = {head: share for tail, head, share in back.edges(data="share") if tail == "W"}
    assert np.isclose(sum(into_w.values()), 1)
    assert back.graph["detail"] == "op" and back.graph["steps"] == 5
    ids = [element.get("id") for element in ElementTree.fromstring(data).iter() if element.tag.endswith("}edge")]
    assert len(set(ids)) == len(ids) == graph.number_of_edges()  # keys alone are not unique


def test_hostile_labels_come_back_from_both_as_text():
    graph = nx.MultiDiGraph(title=LABELS[7])
    for index, label in enumerate(LABELS):
        graph.add_node(f"n{index}", label=label, symbol=label)
        graph.add_edge(f"n{index}", "n0", key=0, derivative=label)
    xml, js = from_graphml(as_graphml(graph)), from_json(as_node_link(graph))
    assert xml.graph["title"] == storable(LABELS[7])
    assert len(xml) == len(js) == len(LABELS)
    for index, label in enumerate(LABELS):
        name = f"n{index}"
        assert js.nodes[name] == {"label": label, "symbol": label}
        assert xml.nodes[name]["label"] == xml.nodes[name]["symbol"] == storable(label), label
        assert next(iter(xml[name]["n0"].values()))["derivative"] == storable(label)


def test_symbols_of_a_hostile_vocabulary(tmp_path):
    run = uz.unroll(uz.Network.init("elman", 4, 3, 4, seed=0), [0, 1, 2], [1, 2, 3], vocabulary=LABELS[20:24])
    back = from_graphml(graphml(view(run, title="\x1b<title>")))
    assert [back.nodes[f"x{t}"]["symbol"] for t in (1, 2, 3)] == [storable(label) for label in LABELS[20:23]]
    assert back.graph["title"] == "<1B><title>"


def test_large_values_are_left_out_and_told_by_their_norm():
    run = uz.unroll(uz.Network.init("elman", 2, 120, 2, seed=0), np.ones((2, 2)), [0, 1])
    graph = run.plain_graph()
    assert "value" not in graph.nodes["W"] and graph.nodes["W"]["shape"] == [120, 120]
    assert np.isclose(graph.nodes["W"]["norm"], np.linalg.norm(run.network.params["W"]))
    assert nx.is_directed_acyclic_graph(graph)


def test_a_gradient_of_0_has_no_shares():
    run = uz.unroll(uz.Network.init("elman", 2, 2, 2, seed=0).replace(V=np.zeros((2, 2))), np.ones((2, 2)), [0, 1])
    for make in (graphml, node_link):
        assert b'"share"' not in make(view(run, color_by="share"))


def test_render_writes_both_by_their_endings(tmp_path):
    for name in ("g.graphml", "g.json"):
        done = unrollviz("render", "-o", name, "--cell", "lstm", "--detail", "gate", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        data = (tmp_path / name).read_bytes()
        back = from_json(data) if name.endswith("json") else from_graphml(data)
        assert {"f3", "c3", "W_f"} <= set(back)
