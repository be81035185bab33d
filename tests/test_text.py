"""Numbers as they are written for reading, also where no float64 holds them."""

import math

import pytest

from unrollviz.diagnosis.evidence import power_of_ten
from unrollviz.draw.text import magnitude, number, percent
from unrollviz.magnitudes import scientific
from unrollviz.tui.numbers import figure


@pytest.mark.parametrize(
    ("log10", "wanted"),
    [
        (-340.5, "3.162e-341"),
        (-340.0, "1.000e-340"),
        (-340.00001, "1.000e-340"),
        (-340.001, "9.977e-341"),
        (340.99999, "1.000e+341"),
        (5.0, "1.000e+05"),
        (-123456.5, "3.162e-123457"),
    ],
)
def test_a_number_by_its_logarithm(log10, wanted):
    assert scientific(log10) == wanted


@pytest.mark.parametrize("log10", [-5.25, -4.000001, 0.0, 0.99999, 7.123])
@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_it_is_written_as_python_writes_a_float(log10, decimals):
    assert scientific(log10, decimals) == f"{10**log10:.{decimals}e}"


def test_rounding_carries_to_the_next_power_of_ten_wherever_one_is_written():
    assert magnitude(0.0, -340.00001) == "1.000e-340"
    assert figure(0.0, -340.001) == "1.0e-340"
    assert power_of_ten(-340.0001 * math.log(10)) == "1.00e-340"
    assert power_of_ten(340.9999 * math.log(10)) == "1.00e+341"


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (0.8312, "+83.1 %"),
        (-0.0, "+0.0 %"),
        (-1e-5, "-0.001 %"),
        (math.nan, "–"),
        (-999.99, "-99999.0 %"),
        (1000.0, "+1.00e+05 %"),
        (-2028018302444.405, "-2.03e+14 %"),
    ],
)
def test_a_share_has_no_more_digits_than_say_something(share, wanted):
    assert percent(share) == wanted


def test_zero_has_no_sign():
    assert number(-0.0) == number(0.0) == "0.0000"
