"""A run's folder, opened: its parameters after any update, made again from the record before where none was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unrollviz.arrays import Array
from unrollviz.batch import Batch, part
from unrollviz.errors import BadFile, UnrollvizError
from unrollviz.names import clean
from unrollviz.optim import Memory
from unrollviz.readers.limits import BYTES_LIMIT
from unrollviz.training.checkpoints import Checkpoint, fingerprint, read
from unrollviz.training.records import recorded
from unrollviz.training.rundata import RunData
from unrollviz.training.rundata import read as read_data
from unrollviz.training.state import Training


@dataclass(frozen=True, eq=False)
class Point:
    """A run between two updates: after `memory.updates` of them, with these parameters."""

    params: Mapping[str, Array]
    memory: Memory

    @property
    def iteration(self) -> int:
        """How many updates were made before."""
        return self.memory.updates

    @property
    def nbytes(self) -> int:
        arrays = [*self.params.values(), *(value for of in self.memory.arrays.values() for value in of.values())]
        return sum(value.nbytes for value in arrays)


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What a run has left in its folder; made by `opened`.

    Attributes:
        last: where it stands;  data: what it is trained on, None where no copy was kept.
        recorded: updates -> the file of that record.
    """

    folder: Path
    last: Checkpoint
    data: RunData | None
    recorded: Mapping[int, Path]
    limit: int = BYTES_LIMIT

    @property
    def iterations(self) -> int:
        """How many updates were made so far."""
        return self.last.state.updates

    @cached_property
    def training(self) -> Training | None:
        """What makes its updates again; None without its data."""
        return None if self.data is None else Training.of(self.last.network, self.data.whole, self.last.settings)

    def nearest(self, iteration: int) -> Point | None:
        """The last point at or before an iteration that was kept."""
        kept = [updates for updates in self.recorded if updates <= iteration]
        if iteration >= self.iterations:
            state = self.last.state
        elif kept:
            found = read(self.recorded[kept[-1]], self.limit)
            if repr(found.network) != repr(self.last.network) or found.data != self.last.data:
                raise BadFile(clean(str(self.recorded[kept[-1]])), "is of another run; remove it")
            if found.state.updates != kept[-1]:
                raise BadFile(clean(str(self.recorded[kept[-1]])), "is not of the update in its name; remove it")
            state = found.state
        else:
            return None
        return Point(state.params, state.memory)

    def at(self, iteration: int) -> Point:
        """After so many updates. Raises UnrollvizError where there are not so many, or they cannot be made again."""
        if not 0 <= iteration <= self.iterations:
            raise UnrollvizError(
                f"{clean(self.folder.name)} has made {self.iterations:,} updates, so that its iterations go from 0 to "
                f"{self.iterations:,}; {iteration:,} is none of them"
            )
        point = self.nearest(iteration)
        if point is not None and point.iteration == iteration:
            return point
        if point is None or self.training is None:
            raise UnrollvizError(self._missing(iteration))
        while point.iteration < iteration:
            made = self.training.made(point.params, point.memory, self.training.batch_at(point.iteration))[1]
            point = Point(made.new, made.memory)
        return point

    def _missing(self, iteration: int) -> str:
        """Why an iteration cannot be had, and which can."""
        name, kept = clean(self.folder.name), [*self.recorded, self.iterations]
        if not self.recorded:
            return (
                f"{name} keeps no records, only where it stands: iteration {self.iterations:,}; runs keep them, unless "
                "of an older version or trained with --keep-mib 0 or --every 0"
            )
        near = min(kept, key=lambda updates: abs(updates - iteration))
        why = "no copy of its data" if self.data is None else "no record before it"
        return f"{name} keeps {why}, so that iteration {iteration:,} cannot be made again; the nearest kept is {near:,}"

    def probe(self, count: int) -> Batch | None:
        """The first instances that are trained on, as the history looks at them; None without data."""
        if self.training is None:
            return None
        return part(self.training.data.whole, self.training.data.trained[:count], self.last.settings.reduction)


def opened(folder: str | Path, limit: int = BYTES_LIMIT) -> RunFolder:
    """The folder of a run, also while it still learns. Raises BadFile for what is missing, broken or hostile."""
    path = Path(folder)
    last = read(path, limit)
    data = read_data(path, last.network, limit)
    if data is not None and fingerprint(data.whole) != last.data:
        raise BadFile(clean(str(path)), "its data.npz is not what it was trained on; remove that file")
    # A run that was killed may have kept the record of an update that it did not finish.
    kept = {updates: file for updates, file in recorded(path).items() if updates <= last.state.updates}
    return RunFolder(path, last, data, kept, limit)


def is_run(path: str | Path) -> bool:
    """Whether that is a run's folder."""
    return Path(path).is_dir()
