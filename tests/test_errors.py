"""Unknown names: the nearest one, and the choices."""

import pytest

from unrollviz.errors import UnknownName, listed, nearest_name

LOSSES = [f"L{t}" for t in range(1, 41)]


@pytest.mark.parametrize(
    ("name", "choices", "nearest"),
    [
        ("L41", LOSSES, "L40"),
        ("l50", LOSSES, "L40"),
        ("s33", ["s1", "s2", "s3", "s4", "s5"], "s3"),
        ("L0", LOSSES, "L1"),
        ("L12", LOSSES, "L12"),
        ("l2.s9", ["l1.s1", "l1.s2", "l2.s1", "l2.s2"], "l2.s2"),
        ("lags", ["lag", "loss"], "lag"),
        ("s3", ["W", "V", "s"], "s"),
        ("12", ["W", "V"], None),
    ],
)
def test_the_nearest_in_a_series_is_the_nearest_number(name, choices, nearest):
    assert nearest_name(name, choices) == nearest


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (LOSSES, "L1 … L40"),
        (["W", *LOSSES, "V"], "W, L1 … L40, V"),
        (["c", "c0", "c1", "c2", "c3", "L1", "L2"], "c, c0 … c3, L1, L2"),
        (["L3", "L7", "L9", "L10"], "L3, L7, L9, L10"),
        (["x1", "s1", "x2", "s2", "x3", "s3", "x4", "s4"], "x1 … x4, s1 … s4"),
        (["a01", "a1", "a2", "a3"], "a01, a1, a2, a3"),
        (
            [f"name {letter}" for letter in "abcdefghijklmnopqr"],
            ", ".join(f"name {x}" for x in "abcdefghijklmnop") + ", …",
        ),
        ([], ""),
    ],
)
def test_a_series_is_listed_by_its_ends(names, said):
    assert listed(names) == said


def test_what_more_is_known_stands_in_place_of_the_choices():
    assert str(UnknownName("parameter", "w", ["W"], "ask elsewhere")) == "unknown parameter 'w'; ask elsewhere"
