"""A run in its folder while it learns: checkpoint, journal, records and data, each written when it is due."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

from unrollviz.errors import BadFile, NonFinite
from unrollviz.optim import Memory
from unrollviz.training.checkpoints import CHECKPOINT, Checkpoint, fingerprint, read, save
from unrollviz.training.journal import Journal
from unrollviz.training.records import Records
from unrollviz.training.rundata import DATA, RunData
from unrollviz.training.rundata import save as save_data
from unrollviz.training.state import Settings, State, Training

SAVING_PART = 0.05
"""The part of the training time that checkpoints may take; between them the journal has every update."""


class Saved:
    """A run in its folder, if it has one: checkpoint, journal, records, data."""

    def __init__(self, folder: Path | None, training: Training, data: RunData, every: int | None, limit: int) -> None:
        self._folder, self._training, self._every = folder, training, every
        self._data, self._mark = data, fingerprint(data.whole) if folder else ""
        self._next, self._last = 0.0, State({}, Memory(0, {}))
        self._limit = limit

    def begun(self) -> State:
        """The first state, written. Raises BadFile where there is a run already."""
        if self._folder is not None and (self._folder / CHECKPOINT).exists():
            raise BadFile(self._folder, "holds a run already; resume it, or give another folder")
        return self._opened(self._training.first())

    def resumed(self) -> State:
        """The state of the checkpoint. Raises BadFile where it is of another run, or past the end of this one."""
        assert self._folder is not None
        found = read(self._folder)
        differing = _difference(found, self._training, self._mark)
        if differing is not None:
            raise BadFile(self._folder / CHECKPOINT, f"is of {differing}; give what it was begun with")
        state, asked = found.state, self._training.settings.epochs
        begun = state.epoch + (state.position > 0)
        if begun > asked:
            raise BadFile(self._folder / CHECKPOINT, f"is in epoch {begun}, past {asked}; give epochs={begun} or more")
        return self._opened(state)

    def _opened(self, state: State) -> State:
        """All that belongs into the folder, there."""
        if self._folder is None:
            return state
        self._records = Records(self._folder, self._limit)
        self._records.forget_after(state.updates)
        if not (self._folder / DATA).exists():
            save_data(self._folder, self._data)
        state = self._recorded(state)
        try:
            self._journal = Journal(self._folder)
        except OSError as error:
            raise BadFile(self._folder, f"cannot be written to ({error.strerror}); give another folder") from error
        try:
            self._write(state)
        except BaseException:
            self._journal.close()
            raise
        return state

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """The last state, whatever has ended the run, unless it is the writing itself that failed."""
        if self._folder is None:
            return
        whole = kind is None or issubclass(kind, (KeyboardInterrupt, NonFinite))
        if whole:
            self._write(self._last)
        self._journal.close(remove=whole)

    def offer(self, state: State) -> State:
        """Keep a state: in the journal; as a checkpoint, if that is due: by the number of updates, or while that takes
        no more than SAVING_PART of the time. As it is then, with what keeping its record took."""
        if self._folder is None:
            return state
        state = self._last = self._recorded(state)
        due = time.perf_counter() >= self._next if self._every is None else state.updates % self._every == 0
        if due:
            self._write(state)
            return state
        try:
            self._journal.write(state)
        except OSError as error:
            raise BadFile(self._folder, f"cannot be written to ({error.strerror}); make room there") from error
        return state

    def _recorded(self, state: State) -> State:
        """With its own file, where it has just been recorded."""
        history, training = state.history, self._training
        if history is None or int(history.updates[-1]) != state.updates:
            return state
        start = time.perf_counter()
        self._records.keep(training.network, training.settings, state, self._mark)
        took = time.perf_counter() - start
        seconds = history.seconds.copy()
        seconds[-1] += took
        return replace(state, history=replace(history, seconds=seconds), seconds=state.seconds + took)

    def _write(self, state: State) -> None:
        assert self._folder is not None
        start, training = time.perf_counter(), self._training
        content = save(self._folder, training.network, training.settings, state, self._mark)
        self._journal.begin(content, state)
        self._last = state
        end = time.perf_counter()
        self._next = end + (end - start) * (1 / SAVING_PART - 1)


def _difference(found: Checkpoint, training: Training, data: str) -> str | None:
    """What a checkpoint has that is not this run's; None where it is the same run."""
    network, settings = training.network, training.settings
    if repr(found.network) != repr(network) or found.network.activation != network.activation:
        return f"another network, {found.network!r}"
    if found.data != data:
        return "other data"
    for one in fields(Settings):
        before, now = getattr(found.settings, one.name), getattr(settings, one.name)
        if one.name != "epochs" and before != now:
            return f"a run with {one.name} {before}, not {now}"
    return None
