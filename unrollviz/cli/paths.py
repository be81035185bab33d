"""unrollviz paths: single paths and what they contribute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from unrollviz.allowance import memory_allowed
from unrollviz.cli.model import build
from unrollviz.cli.options import (
    ROWS,
    Name,
    json_option,
    limit_options,
    loss_option,
    model_options,
    param_option,
    unit_detail_option,
)
from unrollviz.cli.proposals import completed
from unrollviz.cli.rows import check_rows, rows_option, write_rows
from unrollviz.cli.terminal import progress, say, say_json
from unrollviz.errors import UnrollvizError

if TYPE_CHECKING:
    from unrollviz.api import Run
    from unrollviz.paths.pathset import Heaviest, Path, PathSet
    from unrollviz.paths.units import UnitPaths

LISTING_LIMIT = 2**28
"""Bytes that the nodes of all listed paths may take."""


@click.command(short_help="Every path from a loss back to a parameter: norm and share.")
@loss_option
@param_option
@unit_detail_option
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="List the first N paths.  [default: 40; all in JSON]"
)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help="List the N heaviest paths instead, of however many."
)
@click.option(
    "--by", type=Name(lambda: ("norm", "share")), help="What --top weighs them by: norm or share.  [default: norm]"
)
@click.option(
    "--budget",
    type=click.IntRange(min=0),
    metavar="N",
    help="Partial paths that --top looks at before it completes a few more and gives the best found, and a bound.  "
    "[default: 200000]",
)
@click.option(
    "--entry", metavar="A..B", help="Only paths that enter the parameter at these steps: the early ones have long lags."
)
@click.option("--terms", is_flag=True, help="In JSON: every term in full.")
@rows_option
@limit_options
@model_options
@json_option
def paths(
    loss: str | None,
    param: str | None,
    detail: str,
    limit: int | None,
    top: int | None,
    by: str | None,
    budget: int | None,
    entry: str | None,
    terms: bool,
    output: str | None,
    as_json: bool,
    **model: Any,
) -> None:
    """Every path from a loss back to a parameter: where it enters, its norm, its share.

    The share is ⟨term, G⟩/⟨G, G⟩, G being the sum of all paths asked for: signed, and 100 % in all. A path's lag is the
    number of steps between its loss and the step at which it enters the parameter.

    \b
      unrollviz paths --loss L4 --param W
      unrollviz paths --cell lstm --steps 100 --top 12
      unrollviz paths --cell lstm --steps 100 --loss L100 --entry 1..50 --top 12
      unrollviz paths --loss L4 --param "W[0,2]" --detail unit
      unrollviz paths --loss L4 -o paths.csv
    """
    from unrollviz.report.paths import paths_table

    to_file = check_rows(output, as_json)
    if detail == "unit":
        _refuse_at_unit(limit, budget, terms)
        run = build(**model)
        units = run.paths(loss, param or run.recurrent_weight, detail="unit", entry=entry)
        answer = _units(units, ROWS if top is None else top, by or "norm")
    else:
        _refuse_idle(limit, top, by, budget, terms, as_json or (to_file and str(output).lower().endswith(".json")))
        run = build(**model)
        found = run.paths(loss, param or run.recurrent_weight, detail=detail, entry=entry)
        if top is not None:
            answer = _weighed(found, top, by or "norm", budget, terms)
        else:
            answer = _listed(run, found, limit, terms, whole=to_file or as_json)
    if to_file:
        report = answer.report()
        write_rows(str(output), report, paths_table(report))
    elif as_json:
        say_json(answer.report())
    else:
        say(map(completed, answer.text()))


@dataclass(frozen=True)
class _Answer:
    """The same paths as a JSON object and as lines, whichever is asked for."""

    report: Callable[[], dict[str, Any]]
    text: Callable[[], Iterable[str]]


def _refuse_idle(
    limit: int | None, top: int | None, by: str | None, budget: int | None, terms: bool, as_json: bool
) -> None:
    """Raise UnrollvizError for an option that would do nothing."""
    for idle, said in (
        (top is not None and limit is not None, "--top and --limit both say which paths to list; give one of them"),
        (by is not None and top is None, "--by says what --top weighs paths by; give --top N too"),
        (budget is not None and top is None, "--budget says how long --top searches; give --top N too"),
        (terms and not as_json, "--terms writes the terms to JSON; give --json or -o FILE.json too"),
    ):
        if idle:
            raise UnrollvizError(said)


def _check_size(part: PathSet) -> None:
    """Raise UnrollvizError where the names of all nodes on all paths would take more than LISTING_LIMIT bytes."""
    some = [part.nodes(part.count * eighth // 8) for eighth in range(8)] if part.count else []
    size = part.count * sum(len(name) + 1 for nodes in some for name in nodes) // 8
    if size > memory_allowed(LISTING_LIMIT):
        raise UnrollvizError(
            f"{part.count:,} paths with all their nodes take about {size / 2**20:,.0f} MB; give --limit N for the "
            "first ones, --top 12 for the heaviest, or take them together with unrollviz flow --by temporal"
        )


def _refuse_at_unit(limit: int | None, budget: int | None, terms: bool) -> None:
    """Raise UnrollvizError for an option that would do nothing at level unit."""
    if limit is not None:
        raise UnrollvizError("at level unit paths are listed by weight; give --top N instead of --limit N")
    if budget is not None or terms:
        raise UnrollvizError("--budget and --terms do nothing at level unit, where the search is always exact")


def _units(found: UnitPaths, top: int, by: str) -> _Answer:
    from unrollviz.report.units import units_json, units_text

    return _Answer(partial(units_json, found, top, by), partial(units_text, found, top, by))


def _weighed(found: PathSet, top: int, by: str, budget: int | None, terms: bool) -> _Answer:
    from unrollviz.report.paths import top_json, top_text

    heaviest = _heaviest(found, top, by, budget)
    return _Answer(partial(top_json, found, heaviest, terms), partial(top_text, found, heaviest))


def _listed(run: Run, found: PathSet, limit: int | None, terms: bool, whole: bool) -> _Answer:
    """The first paths; all of them where the `whole` set goes to JSON or to a file and no limit is given."""
    from unrollviz.draw.text import integer
    from unrollviz.report.paths import paths_json, paths_text

    part = found if limit is None and whole else found[: ROWS if limit is None else limit]
    more = "" if part.count == found.count else f"there are {integer(found.count)} in all; "
    part.check_limit(
        f"{more}give --limit N for the first ones, --top 12 for the heaviest, or take them together with "
        f"unrollviz flow --by {'lag' if found.entered is None else 'entry'}"
    )
    if whole:
        _check_size(part)
    return _Answer(partial(paths_json, found, part, terms), lambda: paths_text(run, found, list(part)))


def _heaviest(found: PathSet, top: int, by: str, budget: int | None) -> Heaviest[Path]:
    from unrollviz.paths.search import BUDGET, PULSE

    most = BUDGET if budget is None else budget
    with progress("searching", most // PULSE + 1) as step:

        def show(expansions: int) -> None:
            if expansions:  # while bounds are worked out there are none
                step(f"{expansions:,} partial paths")

        return found.top(top, by, most, show)
