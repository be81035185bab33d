"""Tables for other programs: CSV, HTML, pandas; whatever text says, it stays text, and numbers keep all digits."""

import csv
import io
import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from command import unrollviz as run_cli
from hostile import labels

import unrollviz as uz
from unrollviz.export import Table, csv_text
from unrollviz.names import clean, storable

LABELS = labels(3_000)


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))


def test_hostile_labels_come_back_from_csv_as_text():
    head, *rows = read_csv(Table(("label", "n"), [[label, n] for n, label in enumerate(LABELS)]).csv())
    assert head == ["label", "n"]
    assert len(rows) == len(LABELS)
    for n, (label, (cell, number)) in enumerate(zip(LABELS, rows, strict=True)):
        assert int(number) == n
        assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")
        assert cell.removeprefix("'" if label.startswith(("=", "+", "-", "@", "\t", "\r")) else "") == storable(label)


def test_numbers_in_csv_keep_their_digits_and_signs():
    cells = [-0.1, 1e-340 * 10, 1 / 3, 10**67, None, math.nan, 0.0, -7]
    ((*_,), row) = read_csv(Table(tuple("abcdefgh"), [cells]).csv())
    assert [float(row[0]), float(row[2]), int(row[3])] == [-0.1, 1 / 3, 10**67]
    assert row[0] == "-0.1"
    assert row[4] == row[5] == ""
    assert csv_text("-0.1") == "'-0.1"  # text that looks like a number is text


class Reader(HTMLParser):
    """Collects the text of every cell, and every tag and attribute."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.cells, self.tags, self.attributes, self._open = [], set(), set(), False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in ("td", "th", "div"):
            self.cells.append("")
            self._open = True

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th", "div")

    def handle_data(self, data):
        if self._open:
            self.cells[-1] += data


def test_hostile_labels_come_back_from_html_as_text():
    for label in LABELS:
        read = Reader()
        read.feed(Table((label,), [[label]]).html(label))
        read.close()
        assert read.cells == [clean(label, 2_000)] * 3
        assert read.tags == {"div", "table", "thead", "tbody", "tr", "th", "td"}
        assert read.attributes <= {"style"}


def test_a_notebook_sees_the_first_rows_and_how_many_more():
    text = Table(("n", "share"), [[n, -0.5 if n else math.nan] for n in range(30)]).html("thirty")
    assert text.count("<tr>") == 1 + 12 + 1
    assert "⋯ 18 more" in text
    assert "–" in text and "-50.0 %" in text and "outline" in text
    assert "color" not in text.replace("currentColor", "")  # neutral on light and dark pages


def test_what_is_asked_shows_itself_in_notebooks(article):
    lstm = uz.article(cell="lstm")
    shown = {
        "+40.4 %": article.paths("L4", "W"),
        "∂s₄/∂s₃": article.paths("L4", "W")[1],
        "log10_norm": article.flow("W", by=("lag", "route")),
        "all gradients agree": article.check(),
        "finding": article.diagnose(),
        "no other path is heavier": lstm.paths("L5", "W_f").top(3),
    }
    for words, thing in shown.items():
        read = Reader()
        read.feed(thing._repr_html_())
        assert any(words in cell for cell in read.cells), words
        assert "script" not in read.tags
    assert article._repr_svg_().rstrip().endswith("</svg>")
    assert "more" in lstm.paths("L5", "W_f")._repr_html_()  # and never walks more than it shows
    assert uz.unroll(lstm.network, np.ones((100, 4)), [0] * 100).paths(to="W_f")._repr_html_().count("<tr>") == 14


def test_undefined_shares_show_as_such():
    net = uz.Network.init("elman", 4, 3, 4, seed=0).replace(V=np.zeros((4, 3)))
    run = uz.unroll(net, np.ones((3, 4)), [0, 1, 2])
    assert "undefined" in run.paths("L3", "W")[0]._repr_html_()
    assert run.flow("W").as_table().rows[0][-2:] == [None, None]


def test_a_flow_as_pandas(article):
    pandas = pytest.importorskip("pandas")
    frame = article.flow("W", by="temporal").to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["loss", "entry", "paths", "norm", "log10_norm", "share"]
    assert frame.paths.tolist() == [1] * 15
    assert article.flow("W").to_pandas().paths.tolist() == [5, 4, 3, 2, 1]
    assert np.isclose(frame.share.sum(), 1)
    assert np.allclose(frame.norm, 10**frame.log10_norm)
    by_own = article.flow("W", by=lambda label, edge: "w" if edge.tail == "s3" else label).to_pandas()
    assert set(by_own.iloc[:, 0]) == {"None", "w"}


@pytest.mark.parametrize("arguments", [["flow", "--by", "temporal"], ["flow", "--by", "lag", "--by", "loss"]])
def test_flow_writes_what_it_says(arguments, tmp_path):
    assert run_cli(*arguments, "-o", "f.csv", cwd=tmp_path).returncode == 0
    assert run_cli(*arguments, "-o", "f.json", cwd=tmp_path).returncode == 0
    report = json.loads((tmp_path / "f.json").read_text())
    head, *rows = read_csv((tmp_path / "f.csv").read_bytes())
    assert head[-4:] == ["paths", "norm", "log10_norm", "share"]
    assert [float(row[-1]) for row in rows] == [row["share"] for row in report["rows"]]
    assert [[int(cell) for cell in row[:2]] for row in rows] == [row["label"] for row in report["rows"]]


def test_paths_write_what_they_say(tmp_path, article):
    done = run_cli("paths", "--loss", "L4", "-o", "p.csv", cwd=tmp_path)
    assert done.stdout == "written: p.csv (4 rows)\n"
    head, *rows = read_csv((tmp_path / "p.csv").read_bytes())
    assert head == ["nodes", "loss", "entry", "lag", "norm", "log10_norm", "share"]
    assert [tuple(row[0].split(" ")) for row in rows] == [path.nodes for path in article.paths("L4", "W")]
    assert [float(row[4]) for row in rows] == [path.norm for path in article.paths("L4", "W")]
    assert run_cli("paths", "--loss", "L4", "--terms", "-o", "p.json", cwd=tmp_path).returncode == 0
    assert len(json.loads((tmp_path / "p.json").read_text())["paths"][0]["term"]) == 3
    assert (
        run_cli("paths", "--param", "W[0,2]", "--detail", "unit", "--top", "2", "-o", "u.csv", cwd=tmp_path).returncode
        == 0
    )
    assert len(read_csv((tmp_path / "u.csv").read_bytes())) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["paths", "-o", "p.txt"], "choose one of .csv, .json"),
        (["flow", "-o", "missing/f.csv", "--cell", "none"], "there is no folder"),  # before any work
        (["flow", "-o", "f.csv", "--json"], "give one of them"),
        (["paths", "--terms", "-o", "p.csv"], "give --json or -o FILE.json too"),
        (["paths", "--steps", "1000", "-o", "p.csv"], "500,500 paths with all their nodes take about"),
    ],
)
def test_what_cannot_be_written_is_said_in_a_line(arguments, words, tmp_path):
    done = run_cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
