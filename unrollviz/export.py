"""A table with named columns, for other programs and for notebooks: CSV, HTML, pandas. Every cell is escaped here."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unrollviz.errors import MissingExtra
from unrollviz.names import clean, storable

if TYPE_CHECKING:
    import pandas

Cell = str | int | float | None

LISTED = 12
"""Rows that a notebook shows."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of cells below the names of their columns. A column called `share` holds shares."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Table:
        """Of objects as the JSON reports hold them; a list of names becomes `L4 yhat4 s4 W`, one of numbers JSON."""
        columns = tuple(rows[0]) if rows else ()
        return cls(columns, [[_flat(row[column]) for column in columns] for row in rows])

    def csv(self) -> bytes:
        """UTF-8, comma-separated, a line of names first. Numbers with all digits, nothing for what is undefined; text
        that a spreadsheet would take for a formula has a ' before it."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(csv_text, self.columns))
        writer.writerows([_csv(cell) for cell in row] for row in self.rows)
        return file.getvalue().encode("utf-8")

    def to_pandas(self) -> pandas.DataFrame:
        """As a DataFrame. Needs the extra `pandas`."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra("to_pandas", "pandas") from error
        return pandas.DataFrame(list(self.rows), columns=list(self.columns))

    def html(self, caption: str, total: int | None = None) -> str:
        """For a notebook: the first LISTED rows below a caption, and how many there are beyond them of `total`.

        Without colours of its own, so that it suits a light page and a dark one."""
        shown = self.rows[:LISTED]
        more = (len(self.rows) if total is None else total) - len(shown)
        largest = max((abs(s) for row in shown for s in self._shares(row)), default=0.0)
        body = "".join(f"<tr>{''.join(self._html(row, largest))}</tr>" for row in shown)
        rest = f'<tr><td colspan="{len(self.columns)}" {_LEFT}>⋯ {more:,} more</td></tr>' if more > 0 else ""
        heads = "".join(
            f"<th {_LEFT if name == 'share' or self._is_text(at) else _RIGHT}>{text(name)}</th>"
            for at, name in enumerate(self.columns)
        )
        return (
            f'<div>{text(caption)}</div><table style="border-collapse:collapse">'
            f"<thead><tr>{heads}</tr></thead><tbody>{body}{rest}</tbody></table>"
        )

    def _is_text(self, column: int) -> bool:
        return any(isinstance(row[column], str) for row in self.rows[:LISTED])

    def _shares(self, row: Sequence[Cell]) -> list[float]:
        cells = [cell for name, cell in zip(self.columns, row, strict=True) if name == "share"]
        return [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]

    def _html(self, row: Sequence[Cell], largest: float) -> Iterable[str]:
        for column, (name, cell) in enumerate(zip(self.columns, row, strict=True)):
            if name == "share" and (cell is None or isinstance(cell, float)):
                yield f"<td {_LEFT}>{_share(cell, largest)}</td>"
            else:
                yield f"<td {_LEFT if self._is_text(column) else _RIGHT}>{text(_shown(cell))}</td>"


_LEFT, _RIGHT = 'style="text-align:left;padding:.1em .8em"', 'style="text-align:right;padding:.1em .8em"'

_LONGEST = 2000
"""Characters of a cell or a caption in a notebook."""


def text(value: str) -> str:
    """`value` as HTML that shows it letter by letter, whatever it holds; control characters as `<1B>`."""
    return html.escape(clean(value, _LONGEST))


def csv_text(value: str) -> str:
    """Text for a cell of a CSV file: not a formula, whatever it begins with."""
    kept = storable(value)
    return f"'{kept}" if value.startswith(_FORMULA) else kept


def _csv(cell: Cell) -> str | int | float:
    if isinstance(cell, str):
        return csv_text(cell)
    return "" if cell is None or cell != cell else cell


def _flat(value: Any) -> Cell:
    if isinstance(value, (list, tuple)):
        return json.dumps(value) if value and isinstance(value[0], float) else " ".join(map(str, value))
    return value  # type: ignore[no-any-return]


def _shown(cell: Cell) -> str:
    if cell is None or cell != cell:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) and cell < 10**15 else str(cell)


def _share(share: float | None, largest: float) -> str:
    """In per cent, with a bar in the colour of the text: full where positive, an outline where negative."""
    if share is None or not math.isfinite(share):
        return "–"
    look = "background:currentColor" if share >= 0 else "outline:1px solid currentColor;outline-offset:-1px"
    wide = 80 * abs(share) / largest if largest > 0 else 0.0
    bar = f'<span style="display:inline-block;height:.7em;opacity:.55;width:{wide:.0f}px;{look}"></span>'
    return f'<span style="display:inline-block;width:5.5em;text-align:right">{100 * share:+.1f} %</span> {bar}'
