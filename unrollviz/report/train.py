"""What came of a training run: epochs, and where everything is."""

from __future__ import annotations

import numpy as np

from unrollviz.draw.text import number, table
from unrollviz.history import History
from unrollviz.names import clean, typeset
from unrollviz.report.figures import Json, exact
from unrollviz.training.checkpoints import MODEL
from unrollviz.training.learning import Trained

EPOCHS = 20
"""Rows of the table of epochs; of more, as many are picked evenly."""


def train_json(trained: Trained) -> Json:
    """`losses`, `validation_losses` and `gradient_norms` have one number an epoch; `reach` is that of the last record,
    by parameter; `checkpoint` and `model` are null where no folder was asked for."""
    history, checkpoint = trained.history, trained.checkpoint
    return {
        "losses": [exact(loss) for loss in trained.losses],
        "validation_losses": [exact(loss) for loss in trained.validation_losses],
        "gradient_norms": [exact(norm) for norm in trained.gradient_norms],
        "n_updates": trained.state.updates,
        "reach": {} if history is None else dict(zip(history.watched, history.reach()[-1].tolist(), strict=True)),
        "history": None if history is None else {"records": len(history), "part_of_time": exact(part_of_time(trained))},
        "seconds": trained.state.seconds,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "model": None if trained.folder is None else str(trained.folder / MODEL),
    }


def part_of_time(trained: Trained) -> float:
    """The part of the training time that the records took."""
    history, seconds = trained.history, trained.state.seconds
    return float(history.seconds.sum()) / seconds if history is not None and seconds > 0 else 0.0


def train_text(trained: Trained) -> list[str]:
    """The epochs, what stopped them, the history in a line, and where the files are."""
    state, settings, history = trained.state, trained.settings, trained.history
    epochs = state.epoch
    shown = picked(epochs, EPOCHS)
    rows = []
    for epoch in shown:
        row = [str(epoch + 1), number(state.losses[epoch])]
        if state.validation_losses:
            row.append(number(state.validation_losses[epoch]))
        row.append(number(state.gradient_norms[epoch]))
        rows.append(row + _reaches(history, epoch + 1))
    headings = ["epoch", "loss", *(["validation"] if state.validation_losses else []), "gradient norm"]
    if history is not None:
        headings += [f"reach of {typeset(name)}" for name in history.watched]
    lines = [
        f"{trained.network.cell} network, {int(trained.network.count_parameters()):,} parameters: "
        f"{state.updates:,} updates by {settings.optimizer}, η = {settings.rule.base:g}",
        "",
        *table(headings, rows),
        "",
    ]
    if epochs < settings.epochs:
        lines.append(f"stopped early: no better validation loss for {settings.patience} epochs")
    if settings.patience is not None:
        best = int(np.argmin(state.validation_losses))
        lines.append(f"the network is that of epoch {best + 1}, whose validation loss is the lowest")
    if history is not None:
        lines.append(
            f"reach: steps back that carry 90 % of the gradient; {len(history)} records, one every {state.every} "
            f"update{'s' * (state.every != 1)}, took {part_of_time(trained):.0%} of the {state.seconds:.1f} s"
        )
    if trained.folder is not None:
        folder = clean(str(trained.folder), limit=4000)
        lines += [f"written: {folder}/{trained.checkpoint.name if trained.checkpoint else ''}, {folder}/{MODEL}"]
        if history is not None:
            lines += _kept(trained, len(history))
            lines += [f"next: unrollviz history {folder}, unrollviz debug {folder}"]
    return lines


def _kept(trained: Trained, records: int) -> list[str]:
    """Where the parameters of some records had no room."""
    if trained.kept >= records:
        return []
    return [
        f"the parameters of {trained.kept:,} of {records:,} records are kept, evenly picked, for debug and diff at @N; "
        "--keep-mib has room for more, and what is between is made again"
    ]


def picked(count: int, most: int) -> list[int]:
    """At most so many of 0 … count - 1, evenly, the first and the last among them."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, most)).round())]


def _reaches(history: History | None, epoch: int) -> list[str]:
    """The reach of each watched parameter in the last record up to the end of an epoch."""
    if history is None:
        return []
    last = int(np.searchsorted(history.epochs, epoch, side="right")) - 1
    return [str(lag) for lag in history.reach()[last].tolist()]
