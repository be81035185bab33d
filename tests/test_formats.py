"""Every format with every option: it changes what is written, or it is refused before work starts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import unrollviz as uz
from unrollviz.api import Run
from unrollviz.cli.render import render
from unrollviz.draw import made
from unrollviz.draw.colouring import COLOURINGS
from unrollviz.draw.formats import FORMATS, LOOKS, PURPOSES, WHOSE, check, honours
from unrollviz.draw.highlight import GROUPS
from unrollviz.draw.view import Options, view
from unrollviz.errors import DrawingFailed, UnrollvizError

RNG = np.random.default_rng(0)
RUN = uz.unroll(uz.Network.init("lstm", 2, 2, 2, seed=0), RNG.standard_normal((21, 2)), RNG.integers(0, 2, 21))

GIVEN: dict[str, list[dict]] = {
    "highlight": [{"highlight": value} for value in ("2", *(group.example for group in GROUPS.values()))],
    "target": [{"target": "V", "highlight": "lag:0"}],
    "losses": [{"losses": "L20", "highlight": "lag:0"}],
    "detail": [{"detail": "gate"}, {"detail": "op"}],
    "color_by": [{"color_by": name} for name in COLOURINGS],
    "steps": [{"steps": "1..4"}],
    "every": [{"every": 5}],
    "fold": [{"fold": False}],
    "theme": [{"theme": "dark"}],
    "title": [{"title": "a title"}],
    "caption": [{"caption": "a caption"}],
    "parameters": [{"parameters": True}],
    "values": [{"values": True}],
    "engine": [{"engine": "dot"}],
    "animate": [{"animate": True}],
}
"""Option -> what is given to see whether it changes something."""


@pytest.fixture(scope="module")
def written():
    """What is written with some options; of pictures that Graphviz draws what it is given, and who it is."""
    kept: dict[str, object] = {}

    def write(name: str, given: dict) -> object:
        key = f"{name} {given}"
        if key not in kept:
            options = dict(given)
            kept[key] = FORMATS[name].make(view(RUN, options.pop("highlight", None), **options))
        return kept[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(made, "render", lambda source, format, engine, **_: f"{engine} {source}".encode())
        yield write


def test_options_are_all_there():
    assert GIVEN.keys() == {"highlight", *Options.__annotations__} == WHOSE | LOOKS | {"engine", "animate"}
    assert PURPOSES.keys() == GIVEN.keys() - WHOSE
    shared = {"output", "format", "loss", "param", "no_fold"} | (GIVEN.keys() - {"losses", "target", "fold"})
    assert shared <= {param.name for param in render.params}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("option", GIVEN)
def test_an_option_changes_what_is_written_or_is_refused(name, option, written, tmp_path):
    for given in GIVEN[option]:
        if option in FORMATS[name].takes:
            without = {key: value for key, value in given.items() if key != option}
            assert written(name, given) != written(name, without), given
            check(tmp_path / "x", name, given)
        else:
            flag = PURPOSES[option][0]
            with pytest.raises(UnrollvizError) as refused:
                check(tmp_path / "x", name, given)
            said = str(refused.value)
            assert said.startswith(flag) and f"{name} is {FORMATS[name].meaning}" in said
            assert written(name, given) == written(name, {}), f"{given} would work, and need not be refused"
            takers = [other for other, row in FORMATS.items() if option in row.takes]
            assert takers and all(taker in said.rpartition("write ")[2] for taker in takers)


def test_what_is_usual_is_no_option():
    for name in FORMATS:
        honours(name, Options(fold=True, values=False, animate=False, theme=None, engine=None, steps=None))


def test_python_refuses_the_same():
    for call in (Run.draw, Run.page):
        assert "options" in inspect.signature(call).parameters
    with pytest.raises(UnrollvizError, match="--engine chooses the program"):
        RUN.draw(engine="dot")
    with pytest.raises(UnrollvizError, match="--animate makes an SVG"):
        RUN.page(animate=True)


def test_a_png_that_is_too_long_is_refused_before_graphviz_is_started(monkeypatch):
    def started(*_, **__):
        raise AssertionError("started in vain")

    monkeypatch.setattr(made, "render", started)
    run = uz.unroll(uz.Network.init("elman", 1, 1, 1, seed=0), np.ones((450, 1)), [0] * 450)
    with pytest.raises(DrawingFailed, match=r"7\d\d inches long, and a png has room for 683; fold steps"):
        FORMATS["png"].make(view(run, fold=False))
