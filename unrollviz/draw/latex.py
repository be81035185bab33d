"""LaTeX: the one escape function for text, typeset names and formulas as mathematics, and whole documents.

What is written compiles with pdflatex, and never asks for a file or a program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from unrollviz.draw.text import UNDEFINED, number
from unrollviz.names import clean, typeset

_TEXT = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # else two of them are a dash
    ",": ",{}",  # else two of them are a quotation mark
    "?": "?{}",
    "!": "!{}",
    "[": "{[}",  # else an option
    "]": "{]}",
    "*": "{*}",
    **{chr(0x2080 + digit): rf"\textsubscript{{{digit}}}" for digit in range(10)},
    "₋": r"\textsubscript{-}",
    "ŷ": r"\^{y}",
    "ₜ": r"\textsubscript{t}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "’": r"\textquoteright{}",
    "␣": r"\textvisiblespace{}",
    "·": r"\textperiodcentered{}",
    "×": r"\texttimes{}",
    **{
        sign: rf"\ensuremath{{{made}}}"
        for sign, made in (
            ("∂", r"\partial"),
            ("⁺", "^{+}"),
            ("→", r"\rightarrow"),
            ("⊙", r"\odot"),
            ("Σ", r"\sum"),
            ("∏", r"\prod"),
            ("‖", r"\|"),
            ("σ", r"\sigma"),
            ("κ", r"\kappa"),
            ("′", r"^{\prime}"),
            ("−", "-"),
            ("⋯", r"\cdots"),
            ("≤", r"\leq"),
            ("≥", r"\geq"),
        )
    },
}
"""Character -> what prints it, and nothing else, in text."""

_KNOWN = re.compile("[ -~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]")

PREAMBLE = r"""\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{textcomp}
\usepackage{amsmath,amssymb}
% A character that pdflatex has no glyph for: itself where the engine knows all of Unicode, else its number.
\newcommand*{\codepoint}[1]{\ifdefined\Umathchar\char"#1\relax\else\ifdefined\XeTeXversion\char"#1\relax\else
  {\footnotesize\texttt{\textless#1\textgreater}}\fi\fi}
"""
"""What `escape` and `math` rely on."""


def escape(text: str, limit: int = 200) -> str:
    """`text` for running text: shown letter by letter, whatever it holds; control characters as `<1B>`, others that
    the fonts may lack as `\\codepoint{4E2D}`."""
    return "".join(
        _TEXT.get(ch) or (ch if _KNOWN.match(ch) else f"\\codepoint{{{ord(ch):04X}}}") for ch in clean(text, limit)
    )


# ------------------------------------------------------------------------------------------- mathematics

_SYMBOLS = {
    "∂": r"\partial ",
    "⁺": "^{+}",
    "·": r" \cdot ",
    "⊙": r" \odot ",
    "Σ": r"\sum ",
    "∏": r"\prod ",
    "‖": r"\|",
    "σ": r"\sigma ",
    "κ": r"\kappa ",
    "′": "'",
    "'": "'",
    "²": "^{2}",
    "−": "-",
    "⋯": r"\cdots ",
    "…": r"\ldots ",
    "%": r"\%",
    "#": r"\#",
    "&": r"\&",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    **{ch: ch for ch in " +-=/()[],.;:|!<>*0123456789"},
}

_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₋", "0123456789-")
_ATOM = re.compile(
    r"(?:l(?P<layer>\d+)\.)?(?:(?P<way>fwd|bwd)\.)?(?P<stem>[A-Za-z]+|ŷ)(?P<word>_[a-z]+)?(?P<time>[₀-₉₋]*)(?P<call>\()?"
)
_WAYS = {"fwd": r"\overrightarrow", "bwd": r"\overleftarrow"}
_STEMS = {"ŷ": r"\hat{y}", "sigma": r"\sigma", "sigmoid": r"\sigma"}
_FUNCTIONS = frozenset({"tanh", "log", "exp"})


def math(text: str) -> str:
    """A typeset name or formula as mathematics: `l2.bwd.s₃` -> `\\overleftarrow{s}^{(2)}_{3}`, `tanh(U x₄ + b)`."""
    made, at, shown = "", 0, clean(text, 2000)
    while at < len(shown):
        match = _ATOM.match(shown, at)
        if match:
            made += _atom(match)
            at = match.end()
        else:
            made += _SYMBOLS.get(shown[at]) or f"\\text{{{escape(shown[at])}}}"
            at += 1
    return re.sub(" +", " ", made).strip()


def _atom(match: re.Match[str]) -> str:
    """A name with its layer, its direction, its gate and its step; a function before a bracket."""
    stem = match["stem"]
    if match["call"] and not match["time"]:
        known = rf"\{stem}" if stem in _FUNCTIONS else _STEMS.get(stem)
        return (known or rf"\operatorname{{{stem}}}") + "("
    symbol = _STEMS.get(stem) or (
        rf"\{stem}" if stem in _FUNCTIONS else stem if len(stem) == 1 else rf"\mathrm{{{stem}}}"
    )
    if match["way"]:
        symbol = f"{_WAYS[match['way']]}{{{symbol}}}"
    above = f"^{{({match['layer']})}}" if match["layer"] else ""
    below = ",".join(part for part in ((match["word"] or "")[1:], match["time"].translate(_DIGITS)) if part)
    space = " " if symbol[-1].isalpha() else ""
    return symbol + above + (f"_{{{below}}}" if below else "") + space + (match["call"] or "")


def name(node: str) -> str:
    """A node's typed name as mathematics: `yhat4` -> `\\hat{y}_{4}`."""
    return math(typeset(node))


def fraction(of: str, by: str, direct: bool = False) -> str:
    """∂of/∂by, of typed names; with `direct` ∂⁺, the immediate derivative."""
    above, below = (f"({math(shown)})" if " " in shown else math(shown) for shown in map(typeset, (of, by)))
    return rf"\frac{{\partial{'^{+}' if direct else ''} {above}}}{{\partial {below}}}"


def figure(value: float) -> str:
    """A number rounded for reading: `0.4201`, `1.234 \\cdot 10^{-5}`."""
    shown = number(value)
    mantissa, e, power = shown.partition("e")
    if not e:
        return r"\text{--}" if shown == UNDEFINED else shown
    return rf"{mantissa} \cdot 10^{{{int(power)}}}"


def matrix(rows: Sequence[Sequence[float]]) -> str:
    """A small matrix in brackets, four decimals."""
    lines = r" \\ ".join(
        " & ".join(f"{entry:.4f}" if abs(entry) < 1e3 else figure(entry) for entry in row) for row in rows
    )
    return rf"\begin{{bmatrix}} {lines} \end{{bmatrix}}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of mathematics, columns aligned right, rows farther apart where names have arrows above them."""
    stretch = 1.7 if any(r"\over" in cell for row in rows for cell in row) else 1.0
    lines = [" & ".join(f"${cell}$" if cell else "" for cell in row) + r" \\" for row in (headings, *rows)]
    begin = rf"\begin{{center}}\renewcommand*{{\arraystretch}}{{{stretch}}}\begin{{tabular}}{{{'r' * len(headings)}}}"
    return [begin, lines[0] + r" \hline", *lines[1:], r"\end{tabular}\end{center}"]


def aligned(lines: Sequence[str]) -> list[str]:
    """Equations below each other, aligned at their `&`."""
    return [
        r"\begin{align*}",
        *(f"  {line}" + (r" \\" if line is not lines[-1] else "") for line in lines),
        r"\end{align*}",
    ]


def document(body: Sequence[str], comment: str, kind: str = "{article}", packages: Sequence[str] = ()) -> str:
    """A whole document around `body`; `comment` is one line at its top."""
    return "\n".join(
        [
            f"% {clean(comment)}",
            rf"\documentclass{kind}",
            PREAMBLE + "\n".join(packages),
            r"\begin{document}",
            *body,
            r"\end{document}",
            "",
        ]
    )
