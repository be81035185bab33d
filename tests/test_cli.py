"""The command line through its real entry point: output, JSON, exit codes, stderr."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import unrollviz as run

import unrollviz as uz
import unrollviz.cli
from unrollviz.cells import CELLS
from unrollviz.cli import COMMANDS
from unrollviz.graph import LEVELS
from unrollviz.network import SCHEMES
from unrollviz.ops import ACTIVATIONS
from unrollviz.sweep import FOLDS

UNROLLVIZ = [sys.executable, "-m", "unrollviz"]


def output(*arguments: str, cwd: Path | None = None) -> str:
    done = run(*arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def from_json(*arguments: str) -> dict:
    text = output(*arguments, "--json")
    assert text.count("\n") == 1
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def fails(*arguments: str, cwd: Path | None = None) -> str:
    """The one line on stderr of a command that must fail on bad input."""
    done = run(*arguments, cwd=cwd)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("unrollviz: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


# ------------------------------------------------------------------------------------ what it answers


def test_four_paths_lead_from_L4_to_W_and_they_add_up():
    found = from_json("paths", "--loss", "L4", "--param", "W", "--terms")
    assert found["count"] == 4
    assert found["shape"] == [3, 3]
    assert [path["nodes"][-2] for path in found["paths"]] == ["s4", "s3", "s2", "s1"]
    assert [path["entry"] for path in found["paths"]] == [4, 3, 2, 1]
    assert [path["lag"] for path in found["paths"]] == [0, 1, 2, 3]
    assert sum(path["share"] for path in found["paths"]) == pytest.approx(1, abs=1e-13)
    total = np.sum([path["term"] for path in found["paths"]], axis=0)
    np.testing.assert_allclose(total, uz.article().gradient("W", "L4"), rtol=0, atol=1e-15)
    assert found["total_norm"] == pytest.approx(np.linalg.norm(total), rel=1e-14)
    assert found["cancellation"] == pytest.approx(sum(p["norm"] for p in found["paths"]) / found["total_norm"])


@pytest.mark.parametrize(("param", "count"), [("U", 15), ("W", 15), ("b", 15), ("V", 5), ("c", 5)])
def test_paths_from_all_losses_of_the_article(param, count):
    found = from_json("paths", "--param", param, "--top", "2")
    assert (found["count"], len(found["paths"]), found["loss"]) == (count, 2, "L")


@pytest.mark.parametrize(("param", "count"), [("W", 55), ("V", 10)])
def test_paths_of_ten_steps(param, count):
    assert from_json("paths", "--text", "abcdefghijk", "--param", param)["count"] == count


def test_paths_are_an_aligned_table_with_a_sum_line():
    lines = output("paths", "--loss", "L4", "--param", "W").splitlines()
    rows = [line for line in lines if line[:1].isdigit()]
    assert len(rows) == 4
    assert len({row.index("%") for row in rows}) == 1
    assert "✓ equal" in lines[-1]
    assert "L₄ → ŷ₄ → s₄ → s₃ → W" in rows[1]


def test_paths_cut_by_limit_keep_the_exact_count():
    found = from_json("paths", "--limit", "3")
    assert (found["count"], len(found["paths"])) == (15, 3)
    assert "⋯ 12 more" in output("paths", "--limit", "3")


def test_paths_to_a_state_an_input_and_none():
    assert from_json("paths", "--loss", "L4", "--param", "s1")["paths"][0]["nodes"][-1] == "s1"
    assert from_json("paths", "--loss", "L4", "--param", "x2")["paths"][0]["entry"] == 2
    assert from_json("paths", "--loss", "L1", "--param", "x2")["count"] == 0
    assert "no path leads" in output("paths", "--loss", "L1", "--param", "x2")
    assert "no path leads" in output("flow", "--loss", "L1", "--param", "x2")


@pytest.mark.parametrize("by", [*FOLDS, "path"])
def test_flow_by_every_fold(by):
    found = from_json("flow", "--by", by, "--param", "U")
    assert found["by"] == by
    assert sum(row["count"] for row in found["rows"]) == 15
    assert sum(row["share"] for row in found["rows"]) == pytest.approx(1, abs=1e-12)
    assert "15 paths" in output("flow", "--by", by, "--param", "U")


def test_check_is_ok_and_a_broken_gradient_exits_1(tmp_path):
    found = from_json("check")
    assert found["ok"] is True
    assert set(found["worst"]) == {"paths_vs_reverse", "forward_vs_reverse", "finite_difference"}
    broken = "import unrollviz.jacobians as j; j.Diagonal.vjp = lambda self, rows: rows * self.slope * 1.001"
    done = run("check", before=broken)
    assert done.returncode == 1
    assert "✗" in done.stdout


def test_info_counts_what_there_is():
    found = from_json("info", "--hidden", "5")
    article = uz.article(hidden=5)
    assert found == {
        "cell": "elman",
        "parameters": {"U": [5, 4], "W": [5, 5], "b": [5], "V": [4, 5], "c": [4]},
        "n_parameters": 4 * 5 + 25 + 20 + 5 + 4,
        "nodes": article.graph.number_of_nodes(),
        "edges": article.graph.number_of_edges(),
        "steps": 5,
        "loss": article.loss,
        "losses": article.losses.tolist(),
    }
    assert "dn + d² + kd + d + k = 20 + 25 + 20 + 5 + 4 = 74" in output("info", "--hidden", "5")


def test_explain_gives_the_articles_derivation():
    text = output("explain", "L4", "W")
    assert "L₄ depends on W via s₄, s₃, s₂, s₁: 4 paths" in text
    assert "∂L₄/∂W = Σ_(k=1…4) ∂L₄/∂s₄ · ∂s₄/∂s_k · ∂⁺s_k/∂W" in text
    assert "∂L₄/∂ŷ₄ · ∂ŷ₄/∂s₄ · ∂s₄/∂s₃ · ∂s₃/∂s₂ · ∂s₂/∂s₁ · ∂⁺s₁/∂W" in text
    assert "feed-forward chain" in output("explain", "L", "V")


@pytest.mark.parametrize("param", ["U", "W", "V", "b", "c", "s1", "x2", "a3", "yhat4"])
@pytest.mark.parametrize("model", [[], ["--text", "a longer text than eight letters"]])
def test_explain_works_for_every_parameter_and_length(param, model):
    assert "Sum of the" in output("explain", "L4", param, *model)


def test_demo_does_the_main_job(tmp_path):
    text = output("demo", cwd=tmp_path)
    assert "dn + d² + kd + d + k = 12 + 9 + 12 + 3 + 4 = 40" in text
    assert "✓ equal" in text
    assert (tmp_path / "unrolled.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")
    assert [path.name for path in tmp_path.iterdir()] == ["unrolled.svg"]


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "dot"])
def test_render_writes_by_suffix(tmp_path, suffix):
    output("render", "--loss", "L4", "--highlight", "3", "-o", f"picture.{suffix}", cwd=tmp_path)
    assert (tmp_path / f"picture.{suffix}").stat().st_size > 1000


def test_a_path_is_highlighted_by_number_or_by_its_nodes(tmp_path):
    output("render", "--loss", "L4", "--highlight", "2", "-o", "number.dot", cwd=tmp_path)
    output("render", "--loss", "L4", "--highlight", "L4,yhat4,s4,s3,W", "-o", "nodes.dot", cwd=tmp_path)
    assert (tmp_path / "number.dot").read_text() == (tmp_path / "nodes.dot").read_text()


def test_a_group_is_highlighted_and_its_figures_are_printed(tmp_path):
    said = output("render", "--highlight", "lag:1", "--theme", "dark", "--values", "-o", "lag.svg", cwd=tmp_path)
    assert said.splitlines() == [
        "lag 1: 4 of 15 paths · norm of their sum 0.2664 · share +15.2 % of ∂L/∂W",
        "written: lag.svg",
    ]


def test_steps_are_a_number_or_a_range_or_both(tmp_path):
    def headings(*arguments: str) -> list[str]:
        output("render", *arguments, "-o", "x.svg", cwd=tmp_path)
        return re.findall(
            r'font-size="12"[^>]*>(t = \d+|⋯ [\d,]+ steps? ⋯)</text>', (tmp_path / "x.svg").read_text(encoding="utf-8")
        )

    assert headings("--steps", "3") == ["t = 0", "t = 1", "t = 2", "t = 3"]
    assert headings("--steps", "2..4") == ["⋯ 1 step ⋯", "t = 2", "t = 3", "t = 4", "⋯ 1 step ⋯"]
    assert headings("--steps", "1000", "--steps", "95..96") == ["⋯ 94 steps ⋯", "t = 95", "t = 96", "⋯ 904 steps ⋯"]
    assert headings("--steps", "30", "--every", "10")[:3] == ["t = 0", "t = 1", "⋯ 9 steps ⋯"]
    assert len(headings("--steps", "30", "--no-fold")) == 31


def test_render_animates(tmp_path):
    output("render", "--animate", "-o", "x.svg", cwd=tmp_path)
    assert "<animate " in (tmp_path / "x.svg").read_text(encoding="utf-8")
    output("render", "--format", "svg-frames", "-o", "frames", cwd=tmp_path)
    assert (tmp_path / "frames" / "frame-001.svg").exists()


def test_text_files_and_arrays(tmp_path):
    (tmp_path / "hello.txt").write_text("hello\n", encoding="utf-8")
    assert output("info", "--text-file", "hello.txt", cwd=tmp_path) == output("info", "--text", "hello")
    np.savez(tmp_path / "data.npz", xs=np.array([0, 1, 2]), targets=np.array([1, 2, 0]))
    assert "T = 3 steps" in output("info", "--data", "data.npz", cwd=tmp_path)
    rng = np.random.default_rng(0)
    given = {"xs": rng.standard_normal((4, 2, 3)), "targets": rng.dirichlet(np.ones(5), (4, 2))}
    np.savez(tmp_path / "data.npz", **given, initial=np.ones(6))
    text = output("info", "--data", "data.npz", "--hidden", "6", cwd=tmp_path)
    assert "n = 3 inputs, d = 6 units, k = 5 outputs" in text
    assert "T = 4 steps, B = 2 instances" in text


def test_losses_given_twice_are_summed():
    both = from_json("flow", "--loss", "L3", "--loss", "L4", "--by", "loss")
    assert [row["label"] for row in both["rows"]] == [3, 4]
    assert both["total_norm"] == pytest.approx(np.linalg.norm(uz.article().gradient("W", ["L3", "L4"])), rel=1e-13)
    assert "∂(L₃ + L₄)/∂W by lag" in output("flow", "--loss", "L3", "--loss", "L4")
    for command in (["paths"], ["tree"], ["paths", "--detail", "unit"]):
        assert from_json(*command, "--loss", "L3", "--loss", "L4")["loss"] == "L3+L4"
    assert "∂(L₃ + L₄)/∂W" in output("plot", "lag", "--loss", "L3", "--loss", "L4")
    assert "L3+L4 is a sum" in fails("explain", "--loss", "L3", "--loss", "L4", "--param", "W")


def test_the_loss_L_is_the_sum_of_all():
    assert output("paths", "--loss", "L") == output("paths")
    assert "∂L/∂W by lag" in output("flow", "--loss", "L")


def test_explain_takes_its_words_as_options_too():
    said = output("explain", "L4", "U", "--no-numbers")
    for words in (
        ["--loss", "L4", "--param", "U"],
        ["L4", "--param", "U"],
        ["U", "--loss", "L4"],
        ["L4", "U", "--loss", "L4"],
    ):
        assert output("explain", *words, "--no-numbers") == said
    assert "both say what to explain" in fails("explain", "L4", "W", "--loss", "L3")
    assert "both say what to explain" in fails("explain", "L4", "--loss", "L3")
    assert "one too many" in fails("explain", "L4", "W", "U")


# ----------------------------------------------------------------------------------------- model files


NOTE = "note: 10 steps of random numbers, not your data; give --data FILE.npz\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with an LSTM, one of two layers, and data for both."""
    folder = tmp_path_factory.mktemp("files")
    uz.Network.init("lstm", 3, 10, 5).save(folder / "model.safetensors")
    uz.Network.init("lstm", 3, 4, 5, layers=2).save(folder / "two.safetensors")
    rng = np.random.default_rng(0)
    np.savez(folder / "seq.npz", xs=rng.standard_normal((6, 3)), targets=rng.integers(0, 5, 6))
    np.savez(folder / "wide.npz", xs=rng.standard_normal((2, 3, 3)), targets=rng.integers(0, 5, (2, 3)))
    (folder / "seq.csv").write_text("1,2,3\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["flow", "model.safetensors"],
        ["flow", "model.safetensors", "--json"],
        ["values", "h", "model.safetensors"],
        ["explain", "L4", "W_f", "model.safetensors"],
        ["plot", "lag", "model.safetensors"],
        ["debug", "model.safetensors"],
        ["diff", "model.safetensors", "two.safetensors", "--param-b", "l1.W_f"],
        ["train", "model.safetensors", "--epochs", "1"],
        ["render", "model.safetensors", "-o", "picture.svg"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_a_model_without_data_is_told_to_be_shown_on_random_numbers(files, arguments):
    done = run(*arguments, cwd=files)
    assert (done.returncode, done.stderr) == (0, NOTE)
    assert "note:" not in done.stdout


def test_who_asked_for_random_numbers_or_gave_data_is_told_nothing(files):
    for words in (["--steps", "6"], ["--data", "seq.npz"]):
        output("flow", "model.safetensors", *words, cwd=files)
    output("flow", "--cell", "lstm")
    assert output("info", "model.safetensors", cwd=files)
    assert "did you mean L10?" in fails("flow", "model.safetensors", "--loss", "L11", cwd=files)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["flow", "two.safetensors", "--param", "l0.W_f"], "did you mean l1.W_f?"),
        (["flow", "model.safetensors", "--param", "l0.W_f"], "did you mean W_f?"),
        (["paths", "two.safetensors", "--param", "rnn.weight_hh_l1"], "l2.W_i, l2.W_f, l2.W_g, l2.W_o here"),
        (["check", "model.safetensors", "--param", "weight_hh_l0"], "is W_i, W_f, W_g, W_o here"),
        (["values", "bias_hh_l0", "--cell", "gru"], "b_r, b_z, b_hn here, of r and z the sum of both biases"),
        (["diagnose", "--param", "rnn.bias_ih_l0"], "is b here, the sum of both biases"),
        (["tree", "--param", "fc.weight"], "is V here"),
        (["flow", "model.safetensors", "--data", "seq.npz", "--seed", "3"], "--seed is of random numbers"),
        (["flow", "--data", "seq.csv"], 'np.savez("seq.npz", xs=…, targets=…)'),
        (["flow", "seq.csv"], "an experiment (.toml)"),
        (
            ["flow", "model.safetensors", "--data", "seq.npz", "--criterion", "squared_error"],
            "targets has shape (6,) and type int64; this loss asks for numbers (T, k) or (T, B, k) with k = 5",
        ),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_its_words(files, arguments, said):
    assert said in fails(*arguments, cwd=files)


def test_info_says_that_two_biases_become_one(files):
    text = output("info", "model.safetensors", cwd=files)
    count = int(uz.Network.load(files / "model.safetensors").count_parameters())
    assert f"bias_ih and bias_hh are added up: {count + 40} parameters in the file, {count} here" in text


def test_a_terminal_is_told_which_axis_is_time_where_there_are_more_instances(files):
    asked = [*UNROLLVIZ, "flow", "model.safetensors", "--data"]
    for data, told in (("wide.npz", True), ("seq.npz", False)):
        reader, terminal = pty.openpty()
        subprocess.run([*asked, data], stdout=subprocess.PIPE, stderr=terminal, check=True, cwd=files)
        os.write(terminal, b".")
        os.close(terminal)
        assert (
            b"note: T = 2 steps, B = 3 instances: of the axes of xs, steps come first" in os.read(reader, 65536)
        ) == told
    assert run(*asked[len(UNROLLVIZ) :], "wide.npz", cwd=files).stderr == ""


# ------------------------------------------------------------------------------------------ values


def test_values_count_from_0_and_show_every_unit_to_a_pipe(files):
    text = output("values", "h", "model.safetensors", "--data", "seq.npz", cwd=files)
    heading = next(line for line in text.splitlines() if "norm" in line)
    assert heading.split() == ["norm", *map(str, range(10))]
    assert "…" not in text
    cut = output("values", "h", "model.safetensors", "--data", "seq.npz", "--limit", "3", cwd=files)
    assert "⋯ 7 more, which --json and -o FILE.csv have" in cut


def test_values_show_as_many_units_as_a_terminal_has_room_for(files):
    reader, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "PYTHONIOENCODING": "utf-8"}
    asked = [*UNROLLVIZ, "values", "h", "model.safetensors", "--data", "seq.npz"]
    subprocess.run(asked, stdout=terminal, check=True, cwd=files, env=environment)
    os.close(terminal)
    lines = os.read(reader, 65536).decode("utf-8").splitlines()
    assert max(map(len, lines)) <= 60
    assert any("⋯ 5 more" in line for line in lines)


def test_values_of_a_parameter_are_its_numbers(files, tmp_path):
    W = uz.article().network.params["W"]
    found = from_json("values", "W")
    assert (found["param"], found["shape"]) == ("W", [3, 3])
    np.testing.assert_array_equal(found["value"], W)
    lines = output("values", "W").splitlines()
    assert lines[2].split() == ["0", "1", "2"]
    assert lines[5].split() == ["1", *(f"{entry:.4f}" for entry in W[1])]
    output("values", "W", "-o", "W.csv", cwd=tmp_path)
    written = np.loadtxt(tmp_path / "W.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(written[:, 1:], W)
    assert output("values", "c", "--cell", "lstm").startswith("the values of c by step")
    assert "unknown kind of node or parameter 'Q'; choose one of s, x," in fails("values", "Q")


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pahts"], "unknown command 'pahts'; did you mean paths?"),
        (["paths", "--loss", "L9"], "unknown loss 'L9'"),
        (["paths", "--param", "w"], "unknown parameter or node 'w'; did you mean W?"),
        (["paths", "--detail", "stat"], "did you mean state?"),
        (["paths", "--top", "3", "--by", "nrom"], "did you mean norm?"),
        (["paths", "--top", "0"], "--top"),
        (["flow", "--by", "lags"], "did you mean lag?"),
        (["info", "--cell", "elmann"], "unknown cell 'elmann'; did you mean elman?"),
        (["info", "--activation", "tan"], "did you mean tanh?"),
        (["info", "--init", "orthogonl"], "did you mean orthogonal?"),
        (["info", "--hidden", "0"], "hidden=0"),
        (["info", "--hidden", "x"], "--hidden"),
        (["info", "--seed", "-1"], "--seed"),
        (["info", "--text", "a"], "at least 2"),
        (["info", "--text", "ab", "--text-file", "x"], "give one of them"),
        (["info", "--text-file", "none.txt"], "none.txt: cannot be read"),
        (["info", "--data", "none.npz"], "none.npz: cannot be read"),
        (["explain", "L4", "Q"], "unknown parameter or node 'Q'"),
        (["explain", "L6"], "did you mean L5?"),
        (["paths", "--steps", "40", "--loss", "L41"], "did you mean L40? choose one of L1 … L40\n"),
        (["paths", "--loss", "L0"], "did you mean L1? choose one of L1 … L5\n"),
        (["flow", "--cell", "lstm", "--by", "uses:inputs"], "choose one of weights, highway, W_i, W_f, W_g, W_o, f\n"),
        (["flow", "--param", "W[0,1]"], "unrollviz paths --param 'W[0,1]' --detail unit"),
        (["explain", "L4", "W[0,1]"], 'detail="unit"'),
        (["explain", "L4", "W", "--cell", "lstm"], "several W here; choose one of W_i, W_f, W_g, W_o"),
        (["render", "--highlight", "s2,W", "-o", "x.svg"], "--highlight 's2,W' is no path"),
        (["render", "-o", "no/such/folder.svg"], "there is no folder"),
        (["render", "-o", "x.jpeg"], "svg"),
        (["render", "--highlight", "99", "--loss", "L4", "-o", "x.svg"], "from 1 to 4"),
        (["render", "--highlight", "L4,s3,W", "-o", "x.svg"], "unknown step of a path from L4 's3'"),
        (["render", "--engine", "neato", "-o", "x.svg"], "engine"),
        (["render", "--color-by", "shares", "-o", "x.svg"], "did you mean share?"),
        (["render", "--theme", "drak", "-o", "x.svg"], "did you mean dark?"),
        (["render", "--format", "svgg", "-o", "x"], "did you mean svg?"),
        (["render", "--highlight", "lga:1", "-o", "x.svg"], "did you mean lag?"),
        (["render", "--steps", "1..9", "-o", "x.svg"], "from step 1 to step 5"),
        (["render", "--steps", "x", "-o", "x.svg"], "--steps"),
        (["render", "--steps", "3", "--steps", "4", "-o", "x.svg"], "more than once"),
        (["render", "--every", "0", "-o", "x.svg"], "--every"),
        (["render", "--animate", "-o", "x.png"], "makes an SVG play"),
        (["render", "--theme", "dark", "-o", "x.graphml"], "graphml is the whole graph as data"),
        (["render", "--param", "V", "--color-by", "value", "-o", "x.svg"], "--param chooses among paths"),
        (["render", "--loss", "L3", "--highlight", "L4,yhat4,s4,W", "-o", "x.svg"], "leave --loss out"),
        (["render", "--param", "V", "--highlight", "L4,yhat4,s4,W", "-o", "x.svg"], "leave --param out"),
        (["debug", "--script", "none.txt"], "none.txt: cannot be read"),
        (["paths", "--bad"], "No such option"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, arguments, said):
    assert said in fails(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"xs": [0, 1]}, "has no array targets"),
        ({"xs": [0, 1], "targets": [0]}, "one target for every input"),
        ({"xs": [0, 1], "targets": [0, -1]}, "id -1 at step 2"),
        ({"xs": [[0.0], [np.nan]], "targets": [0, 1]}, "x2 at step 2 is not finite"),
        ({"xs": [[0.0], [np.inf]], "targets": [0, 1]}, "x2 at step 2 is not finite"),
        ({"xs": np.zeros((0, 3)), "targets": np.zeros((0, 2))}, "xs is empty"),
        ({"xs": [[0.0], [1.0]], "targets": [[0.7, 0.7], [0.5, 0.5]]}, "not a distribution"),
        ({"xs": ["a", "b"], "targets": [0, 1]}, "not numbers"),
        ({"xs": [0, 1], "targets": [0, 1], "initial": [1.0]}, "initial s0 has shape"),
        ({"xs": [0, 1], "targets": [0, 1], "intial": [1.0]}, "did you mean initial?"),
        ({"xs": np.array([None, 1], dtype=object), "targets": [0, 1]}, "never loaded"),
        ({"xs": 3, "targets": 4}, "single number"),
        ({"xs": np.full((2, 64), 1.7e308), "targets": [0, 1]}, "node U@x1 at step 1 is not finite"),
    ],
)
def test_bad_data_names_what_and_where(tmp_path, arrays, said):
    np.savez(tmp_path / "data.npz", **{name: np.asarray(value) for name, value in arrays.items()})
    assert said in fails("info", "--data", "data.npz", "--activation", "identity", "--init", "uniform", cwd=tmp_path)


def test_a_failed_render_keeps_the_old_file(tmp_path):
    old = tmp_path / "unrolled.svg"
    old.write_text("old", encoding="utf-8")
    fails("render", "--highlight", "99", "-o", str(old))
    fails("render", "--engine", "dot", "-o", str(old), "--title", "x") if not _has_dot() else None
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["unrolled.svg"]


def _has_dot() -> bool:
    return any((Path(folder) / "dot").exists() for folder in os.environ.get("PATH", "").split(os.pathsep))


def test_control_characters_never_reach_the_terminal(tmp_path):
    hostile = "a\x1b]52;c;UFdORUQ=\x1b\\b\u202ec"
    for arguments in (["info", "--text", hostile], ["paths", "--text", hostile, "--loss", "L2"]):
        assert not {"\x1b", "\u202e"} & set(output(*arguments))
    assert "\x1b" not in fails("info", "--cell", "\x1b[31mred")


# ------------------------------------------------------------------------------------------- manners


FRESH = {
    "demo": [],
    "learn": ["--list"],
    "diff": ["--cell", "gru"],
    "explain": ["L4", "W"],
    "render": ["-o", "fresh.svg"],
    "train": ["--sample", "adding", "--epochs", "1", "--json"],
    "history": ["no-run"],
    "paths": ["--loss", "L9"],
}
"""Command -> what it is asked where nothing is not enough."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_begun_from_nothing_does_what_those_that_tests_fork_do(command, tmp_path):
    """Under the name that is installed: nobody has imported anything for it."""
    asked, given = [command, *FRESH.get(command, [])], "next\nprint s1\nnxt\n" if command == "debug" else ""
    begun = [str(Path(sys.executable).with_name("unrollviz")), *asked]
    fresh = subprocess.run(begun, input=given, capture_output=True, encoding="utf-8", check=False, cwd=tmp_path)
    forked = run(*asked, given=given, cwd=tmp_path)
    assert (fresh.returncode, fresh.stderr) == (forked.returncode, forked.stderr)
    if command != "train":  # tells how long it took
        assert fresh.stdout == forked.stdout


def test_a_command_that_hangs_is_stopped_and_the_next_one_runs(monkeypatch):
    monkeypatch.setattr("command.SECONDS", 1)
    with pytest.raises(subprocess.TimeoutExpired):
        run("paths", before="import time; time.sleep(60)")
    monkeypatch.undo()
    assert run("paths").returncode == 0


def test_help_names_every_choice():
    text = output("paths", "--help") + output("flow", "--help")
    for choice in (*CELLS, *ACTIVATIONS, *SCHEMES, *LEVELS, *FOLDS):
        assert choice in text
    overview = output("--help")
    for command in COMMANDS:
        assert f"\n  {command} " in overview
    files = {file.stem for file in Path(unrollviz.cli.__path__[0]).glob("*.py")}
    assert set(COMMANDS) == files - {"__init__", "model", "options", "proposals", "rows", "terminal"}


@pytest.mark.parametrize(
    ("command", "needless"), [("--version", "numpy"), ("paths", "unrollviz.diagnosis"), ("flow", "unrollviz.plots")]
)
def test_a_command_imports_only_what_it_answers_with(command, needless):
    code = f"import sys; from unrollviz.cli import main; sys.argv[1:] = [{command!r}]; sys.stdout = None\n"
    code += f"try: main()\nexcept SystemExit as end: sys.exit(end.code or {needless!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, stdin=subprocess.DEVNULL).returncode == 0


def test_help_tells_defaults_as_they_are():
    text = " ".join(output("check", "--help").split())
    assert "8; 3 of the article's network" in text
    assert "as Network.init and PyTorch" in text
    assert "--param l1.W_f" in text
    assert from_json("info", "--steps", "2")["parameters"]["W"] == [8, 8]
    assert from_json("info")["parameters"]["W"] == [3, 3]
    told = " ".join(output("tree", "--help").split())
    assert "summed in one line where they are several; a single one is shown, closed" in told


def test_without_a_command_and_a_terminal_it_is_the_help():
    assert output() == output("--help")


@pytest.mark.parametrize("module", ["unrollviz", "unrollviz.cli", "unrollviz.api"])
def test_import_never_loads_the_heavy_optional_parts(module):
    heavy = "{'textual', 'torch', 'matplotlib', 'pandas', 'graphviz', 'pygraphviz'}"
    code = f"import {module}, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_only_what_draws_with_an_extra_needs_it(tmp_path):
    """Every file is imported where no extra is installed; and what runs in a terminal runs there."""
    code = """
import importlib, pkgutil, sys
for extra in ("matplotlib", "torch", "onnx", "pandas", "textual_serve", "pygraphviz", "IPython"):
    sys.modules[extra] = None
import unrollviz
from unrollviz.errors import MissingExtra
for module in pkgutil.walk_packages(unrollviz.__path__, "unrollviz."):
    if module.name == "unrollviz.__main__": continue
    try: importlib.import_module(module.name)
    except (MissingExtra, ImportError): print(module.name)
from unrollviz.cli import main
sys.argv = ["unrollviz", "debug"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], input="next\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    need_plots = ["unrollviz.draw.heat", "unrollviz.draw.matplot", "unrollviz.draw.multiples"]
    assert [line for line in done.stdout.splitlines() if line.startswith("unrollviz.")] == need_plots


def test_help_loads_neither_numpy_nor_networkx():
    code = (
        "import sys; sys.argv = ['unrollviz', '--help']\nfrom unrollviz.cli import main\n"
        "try: main()\nexcept SystemExit: print(sorted({'numpy', 'networkx', 'textual', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_completion_knows_the_choices():
    done = run(_UNROLLVIZ_COMPLETE="bash_complete", COMP_WORDS="unrollviz info --activation ", COMP_CWORD="3")
    assert "plain,tanh" in done.stdout


def test_a_closed_pipe_is_quiet():
    command = " ".join(UNROLLVIZ) + " paths | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, encoding="utf-8")
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("∂L/∂W")


@pytest.mark.parametrize("arguments", [["flow"], ["flow", "--json"], ["--help"], ["flow", "--help"]], ids=" ".join)
def test_a_full_disk_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*UNROLLVIZ, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "unrollviz: error: the output cannot be written: No space left on device; write elsewhere\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_ascii_terminals_are_served_too():
    done = run("paths", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "dL/dW is a sum over 15 paths" in done.stdout
    assert "L2 > ^y2 > s2 > s1 > W" in done.stdout
    assert "?" not in done.stdout


def test_an_interrupt_exits_130_without_a_traceback(tmp_path):
    text = "ab" * 4000
    process = subprocess.Popen(
        [*UNROLLVIZ, "check", "--text", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_stream_that_is_closed_is_as_good_as_none(closed):
    command = f"{shlex.join([*UNROLLVIZ, 'info'])} {closed}>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0
    assert ("elman network" in done.stdout) == (closed == "2")
    assert "Traceback" not in done.stderr


def test_a_name_longer_than_any_file_s_is_one_line():
    done = run("info", "x" * 5000)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is no name that a file can have" in done.stderr


def test_a_terminal_is_told_of_long_work_and_nobody_else_is():
    impatient = "import sys; from unrollviz.cli import main, terminal; terminal.PATIENCE = 0.0; main()"
    asked = [sys.executable, "-c", impatient, "flow", "--steps", "600", "--by", "temporal", "--limit", "2"]
    reader, terminal = pty.openpty()
    done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=terminal, check=True)
    os.close(terminal)
    said = os.read(reader, 65536)
    assert b"working, 0 s (Ctrl-C stops)" in said
    assert said.rstrip(b"\r").endswith(b" ")  # and the line is cleared in the end
    piped = subprocess.run(asked, capture_output=True, check=True)
    assert piped.stdout == done.stdout
    assert piped.stderr == b""


def test_progress_goes_to_a_terminal_only(tmp_path):
    for patience, shown in ((0.0, True), (60.0, False)):
        command = f"import sys; from unrollviz.cli import main, terminal; terminal.PATIENCE = {patience}; main()"
        reader, terminal = pty.openpty()
        asked = [sys.executable, "-c", command, "check"]
        done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=terminal, check=True)
        os.write(terminal, b".")  # so that there is something to read
        os.close(terminal)
        assert (b"checking" in os.read(reader, 65536)) is shown, "what takes no second needs no bar"
        assert b"checking" not in done.stdout
    assert run("check").stderr == ""
