"""The rows of a report in a file: what the ending of its name says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unrollviz.cli.terminal import say
from unrollviz.errors import UnrollvizError
from unrollviz.files import check_writable, write_atomically
from unrollviz.names import clean

if TYPE_CHECKING:
    from unrollviz.export import Table

ENDINGS = (".csv", ".json")

rows_option = click.option(
    "-o", "--output", metavar="FILE", help="Write every row, with all digits, to FILE: .csv or .json."
)


def check_rows(output: str | None, as_json: bool) -> bool:
    """Whether rows are to be written to a file. Raises UnrollvizError, BadFile where they cannot, before any work."""
    if output is None:
        return False
    if Path(output).suffix.lower() not in ENDINGS:
        raise UnrollvizError(f"{clean(output)}: the ending names the format; choose one of {', '.join(ENDINGS)}")
    if as_json:
        raise UnrollvizError("-o writes to a file and --json to stdout; give one of them")
    check_writable(output)
    return True


def write_rows(output: str, report: dict[str, Any], rows: Table) -> None:
    """Write the whole report as JSON or its rows as CSV, and say so."""
    if Path(output).suffix.lower() == ".csv":
        data = rows.csv()
    else:
        data = (json.dumps(report, allow_nan=False) + "\n").encode("utf-8")
    write_atomically(output, data)
    say([f"written: {clean(output)} ({len(rows.rows):,} row{'s' * (len(rows.rows) != 1)})"])
