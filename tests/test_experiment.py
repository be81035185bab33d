"""Experiments in .toml files: what they say is taken as it is said, and mistakes are named with the nearest key."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.names import clean
from unrollviz.readers.experiment import (
    DEPTH_LIMIT,
    KEY_PARTS_LIMIT,
    SIZE_LIMIT,
    DataPart,
    Experiment,
    LossPart,
    ModelPart,
    check_nesting,
    read,
)

FULL = """
seed = 7

[model]
cell = "lstm"      # one of the table
inputs = 4
hidden = 3
outputs = 5
layers = 2
bidirectional = true
init = "xavier"
learn_initial = false
activation = "tanh"

[data]
file = "sequences/seq.npz"

[loss]
kind = "squared_error"
readout = "last"
reduction = "mean"
"""


@pytest.fixture
def reading(tmp_path):
    def reading(text):
        path = tmp_path / "e.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path)

    return reading


def refused(reading, tmp_path, text, said):
    with pytest.raises(BadFile) as caught:
        reading(text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'e.toml'}: ")
    assert clean(message, limit=10_000) == message
    assert said in message


def test_every_key(reading, tmp_path):
    model = ModelPart(
        cell="lstm",
        inputs=4,
        hidden=3,
        outputs=5,
        layers=2,
        bidirectional=True,
        init="xavier",
        learn_initial=False,
        activation="tanh",
    )
    data = DataPart(file=tmp_path / "sequences" / "seq.npz")
    assert reading(FULL) == Experiment(model, data, LossPart("squared_error", "last", "mean"), 7)


def test_a_file_of_weights_relative_to_the_experiment(reading, tmp_path):
    said = reading(
        '[model]\nfile = "../m.pt"\nreadout = "fc"\nrnn = "enc"\nactivation = "relu"\n[data]\ntext = "hello"\n'
    )
    assert said.model == ModelPart(file=tmp_path / "../m.pt", readout="fc", rnn="enc", activation="relu")
    assert said.data.text == "hello"
    assert reading('[model]\nfile = "/else/where.npz"').model.file.as_posix() == "/else/where.npz"


def test_paths_do_not_depend_on_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "e.toml").write_text('[data]\ntext_file = "t.txt"')
    monkeypatch.chdir(tmp_path)
    assert read("a/e.toml").data.text_file == tmp_path / "a" / "t.txt"


def test_what_is_left_out_has_defaults(reading):
    assert reading("") == Experiment(ModelPart(), DataPart(), LossPart("cross_entropy", "every", "sum"), 0)
    assert reading("[data]\nsteps = 12").data == DataPart(steps=12)


MISTAKES = {
    "[model]\nhiden = 3": "[model] hiden: did you mean hidden? choose from file, readout",
    "[data]\ntekst = 'a'": "[data] tekst: did you mean text?",
    "[loss]\nxyz = 1": "[loss] xyz: there is no such key; choose from kind, readout, reduction",
    "[modle]\n": "modle: did you mean model? choose from model, data, loss, seed",
    "sed = 3": "sed: did you mean seed?",
    "model = 'm.pt'": "model: give a table, [model]",
    "[[model]]\ncell = 'gru'": "model: give a table, [model]",
    "seed = -1": "seed: give a whole number of at least 0",
    "seed = true": "seed: give a whole number",
    "seed = 1.0": "seed: give a whole number",
    "[model]\nhidden = '3'": "[model] hidden: give a whole number",
    "[model]\nhidden = true": "[model] hidden: give a whole number",
    "[model]\nhidden = 3.0": "[model] hidden: give a whole number",
    "[model]\nhidden = 0": "[model] hidden: give a whole number from 1 to 1,000,000",
    "[model]\nhidden = 99999999999999999999999": "[model] hidden: give a whole number from 1 to 1,000,000",
    "[model]\nbidirectional = 1": "[model] bidirectional: give true or false",
    "[model]\ncell = ['gru']": "[model] cell: give a text in quotes",
    "[model]\nfile = 3": "[model] file: give the name of a file in quotes",
    "[model]\ncell = 'lstn'": "[model] cell: unknown cell 'lstn'; did you mean lstm?",
    "[model]\nactivation = 'gelu'": "[model] activation: unknown activation 'gelu'",
    "[model]\ninit = 'x'": "choose one of uniform, xavier, orthogonal, identity",
    "[loss]\nkind = 'mse'": "choose one of cross_entropy, binary_cross_entropy, squared_error",
    "[loss]\nreadout = 'first'": "choose one of every, last",
    "[loss]\nreduction = 'avg'": "choose one of sum, mean",
    "[model]\nfile = 'm.pt'\ncell = 'gru'": "[model] cell: is said by the file",
    "[model]\nreadout = 'fc'": "[model] readout: chooses among what a file holds; give file too",
    "[data]\ntext = 'ab'\nsteps = 3": "[data] text and steps: both say what the sequence is",
    "[model]\nhidden = 1\nhidden = 2": "is not valid TOML: Cannot overwrite a value",
    "[model]\n[model]\n": "is not valid TOML: Cannot declare",
    "[model": "is not valid TOML",
    "[data]\ntext = 'a": "is not valid TOML",
    "'a\\u001b' = 1": "a\\u001b: ",
    '"a\\u001b]52;c;x" = 1': "a<1B>]52;c;x: there is no such key",
    '[model]\ncell = "a\\u001b\\u202e"': "unknown cell 'a<1B><202E>'",
    "a = \x1b": "is not valid TOML",
    "[model]\nhidden = nan": "[model] hidden: give a whole number",
    '[data]\ntext = "\\ud800"': "is not valid TOML",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(reading, tmp_path, text):
    refused(reading, tmp_path, text, MISTAKES[text])


def test_files_that_are_none(reading, tmp_path):
    refused(reading, tmp_path, b"\xff\xfe", "is not UTF-8 text (byte 0)")
    refused(reading, tmp_path, "#" * (SIZE_LIMIT + 1), "more than the limit of 1,048,576")
    reading("#" * SIZE_LIMIT)
    for path, said in ((tmp_path / "none.toml", "cannot be read"), (tmp_path, "is not a file")):
        with pytest.raises(BadFile, match=said):
            read(path)


TOO_DEEP = {
    "lists": "a = " + "[" * (DEPTH_LIMIT + 1),
    "tables": "a = " + "{a = " * (DEPTH_LIMIT + 1),
    "a key": ".".join("a" * (KEY_PARTS_LIMIT + 1)) + " = 1",
    "a heading": f"[{'.'.join('a' * (KEY_PARTS_LIMIT + 1))}]",
    "quoted parts": ".".join(["'a'", '"b"'] * KEY_PARTS_LIMIT) + " = 1",
    "parts with blanks": " . ".join("a" * (KEY_PARTS_LIMIT + 1)) + " = 1",
    "a key in a table": f"a = {{b = 1, {'.'.join('a' * (KEY_PARTS_LIMIT + 1))} = 1}}",
    "behind a string": 'x = """a"""\n' + ".".join("a" * (KEY_PARTS_LIMIT + 1)) + " = 1",
    "behind a quote in a comment": "# don't\n" + ".".join("a" * (KEY_PARTS_LIMIT + 1)) + " = 1",
    "behind an escaped quote": '"a\\"" = 1\n' + ".".join("a" * (KEY_PARTS_LIMIT + 1)) + " = 1",
    "a megabyte": "a" + ".a" * (SIZE_LIMIT // 2 - 3) + "=1",
    "a megabyte of lists": "a=" + "[" * (SIZE_LIMIT - 2),
}


@pytest.mark.parametrize("what", TOO_DEEP)
def test_depth_is_found_before_it_is_parsed(reading, tmp_path, what):
    refused(reading, tmp_path, TOO_DEEP[what], "is nested too deep")


@pytest.mark.parametrize(
    "text",
    [
        "[data]\ntext = '" + "[{." * 999 + "'",
        '[data]\ntext = "' + '\\"[{.' * 999 + '"',
        '[data]\ntext = """' + '[{."\n' * 999 + '"""',
        "[data]\ntext = '''" + "[{.'\n" * 999 + "'''",
        "# " + "[{." * 999,
        "seed = 1\n" + "# a.b\n" * 999,
    ],
)
def test_marks_in_strings_and_comments_are_only_text(reading, text):
    reading(text)


def test_strings_left_open_are_not_scanned_twice(reading, tmp_path):
    """Half a million of them would take minutes."""
    for text in ('"\\' * 500_000, "'a\\" * 300_000, '"""\\' * 250_000, "'''a" * 250_000, '"""' + "\\" * 1_000_000):
        refused(reading, tmp_path, text, "")


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="[]{}.=,'\"\\#\nab1 ", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("e") / "e.toml"
    path.write_text(text)
    try:
        read(path)
    except BadFile as error:
        assert str(error).startswith(f"{path}: ")


def test_a_damaged_experiment_is_read_or_refused(reading):
    rng = random.Random(0)
    refusals = 0
    for _ in range(400):
        data = bytearray(FULL.encode())
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            reading(bytes(data))
        except BadFile:
            refusals += 1
    assert refusals > 200


def test_nesting_that_is_allowed():
    check_nesting("a = " + "[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT + "\n" + ".".join("a" * KEY_PARTS_LIMIT) + " = 1.5")
    with pytest.raises(UnrollvizError, match="64 levels"):
        check_nesting("[" * (DEPTH_LIMIT + 1))
