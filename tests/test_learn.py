"""The lessons: every one to its end, what is said to wrong answers, progress, and the command in a pipe."""

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command import unrollviz

import unrollviz as uz
from unrollviz.cli import cli
from unrollviz.cli.learn import WIDTH, Keeper
from unrollviz.cli.terminal import is_prose, wrapped
from unrollviz.draw.text import ascii_only
from unrollviz.errors import BadFile, UnknownName
from unrollviz.lessons import bugs, highway, progress, spelling, vanishing
from unrollviz.lessons.answers import Choice, Names, Number, Product, Shape
from unrollviz.lessons.engine import BENCH, HELPED, REVEALED, RIGHT, SKIPPED, WORDS, Session, opened, taken
from unrollviz.lessons.steps import Ask, Lesson
from unrollviz.lessons.table import LESSONS, lesson_called

STEPS = {lesson.name: lesson.steps() for lesson in LESSONS}
QUESTIONS = [(name, i, step) for name, steps in STEPS.items() for i, step in enumerate(steps) if isinstance(step, Ask)]
every_lesson = pytest.mark.parametrize(
    "lesson",
    [replace(lesson, steps=lambda name=lesson.name: STEPS[name]) for lesson in LESSONS],
    ids=lambda one: one.name,
)
every_question = pytest.mark.parametrize(
    "question", [q for *_, q in QUESTIONS], ids=[f"{n}-{i}" for n, i, _ in QUESTIONS]
)


def right(question: Ask) -> str:
    """What a person would type who knows."""
    expects = question.expects
    if isinstance(expects, Choice):
        return "abcdef"[expects.right]
    if isinstance(expects, Shape):
        return "x".join(map(str, expects.sizes))
    if isinstance(expects, Product):
        return " * ".join(f"d{a}/d{b}" for a, b in expects.factors)
    return ", ".join(expects.names) if isinstance(expects, Names) else f"{expects.value:.4g}"


def wrong(question: Ask) -> str:
    """An answer that is one, and not right."""
    expects = question.expects
    if isinstance(expects, Choice):
        return "abcdef"[(expects.right + 1) % len(expects.options)]
    if isinstance(expects, Shape):
        return "7x9"
    if isinstance(expects, Product):
        return "ds9/ds8"
    return "x1" if isinstance(expects, Names) else "-12345"


def at(question: Ask) -> Session:
    """A lesson of this question alone."""
    return opened(Lesson("one", "One", "", lambda: (question,), ())).session


def said(turn) -> str:
    return "\n".join(line.text for line in turn.lines)


# ---------------------------------------------------------------------------------------------- taking a lesson


@every_lesson
def test_right_answers_lead_to_the_end(lesson):
    turn = opened(lesson)
    while not turn.session.finished:
        turn = taken(turn.session, right(turn.session.question))
        assert said(turn).startswith("Right.")
    assert {outcome for _, outcome in turn.session.outcomes} == {RIGHT}
    count = len(turn.session.questions)
    assert count >= 4
    assert f"Done: {count} of {count} right at once.\n" in said(turn)


@every_lesson
def test_a_wrong_answer_gets_a_hint_and_a_second_one_the_answer(lesson):
    turn = opened(lesson)
    while not turn.session.finished:
        question, at = turn.session.question, turn.session.at
        first = taken(turn.session, wrong(question))
        assert first.session.at == at
        assert said(first).startswith("Not yet. ") and len(said(first)) > 25
        turn = taken(first.session, wrong(question))
        assert turn.session.at == at + 1
        assert said(turn).startswith("No. ")
        assert f"The answer: {question.expects.shown}. {question.tells}" in said(turn)
    assert {outcome for _, outcome in turn.session.outcomes} == {REVEALED}
    assert "Done: 0 of" in said(turn)


@every_lesson
def test_hint_skip_back_help_and_quit(lesson):
    start = opened(lesson).session
    question = start.question
    hinted = taken(start, "hint")
    assert (said(hinted), hinted.session.at) == (question.hints[0], 0)
    second = taken(hinted.session, "hint")
    assert said(second) == question.hints[1] != question.hints[0]
    assert "no more hints" in said(taken(second.session, "hint"))
    after = said(taken(hinted.session, wrong(question)))
    assert question.hints[0] not in after
    assert "first question" in said(taken(start, "back"))
    skipped = taken(start, "skip")
    assert skipped.session.at == 1
    assert f"The answer: {question.expects.shown}." in said(skipped)
    assert skipped.session.outcomes == ((0, SKIPPED),)
    back = taken(skipped.session, "Back ")
    assert back.session.at == 0
    assert question.asks.splitlines()[0] in said(back)
    assert taken(back.session, right(question)).session.outcomes == ((0, SKIPPED),)
    assert taken(start, "quit").session.left
    assert all(word in said(taken(start, "help")) for word in WORDS)


@pytest.mark.parametrize(
    ("typed", "outcome"),
    [
        (["*"], RIGHT),
        (["no idea", "*"], RIGHT),
        (["hint", "*"], HELPED),
        (["-7", "*"], HELPED),
        (["8", "*"], HELPED),
        (["-7", "-8"], REVEALED),
        (["hint", "skip"], SKIPPED),
        (["-7", "-8", "back", "*"], REVEALED),
        (["hint", "*", "back", "*"], HELPED),
        (["*", "back", "hint", "-7", "*"], RIGHT),
    ],
)
def test_the_score_says_how_a_question_went_and_going_back_does_not_mend_it(typed, outcome):
    question = Ask("How many?", Number(9), ("Some.", "More."), "So many.", ((Number(8), "One more."),))
    session = opened(Lesson("two", "Two", "", lambda: (question, question), ())).session
    for line in typed:
        session = taken(session, line.replace("*", "9")).session
    assert dict(session.outcomes)[0] == outcome
    assert session.at == 1


def test_the_score_in_words():
    question = Ask("How many?", Number(9), ("Some.", "More."), "So many.")
    session = opened(Lesson("four", "Four", "", lambda: (question,) * 4, ())).session
    for line in ("9", "hint", "9", "-1"):
        session = taken(session, line).session
    last = taken(taken(taken(session, "-2").session, "8").session, "9")
    assert "Done: 1 of 4 right at once, 2 after a hint or a second try, 1 shown.\n" in said(last)
    assert "the solution is shown" in said(taken(session.moved(0), "-1"))


@every_question
def test_a_shape_for_a_number_and_a_number_for_a_shape_cost_nothing(question):
    for kind, typed in ((Number, ("(7, 6)", "7 x 6", "7,6", "7 by 6")), (Shape, ("42", "7 * 6 * 2"))):
        if isinstance(question.expects, kind):
            for text in typed:
                whole = isinstance(question.expects, Shape) or question.expects.value == round(question.expects.value)
                if whole:
                    after = taken(at(question), text)
                    assert (after.session.wrong, after.session.outcomes) == (0, ()), text
                    assert after.lines[0].tone == "note"


@every_question
@pytest.mark.parametrize("typed", ["", "   ", "no idea", "??", "\x1b[31m", "9" * 5000, "(" * 5000, "9**9**9**9"])
def test_what_is_no_answer_is_never_right(question, typed):
    assert question.judge(typed).right is not True


@every_question
def test_mistakes_that_are_known_are_mistakes(question):
    for mistake, words in question.mistakes:
        found = question.judge(right(replace(question, expects=mistake)))
        assert (found.right, found.remark) == (False, words)


@every_question
def test_what_is_said_does_not_give_the_answer_away_or_repeat_itself(question):
    if isinstance(question.expects, Names):
        assert not set(question.expects.names) & set(spelling.names(question.expects.judge("").remark))
    for typed in (wrong(question), *(right(replace(question, expects=one)) for one, _ in question.mistakes)):
        sentences = re.split(r"(?<=[.?]) ", said(taken(at(question), typed)))
        assert len(sentences) == len(set(sentences))


@every_question
def test_choices_have_a_word_for_each_option(question):
    if isinstance(question.expects, Choice):
        assert len(question.expects.remarks) in (0, len(question.expects.options))
        for i, option in enumerate(question.expects.options):
            assert question.expects.judge(option).right is (i == question.expects.right)


@every_lesson
@pytest.mark.parametrize("answer", [right, wrong], ids=["right", "wrong"])
def test_what_is_said_fits_the_screen_and_has_an_ascii_form(lesson, answer):
    turn = opened(lesson)
    while True:
        rows = sum(max(1, -(-len(line.text) // (WIDTH - 8))) for line in turn.lines)
        assert rows <= 22, said(turn)
        assert all(len(line.text) <= 79 for line in turn.lines if line.text.startswith("  "))
        assert ascii_only(said(turn)).isascii(), said(turn)
        if turn.session.finished:
            break
        turn = taken(turn.session, answer(turn.session.question))


@pytest.mark.parametrize(
    "command", [command for lesson in LESSONS for command in lesson.tries if "debug" not in command]
)
def test_the_commands_that_go_on_from_a_lesson_work(command):
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0 and done.output


# ---------------------------------------------------------------------------------------------- what is typed


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("40", 40),
        ("forty two", None),
        ("four", 4),
        (" = 40.", 40),
        ("1,000", 1000),
        ("0,00515", 0.00515),
        ("5.15e-3", 0.00515),
        ("0.9^50", 0.9**50),
        ("0.9**50", 0.9**50),
        ("0.9⁵⁰", 0.9**50),
        ("2⁻¹⁰", 2**-10),
        ("5.15 × 10⁻³", 0.00515),
        ("0.5 %", 0.005),
        ("0.5%", 0.005),
        ("0.5 per cent", 0.005),
        ("log(0.01)/log(0.9)", 43.70869065356567),
        ("ln(0.01) / ln(0.9)", 43.70869065356567),
        ("sqrt(2)", 2**0.5),
        ("√2", 2**0.5),
        ("44 steps", 44),
        ("3 x 3", 9),
        ("3 × 3 = 9", 9),
        ("log(-1)", None),
        ("log", None),
        ("exp(10000)", None),
        ("12+9+12+3+4", 40),
        ("4 × 10", 40),
        ("−3", -3),
        ("-0.837", -0.837),
        ("1e999", None),
        ("__import__('os')", None),
        ("'a'*9", None),
        ("1/0", None),
        ("9**9**9**9", None),
        ("True", None),
    ],
)
def test_numbers_as_people_type_them(typed, number):
    found = spelling.number(typed)
    assert (found and found.value) == (None if number is None else pytest.approx(number, rel=1e-14))


@pytest.mark.parametrize(
    ("true", "typed", "right"),
    [
        (-0.837, ["-0.84", "-0.83", "-0.837", "0.163 - 1", "-83.7 %"], True),
        (-0.837, ["-0.85", "-0.82", "-0.8371", "0.84", "0.15 - 1"], False),
        (-0.837, ["-0.8"], None),
        (0.00515377520732, ["0.0052", "0.0051", "5.2e-3", "0,00515", "0.515 %", "0.9⁵⁰", "0.0051537"], True),
        (0.00515377520732, ["0.0053", "0.005152", "0.004", "0", "0.9*50"], False),
        (0.00515377520732, ["0.005", "0.5 %", "5e-3"], None),
        (117.39085, ["117", "120", "117.4", "1.1^50", "117.39"], True),
        (117.39085, ["118", "130", "117.5", "0"], False),
        (40, ["40", "40.0", "4 x 10", "12+9+12+3+4", "forty = 40"], True),
        (40, ["41", "40.4", "39.99"], False),
        (40, ["(4,3)", "4,3", "4 x 3", "[4, 3]", "forty"], None),
        (9, ["3 x 3", "3 × 3", "9"], True),
    ],
)
def test_one_rule_of_rounding_for_all_numbers(true, typed, right):
    assert [Number(true).judge(one).right for one in typed] == [right] * len(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "s4, s3, s2, s1",
        "s_4 s_3 s_2 s_1",
        "s₁ s₂ s₃ s₄",
        "s4 to s1",
        "s1-s4",
        "s1..s4",
        "1 2 3 4",
        "4, 3, 2 and 1",
        "via s4, s3, s2 and s1",
        "s[1] s[2] s[3] s[4]",
        "s_{4}, s_{3}, s_{2}, s_{1}",
    ],
)
def test_states_as_people_type_them(typed):
    assert sorted(spelling.names(typed, "s")) == ["s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(
    "typed",
    [
        "L4 yhat4 s4 s3 W",
        "L₄ → ŷ₄ → s₄ → s₃ → W",
        "l4, y4, s4, s3, w",
        "L_4 -> y_hat_4 -> s_4 -> s_3 -> W",
        r"L4 \hat{y}_4 s4 s3 W",
        "L4-ŷ4-s4-s3-W",
    ],
)
def test_a_path_as_people_type_it(typed):
    path = Names(("L4", "yhat4", "s4", "s3", "W"), ordered=True)
    assert path.judge(typed).right is True
    assert path.judge("W, s3, s4, yhat4, L4").right is True
    assert path.judge("L4 s4 yhat4 s3 W").right is False


@pytest.mark.parametrize(
    "typed", ["ds3/ds2 * ds2/ds1", "∂s₃/∂s₂ · ∂s₂/∂s₁", "∂s_3/∂s_2 ∂s_2/∂s_1", "(ds3 / ds2)(ds2 / ds1)"]
)
def test_products_as_people_type_them(typed):
    product = Product((("s3", "s2"), ("s2", "s1")))
    assert product.judge(typed).right is True
    assert "order" in product.judge("ds2/ds1 * ds3/ds2").remark


@pytest.mark.parametrize("typed", ["3x4", "3 × 4", "(3, 4)", "3 by 4", "d x n", "d × n"])
def test_shapes_as_people_type_them(typed):
    assert Shape((3, 4), ("d", "n")).judge(typed).right is True
    assert Shape((4, 3), ("k", "d")).judge(typed).right is False
    assert Shape((3, 4), ("d", "n")).judge(f"{typed} = 12").right is True


@pytest.mark.parametrize("typed", ["b", "B", "b)", "(b)", "exploding", "explod", "loding", "b) exploding"])
def test_choices_as_people_type_them(typed):
    assert Choice(("vanishing", "exploding", "both"), 1).judge(typed).right is True


@pytest.mark.parametrize(
    ("options", "typed", "chosen"),
    [
        (("the identity matrix, I", "the zero matrix, 0", "W"), ["1", "I", "the identity matrix", "identity"], 0),
        (("the identity matrix, I", "the zero matrix, 0", "W"), ["2", "0", "zero"], 1),
        (("the identity matrix, I", "the zero matrix, 0", "W"), ["matrix", "4", "the", ""], None),
        (("3 times", "70 times", "5,000 times"), ["5000", "5,000", "5,000 times", "c"], 2),
        (("3 times", "70 times", "5,000 times"), ["3", "times", "7"], None),
        (("via s₄", "via s₃"), ["s3", "s_3", "2"], 1),
        (("via s₂", "via s₁"), ["1", "2"], None),
        (("in time", "s_k for s_(k-1)"), ["1", "a"], 0),
    ],
)
def test_choices_by_letter_number_or_words_and_never_where_two_could_be_meant(options, typed, chosen):
    for one in typed:
        found = [Choice(options, i).judge(one).right for i in range(len(options))]
        assert found == ([None] * len(options) if chosen is None else [i == chosen for i in range(len(options))]), one


def test_names_of_nodes_that_there_are_not_cost_nothing():
    states = Names(("s4", "s3"), stem="s", among=frozenset({"s4", "s3", "s2"}))
    assert (states.judge("16").right, states.judge("16").remark) == (None, "There is no s₁₆ in this network.")
    assert states.judge("s2").right is False


# --------------------------------------------------------------------------------- the figures, by another way


def test_vanishing_and_exploding_are_what_the_article_says():
    assert vanishing.left_after(vanishing.one_unit(0.9), 50) == pytest.approx(0.9**50, rel=1e-12)
    assert vanishing.left_after(vanishing.one_unit(1.1), 50) == pytest.approx(1.1**50, rel=1e-12)
    answers = [step.expects.shown for step in STEPS["vanishing"] if isinstance(step, Ask)]
    assert answers[:3] == ["0.00515", "117.39", "44"]


def test_the_answers_follow_from_the_articles_network():
    shown = {name: [step.expects.shown for step in steps if isinstance(step, Ask)] for name, steps in STEPS.items()}
    assert shown["count"] == ["d × n = 3 × 4", "9", "k × d = 4 × 3", "40", "40", str(4 * (12 + 9 + 3) + 12 + 4)]
    assert shown["readout"][:3] == ["1", "L₃ → ŷ₃ → V", "s₃"]
    assert shown["paths"][:4] == ["s₄, s₃, s₂, s₁", "4", "L₄ → ŷ₄ → s₄ → s₃ → s₂ → W", "3"]
    assert shown["paths"][5:] == ["5", "15", "55"]
    assert shown["product"][:2] == ["∂s₄/∂s₃ · ∂s₃/∂s₂ · ∂s₂/∂s₁", "4"]
    assert [answer[0] for answer in shown["product"][2:]] == ["b", "b", "c", "a"]
    assert [answer[0] for answer in shown["highway"] if ")" in answer] == ["b", "b", "c", "c", "a"]
    assert [answer[3:] or answer for answer in shown["bug"]] == [
        "the product is in the wrong order",
        "2",
        "the longest path is forgotten",
        "→ s₁",
        "W is transposed in the Jacobians",
    ]


def test_the_planted_bugs_are_bugs_and_without_them_it_is_right():
    run = uz.article()
    good = bugs.Bug("none", "")
    assert bugs.differing(run, good) == []
    np.testing.assert_allclose(sum(good.terms(run).values()), run.gradient("W", "L4"), atol=1e-14)
    assert [bugs.differing(run, bug) for bug in bugs.BUGS] == [[3], [1, 2, 3], [2, 3], [2, 3], [1, 2, 3], [0, 1, 2, 3]]
    terms = {bug.name: bug.terms(run) for bug in bugs.BUGS}
    assert [len(one) for one in terms.values()] == [3, 4, 4, 2, 4, 4]  # what is not there is shown as 0


def test_the_planted_bugs_cannot_be_told_by_elimination():
    cases = [step for step in STEPS["bug"] if isinstance(step, Ask) and isinstance(step.expects, Choice)]
    orders = [case.expects.options for case in cases]
    assert len(cases) == 3 and len(set(orders)) == 3
    assert all(sorted(order) == sorted(bug.name for bug in bugs.BUGS) for order in orders)
    assert len(bugs.BUGS) >= 2 * len(cases)
    assert len({case.expects.right for case in cases}) > 1


def test_the_jacobian_by_hand_tells_a_transposed_w_from_a_missing_slope():
    run = uz.article()
    W = run.network.params["W"]
    for bug, shown in ((bugs.TRANSPOSED, None), (bugs.LINEAR, W)):
        lines = bugs.tools(bug)[1].says(bugs.bench())
        entries = [float(line.split("⎡")[2].split()[0]) for line in lines if line.count("⎡") == 2]
        slope = 1 - run.graph.nodes["s4"]["value"][0, 0] ** 2
        assert entries[0] == pytest.approx(slope * W[0, 0] if shown is None else W[0, 0], abs=1e-4)


def test_the_bench_is_the_debugger_and_new_for_every_question():
    lesson = lesson_called("bug")
    session = opened(lesson).session.moved(3)
    assert "Prove it" in session.question.asks
    assert said(taken(session, "compare")).splitlines()[-1].split()[-1] == "0.0135"
    cut = taken(session, "cut s2 -> s1")
    assert "1 path has vanished:" in said(cut) and "norm of ∂L₄/∂W" in said(cut)
    assert said(taken(cut.session, "undo")).split("\n")[0].strip() == "taken back: cut s2 -> s1"
    for now in (session, cut.session):
        assert "known" not in said(taken(now, "print s3")) + said(taken(now, "print W.grad"))
        assert "yet" not in said(taken(now, "info s3")) + said(taken(now, "info W"))
    stepped = taken(session, "next")
    assert (stepped.session, stepped.lines[0].tone) == (session, "note") and "unrollviz debug" in said(stepped)
    assert said(taken(cut.session, "compare")).splitlines()[-1].split()[-1] == "0.0000"
    assert "did you mean" in said(taken(session, "cut s2 -> s11"))
    on = taken(taken(cut.session, "skip").session, "back").session
    assert said(taken(on, "compare")).splitlines()[-1].split()[-1] == "0.0135"
    assert all(name in said(taken(session, "help")) for name in ("compare", "jacobian", *BENCH))
    assert taken(opened(lesson_called("count")).session, "paths").lines[0].tone == "note"


def test_the_forget_bias_opens_the_gates():
    assert highway.mean_forget(highway.network_run("lstm")) == pytest.approx(0.5, abs=0.05)
    assert highway.mean_forget(highway.network_run("lstm", 2.0)) > 0.8


# ---------------------------------------------------------------------------------- lines on a terminal


def test_lines_break_between_words_and_not_within_formulas():
    line = "Its chain rule for v goes from the loss back, over what it says: ∂L/∂v = ∂L/∂ŷ · ∂ŷ/∂v, and no more."
    for width in range(50, 90):
        parts = wrapped(line, width)
        assert " ".join(parts) == line
        assert max(map(len, parts)) <= width
        assert any("∂L/∂v = ∂L/∂ŷ · ∂ŷ/∂v" in part for part in parts)
    assert next(map(len, wrapped("a = b + " * 30 + "c", 40))) > 30
    assert wrapped("  unrollviz flow " + "x " * 40, 60, "    ")[1].startswith("      x")


def test_prose_is_told_from_tables():
    run = uz.article()
    tables = [*opened_table(run), *(f"  {line}" for line in opened_table(run))]
    assert not any(map(is_prose, tables))
    assert not is_prose("\x1b[1mThis is a line in bold\x1b[0m")
    assert not is_prose("⎡-0.5434 -0.1568 of the same kind ⎤")
    assert is_prose("1 path leads from L₃ back to V: a feed-forward chain, as in a network with one hidden layer.")


def opened_table(run) -> list[str]:
    return bugs.tools(bugs.FORGOTTEN)[0].says(bugs.bench()) + run.explain("L4", "W").splitlines()[-12:-2]


def test_on_a_terminal_long_lines_wrap_at_words_and_in_a_pipe_they_do_not():
    piped = unrollviz("explain", "L3", "V").stdout
    assert max(map(len, piped.splitlines())) > 80
    shown = at_terminal(Path(), ["L3", "V"], [], command="explain").stdout.replace("\r\n", "\n")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.split() == piped.split()


# ------------------------------------------------------------------------------------------------- progress


def test_progress_is_kept_and_taken_up_again(tmp_path):
    lesson = lesson_called("count")
    session = taken(taken(opened(lesson).session, "3x4").session, "skip").session
    path = tmp_path / "deep" / "lessons.json"
    progress.write(path, {"count": progress.Kept().after(session)})
    kept = progress.read(path)["count"]
    assert kept == progress.Kept(2, False, ((0, RIGHT), (1, SKIPPED)))
    done = session
    while not done.finished:
        done = taken(done, right(done.question)).session
    assert kept.after(done) == progress.Kept(0, True, done.outcomes, (5, 6))
    assert progress.Kept(0, True, (), (6, 6)).after(done).best == (6, 6)
    assert progress.Kept(0, True, (), (6, 6)).after(session).best == (6, 6)
    again = opened(lesson, kept.at, kept.outcomes).session
    assert (again.at, again.outcomes) == (2, kept.outcomes)
    assert opened(lesson, 99, ((0, RIGHT),)).session.outcomes == ()
    assert [file.name for file in path.parent.iterdir()] == ["lessons.json"]


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"lessons": 3}',
    b'{"lessons": {"count": 1}}',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"lessons": {"count": {"at": -1, "finished": false, "outcomes": {}}}}',
    b'{"lessons": {"count": {"at": true, "finished": false, "outcomes": {}}}}',
    b'{"lessons": {"count": {"at": 1, "finished": false, "outcomes": {"0": "\\u001b[2J"}}}}',
    b'{"lessons": {"count": {"at": 1, "finished": false, "outcomes": {}, "best": 3}}}',
    b'{"lessons": {"count": {"at": 1, "finished": false, "outcomes": {}, "best": [7, 6]}}}',
    b'{"lessons": {"count": {"at": 1, "finished": false, "outcomes": {"x": "right"}}}}',
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_broken_progress_is_an_error_that_names_the_file(tmp_path, data):
    path = tmp_path / "lessons.json"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"lessons\.json: is not the progress"):
        progress.read(path)


def test_unknown_lessons_name_the_nearest():
    assert lesson_called("3") is lesson_called("paths") is LESSONS[2]
    with pytest.raises(UnknownName, match="vanishing"):
        lesson_called("vanish")


# ------------------------------------------------------------------------------------------------ the command


def learn(tmp_path, *arguments: str, answers: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return unrollviz("learn", *arguments, given=answers, XDG_STATE_HOME=str(tmp_path), **environment)


def test_a_lesson_as_a_script(tmp_path):
    answers = "".join(f"{right(step)}\n" for step in STEPS["paths"] if isinstance(step, Ask))
    done = learn(tmp_path, "3", answers=answers)
    assert (done.returncode, done.stderr) == (0, "")
    assert "> s4, s3, s2, s1\nRight." in done.stdout
    assert "Done: 8 of 8 right at once." in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    left = learn(tmp_path, "count", answers="3 x 4\nquit\n9\n")
    assert left.returncode == 1
    assert "> quit" in left.stdout and "> 9" not in left.stdout
    early = learn(tmp_path, "count", answers="3 x 4\n\x1b[2J\u202e\nhm", PYTHONIOENCODING="ascii:replace")
    assert early.returncode == 1
    assert early.stdout.isascii() and "\x1b" not in early.stdout
    assert list(tmp_path.iterdir()) == []  # a script keeps no progress, and breaks none


def kept_in(folder: Path, **lessons: progress.Kept) -> Path:
    path = folder / "unrollviz" / "lessons.json"
    progress.write(path, lessons)
    return path


def test_the_list_says_how_far_one_has_come_and_fits_80_columns(tmp_path):
    done, under_way = progress.Kept(0, True, ((0, RIGHT),), (5, 6)), progress.Kept(3, True, (), (6, 6))
    kept_in(tmp_path, count=done, readout=under_way, paths=progress.Kept(1), product=progress.Kept(0, True))
    lines = learn(tmp_path).stdout.splitlines()
    assert lines == learn(tmp_path, "--list").stdout.splitlines()
    assert max(map(len, lines)) < 80
    ends = [re.split(r"  +", line)[3:] for line in lines[2:9]]
    assert ends == [["✓ 5 of 6"], ["✓ 6 of 6", "question 4"], ["question 2"], ["✓"], [], [], []]
    assert lines[-1].endswith("unrollviz learn goes on with 3 (paths).")
    kept_in(tmp_path, **{lesson.name: done for lesson in LESSONS})
    assert "All are finished" in learn(tmp_path).stdout
    kept_in(tmp_path)
    assert learn(tmp_path).stdout.splitlines()[-1] == "unrollviz learn begins 1 (count)."


def test_progress_is_not_forgotten_unasked(tmp_path):
    path = kept_in(tmp_path, count=progress.Kept(0, True))
    refused = learn(tmp_path, "--restart")
    assert (refused.returncode, refused.stdout) == (2, "") and "--yes" in refused.stderr
    assert "Nothing is forgotten." in at_terminal(tmp_path, ["--restart"], [b"n\n"], prompt=r"\]: $").stdout
    assert set(progress.read(path)) == {"count"}
    assert "All progress is forgotten." in at_terminal(tmp_path, ["--restart"], [b"y\n"], prompt=r"\]: $").stdout
    assert progress.read(path) == {}
    kept_in(tmp_path, count=progress.Kept(0, True))
    assert learn(tmp_path, "--restart", "--yes").stdout == "All progress is forgotten.\n"
    assert progress.read(path) == {}
    for odd in (("count", "--yes"), ("--yes",), ("count", "--restart", "--yes")):
        assert learn(tmp_path, *odd).returncode == 2


def test_progress_that_cannot_be_read_or_kept_is_said_once(tmp_path):
    folder = tmp_path / "unrollviz"
    folder.mkdir()
    (folder / "lessons.json").write_text("{nonsense")
    done = at_terminal(tmp_path, ["count"], [b"skip\n"] * 6)
    assert done.returncode == 0
    assert done.stdout.count("progress begins anew") == 1
    assert "✓ 0 of 6" in learn(tmp_path, "--list").stdout
    (tmp_path / "file").write_text("")
    done = at_terminal(tmp_path / "file", ["count"], [b"skip\n"] * 6)
    assert done.returncode == 0
    assert done.stdout.count("progress is not kept") == 1


def test_the_guide_shows_what_a_script_gets(tmp_path):
    guide = (Path(__file__).parent.parent / "docs" / "lessons.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```sh\nprintf '(.*)' \| unrollviz learn (\w+)\n```", guide)
    (shown,) = re.findall(r"```text\n(.*?)```", guide, re.DOTALL)
    done = learn(tmp_path, script[1], answers=script[0].replace(r"\n", "\n"))
    assert done.returncode == 0
    assert shown in done.stdout
    (listed,) = re.findall(r"```console\n\$ unrollviz learn --list\n(.*?)```", guide, re.DOTALL)
    assert learn(tmp_path, "--list").stdout == listed


def test_answers_that_are_none_are_no_traceback(tmp_path):
    command = [sys.executable, "-m", "unrollviz", "learn", "count"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, input=b"\xff\xfe\n", capture_output=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(b"unrollviz: error: -: is not UTF-8 text") and done.stderr.count(b"\n") == 1
    closed = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *command], capture_output=True, env=environment, timeout=120)
    assert (closed.returncode, closed.stderr) == (1, b"")


def test_two_terminals_keep_each_other_s_progress(tmp_path):
    path = tmp_path / "lessons.json"
    session = taken(opened(lesson_called("count")).session, "skip").session
    one, other = Keeper(path), Keeper(path)
    one.keep(lesson_called("count"), progress.Kept(), session)
    other.keep(lesson_called("paths"), progress.Kept(), session)
    assert set(progress.read(path)) == {"count", "paths"}


def test_an_unknown_lesson_is_one_line_and_exit_2(tmp_path):
    done = learn(tmp_path, "hihgway")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean" in done.stderr and "highway" in done.stderr


def test_at_a_terminal_it_is_coloured_goes_on_where_it_was_and_control_c_leaves_it(tmp_path):
    shown = at_terminal(tmp_path, ["count"], [b"3x4\n", b"\x03"])
    assert "\x1b[32mRight." in shown.stdout and "goes on with: unrollviz learn count" in shown.stdout
    assert (shown.returncode, "Traceback" in shown.stdout) == (1, False)
    again = at_terminal(tmp_path, [], [b"\x04"], NO_COLOR="1")
    assert "Question 2 of 6" in again.stdout and "Question 1 of 6" not in again.stdout
    assert "Lesson 1 of 7: Count the parameters" in again.stdout and "a second one shows" in again.stdout
    assert not re.search(r"\x1b\[\d*m", again.stdout)
    anew = at_terminal(tmp_path, ["count", "--restart"], [b"quit\n"])
    assert "Question 1 of 6" in anew.stdout


def at_terminal(
    tmp_path, arguments, keys, prompt=r"> [^\n]*$", command="learn", **environment
) -> subprocess.CompletedProcess[str]:
    """The command at a terminal of 80 columns; each of `keys` is pressed when a prompt stands.

    Ctrl-C is pressed again where nothing comes of it: Python's readline heeds a signal that arrives between its prompt
    and its wait for keys only at the next key."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(
            {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
        )
        os.environ.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
        os.execv(sys.executable, [sys.executable, "-m", "unrollviz", command, *arguments])
    shown, pressed, end = "", b"", time.monotonic() + 60
    try:
        while time.monotonic() < end:
            try:
                if not select.select([terminal], [], [], 1.0)[0]:
                    if pressed == b"\x03":
                        os.write(terminal, pressed)
                    continue
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data.decode(errors="replace")
            if keys and re.search(prompt, shown):
                pressed = keys.pop(0)
                os.write(terminal, pressed)
                shown += "\n"
        assert time.monotonic() < end, shown
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    return subprocess.CompletedProcess(arguments, code, shown, "")


@pytest.mark.parametrize("typed", ["0e400", "1e-400", "5e-324", "0.0e-400", "1e-310%", "9e400", "1;2", "1\n2"])
def test_numbers_beyond_all_numbers_are_wrong_and_no_crash(typed):
    assert Number(0.163).judge(typed).right is not True
    assert Number(1).judge(typed).right is not True
