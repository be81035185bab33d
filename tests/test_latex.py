"""LaTeX: text stays text, names become mathematics, derivations and pictures compile."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from command import unrollviz as cli
from hostile import labels

import unrollviz as uz
from unrollviz.draw import latex
from unrollviz.draw.tikz import tikz, written
from unrollviz.draw.view import view
from unrollviz.errors import DrawingFailed, UnknownName
from unrollviz.names import clean

LABELS = labels(3_000)
TOKENS = {made: ch for ch, made in latex._TEXT.items()}
TOKEN = re.compile("|".join(map(re.escape, sorted(TOKENS, key=len, reverse=True))) + r"|\\codepoint\{([0-9A-F]{4,6})\}")
HARMLESS = re.compile(r"[A-Za-z0-9 .:;()/=+@À-ÖØ-öø-ÿ]*")


def decoded(text: str) -> str:
    """What escaped text prints, and a proof that nothing in it is a command but the known ones."""
    rest = TOKEN.sub("", text)
    assert HARMLESS.fullmatch(rest), rest
    return TOKEN.sub(lambda match: chr(int(match[1], 16)) if match[1] else TOKENS[match[0]], text)


def balanced(text: str) -> bool:
    depth = 0
    for ch in re.sub(r"\\[\\{}%]", "", text):
        depth += (ch == "{") - (ch == "}")
        if depth < 0:
            return False
    return depth == 0


def compiled(source: str, folder) -> str:
    """The words of the PDF that pdflatex makes, where it is installed."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (folder / "made.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "made.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
    assert (folder / "made.pdf").stat().st_size > 1000
    return done.stdout.decode("utf-8", "replace")


def test_hostile_labels_come_back_from_escaped_text():
    assert len(TOKENS) == len(latex._TEXT)  # no two characters are written alike
    for label in LABELS:
        assert decoded(latex.escape(label)) == clean(label)


def test_hostile_labels_as_mathematics_hold_no_command_of_their_own():
    allowed = {
        "alpha", "partial", "cdot", "cdots", "ldots", "odot", "sum", "prod", "sigma", "kappa", "hat", "text", "mathrm",
        "operatorname", "tanh", "log", "exp", "overrightarrow", "overleftarrow", "codepoint", "ensuremath",
        *(word for made in latex._TEXT.values() for word in re.findall(r"\\([a-zA-Z]+)", made)),
    }  # fmt: skip
    for label in LABELS:
        made = latex.math(label)
        assert set(re.findall(r"\\([a-zA-Z]+)", made)) <= allowed, label
        assert balanced(made), made


def test_hostile_labels_compile(tmp_path):
    body = [line for label in LABELS for line in (latex.escape(label), "", rf"\({latex.math(label)}\)", "")]
    compiled(latex.document(body, "hostile \\end{document}\nlabels"), tmp_path)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("s3", "s_{3}"),
        ("yhat4", r"\hat{y}_{4}"),
        ("W_f", "W_{f}"),
        ("l2.s3", "s^{(2)}_{3}"),
        ("l2.bwd.W_n", r"\overleftarrow{W}^{(2)}_{n}"),
        ("fwd.h12", r"\overrightarrow{h}_{12}"),
        ("W@s2", "W s_{2}"),
        ("tanh(a3)", r"\tanh(a_{3} )"),
        ("logits1", "z_{1}"),
    ],
)
def test_names_as_mathematics(name, made):
    assert latex.name(name) == made


def test_formulas_as_mathematics():
    assert latex.math("σ(U_f x₄ + W_f h₃ + b_f)") == r"\sigma (U_{f} x_{4} + W_{f} h_{3} + b_{f} )"
    assert latex.math("−Σ p log ŷ₄") == r"-\sum p \log \hat{y}_{4}"
    assert latex.fraction("s3", "W", direct=True) == r"\frac{\partial^{+} s_{3}}{\partial W}"
    assert latex.figure(1.234e-5) == r"1.234 \cdot 10^{-5}"
    assert latex.figure(float("nan")) == r"\text{--}"


# ------------------------------------------------------------------------------------------- derivations

MODELS = {
    "the article's": ({}, "L4", "W"),
    "every loss": ({}, "L", "W"),
    "feed-forward": ({}, "L", "V"),
    "an input": ({}, "L3", "x2"),
    "no path": ({}, "L3", "x5"),
    "bidirectional": ({"cell": "gru", "layers": 2, "bidirectional": True}, "L4", "l2.bwd.W_n"),
    "many paths": ({"cell": "lstm"}, "L5", "W_f"),
    "wide": ({"hidden": 12}, "L4", "W"),
    "a vector": ({}, "L4", "b"),
}


@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_a_derivation_is_a_whole_document(model, numbers):
    options, loss, target = MODELS[model]
    made = uz.article(**options).explain(loss, target, format="latex", numbers=numbers)
    assert made.count(r"\begin{document}") == made.count(r"\end{document}") == 1
    assert made.count(r"\begin{align*}") == made.count(r"\end{align*}")
    assert balanced(made)
    assert made.isascii() or made.splitlines()[0].startswith("%")
    assert "\n".join(made.splitlines()[1:]).isascii()
    assert ("tabular" in made) == (numbers and model != "no path")


def test_the_derivation_says_what_the_text_says(article):
    made = article.explain("L4", "W", format="latex")
    for path in article.paths("L4", "W"):
        factors = [latex.fraction(f.head, f.tail, not f.jacobian.per_instance) for f in path.factors]
        assert r" \cdot ".join(factors) in made
        assert f"{path.entry}$ & ${path.lag}$" in made
        between = np.eye(3)
        for factor in path.factors[2:-1]:
            between = between @ factor.matrix()[0]
        row = [path.entry, path.lag, f"{np.linalg.norm(between):.4f}", f"{path.norm:.4f}"]
        pattern = r"\${}\$ & \${}\$ & \$0.5928\$ & \${}\$ & \$[\d.]+\$ & \${}\$ & ".format(*tuple(row))
        assert re.search(pattern, made), pattern
        assert latex.matrix(path.term.tolist()) in made
    assert latex.matrix(article.gradient("W", "L4").tolist()) in made
    assert r"\operatorname{diag}(\tanh '(a_{j} )) W" in made
    plain = article.explain("L4", "W", format="latex", numbers=False)
    assert r"\prod_{j=k+1}^{4}" in plain and "0.4201" not in plain
    with pytest.raises(UnknownName):
        article.explain("L4", "W", format="word")


def test_text_without_numbers(article):
    assert article.explain("L4", "W").startswith(article.explain("L4", "W", numbers=False))
    assert "‖" not in article.explain("L4", "W", numbers=False)
    assert "share" not in article.explain("L", "W", numbers=False)


def test_derivations_compile(tmp_path):
    parts = []
    for options, loss, target in MODELS.values():
        made = uz.article(**options).explain(loss, target, format="latex")
        parts.append(made.split(r"\begin{document}")[1].split(r"\end{document}")[0])
    head = made.split(r"\begin{document}")[0]
    said = compiled(head + r"\begin{document}" + "\n\\newpage\n".join(parts) + r"\end{document}", tmp_path)
    too_wide = [float(width) for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", said)]
    assert max(too_wide, default=0.0) < 1


# ---------------------------------------------------------------------------------------------- pictures


def test_tikz_draws_what_the_svg_draws(article):
    drawn = view(article, article.paths("L4", "W")[1], title="50 % & more_\\input{x}", theme="dark")
    sheet, made = drawn.drawing.sheet, written(drawn.drawing.sheet)
    shapes = [shape for shape in sheet.shapes if not shape.align]
    assert made.count(r"\path[") == len(shapes) + len(sheet.lines)
    assert made.count(r"\fill[c") == sum(line.arrow > 0 for line in sheet.lines) + 1  # the dark paper
    assert made.count(r"\node[") == sum(bool(line) for shape in sheet.shapes for line in shape.lines)
    assert latex.escape("50 % & more_\\input{x}") in made
    assert r"{\(\boldsymbol{s_{3}}\)}" in made and r"{\(s_{2}\)}" in made
    assert balanced(made) and made.isascii()
    named, used = set(re.findall(r"\\definecolor\{(c\d+)\}", made)), set(re.findall(r"[=\[{](c\d+)[,\]}]", made))
    assert named == used


def test_a_hostile_picture_compiles(tmp_path):
    network = uz.Network.init("elman", 4, 3, 4, seed=0)
    for index, start in enumerate((0, 30, 60)):
        run = uz.unroll(network, [0, 1, 2], [1, 2, 3], vocabulary=LABELS[start : start + 4])
        folder = tmp_path / str(index)
        folder.mkdir()
        compiled(tikz(view(run, "top:2", title=LABELS[start + 40])).decode(), folder)


def test_a_picture_too_large_for_tex_is_refused():
    run = uz.unroll(uz.Network.init("elman", 2, 2, 2, seed=0), np.ones((200, 2)), [0] * 200)
    with pytest.raises(DrawingFailed, match="fold more steps"):
        tikz(view(run, fold=False))
    assert tikz(view(run))


def test_commands_write_latex(tmp_path):
    assert cli("explain", "L4", "W", "--no-numbers", "-o", "d.tex", cwd=tmp_path).stdout == "written: d.tex\n"
    assert (tmp_path / "d.tex").read_text() == uz.article().explain("L4", "W", format="latex", numbers=False)
    assert cli("render", "-o", "p.tex", cwd=tmp_path).returncode == 0
    assert r"\begin{tikzpicture}" in (tmp_path / "p.tex").read_text()
    done = cli("explain", "-o", "d.docx", cwd=tmp_path)
    assert done.returncode == 2 and "choose one of .txt, .tex" in done.stderr
