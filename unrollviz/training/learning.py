"""Learning, end to end: a network and its data become a trained one, with checkpoints that a run can go on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from unrollviz.api import Network as ApiNetwork
from unrollviz.batch import unreduced
from unrollviz.draw.panels import Course
from unrollviz.errors import UnrollvizError
from unrollviz.history import History
from unrollviz.network import Network, check_whole
from unrollviz.training.checkpoints import CHECKPOINT, MODEL, locked
from unrollviz.training.records import LIMIT_MIB, recorded
from unrollviz.training.rundata import RunData
from unrollviz.training.saving import Saved
from unrollviz.training.state import Settings, State, Training

if TYPE_CHECKING:
    from unrollviz.draw.matplot import Drawn

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of a run.

    Attributes:
        network: the last one; with patience the best by validation.
        settings: how it was trained;  state: where its training stands.
        folder: of its checkpoint; None where none was asked for.
        kept: records whose parameters are kept in the folder.
    """

    network: Network
    settings: Settings
    state: State
    folder: Path | None
    kept: int = 0

    def __repr__(self) -> str:
        loss = f", loss {self.losses[-1]:.6g}" if self.losses else ""
        return f"<Trained {self.network!r}: {self.state.updates:,} updates in {self.state.epoch} epochs{loss}>"

    @property
    def losses(self) -> tuple[float, ...]:
        """One an epoch: the mean over the instances trained on, each as it was when its turn came."""
        return self.state.losses

    @property
    def validation_losses(self) -> tuple[float, ...]:
        """One an epoch: the mean over the instances kept for validation, after the epoch; empty without them."""
        return self.state.validation_losses

    @property
    def gradient_norms(self) -> tuple[float, ...]:
        """One an epoch: the mean of ‖∂L/∂θ‖ over its updates, before clipping."""
        return self.state.gradient_norms

    @property
    def history(self) -> History | None:
        """The records; None where none were asked for."""
        return self.state.history

    @property
    def checkpoint(self) -> Path | None:
        """The file that holds everything."""
        return None if self.folder is None else self.folder / CHECKPOINT

    def plot(self, param: str | None = None, title: str | None = None, theme: str = "light") -> Drawn:
        """The history of a watched parameter, the first if None, as a matplotlib figure, which notebooks show as SVG.

        Raises UnrollvizError where there is no history, UnknownName, MissingExtra without matplotlib."""
        from unrollviz.draw.multiples import figure

        shown = course(self.network.cell, self.settings, self.state)
        return figure(shown, shown.place(param), title, theme)

    def page(self, param: str | None = None, title: str | None = None, theme: str | None = None) -> str:
        """The history as one self-contained HTML page with a slider over the updates. Raises as `plot`."""
        from unrollviz.draw.page.history import page

        shown = course(self.network.cell, self.settings, self.state)
        return page(shown, shown.place(param), title, theme).decode("utf-8")


def course(cell: str, settings: Settings, state: State) -> Course:
    """What pictures of a run show. Raises UnrollvizError where it has no history."""
    if state.history is None:
        raise UnrollvizError("this run has no history; train without every=0")
    per_epoch = (state.updates - state.position) // state.epoch if state.epoch else 0
    heading = f"{cell} network, {state.updates:,} update{'s' * (state.updates != 1)} by {settings.optimizer}"
    return Course(heading, state.history, per_epoch, state.losses, state.validation_losses)


def train(
    network: AnyNetwork,
    data: tuple[npt.ArrayLike, npt.ArrayLike] | list[tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    save_every: int | None = None,
    keep_mib: int = LIMIT_MIB,
    vocabulary: Sequence[str] | None = None,
    progress: Callable[[Training, State], None] = lambda training, state: None,
    loss: str = "cross_entropy",
    readout: str = "every",
    lengths: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    initial: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    **settings: Any,
) -> Trained:
    """Train a network: mini-batches in an order drawn anew each epoch, the gradient of each by one reverse sweep.

    Args:
        data: (xs, targets) of all instances as `unroll` takes them, (T, B, …); or a list of such pairs, one an
            instance, of any lengths.
        folder: where checkpoints go; made where it is missing.
        resume: go on from the checkpoint in it, which must be of the same network, data and settings but for `epochs`.
            The numbers are those of a run that was never broken off.
        save_every: updates between two checkpoints, which survive a power cut; as often as takes SAVING_PART of the
            time where None. A killed process loses nothing but the unfinished update in any case.
        keep_mib: MiB that the states at the records of the history may take in the folder; of more, every other one
            goes. 0 keeps none.
        vocabulary: what ids stand for, to be shown when the run is opened.
        progress: called before the first update and after each one.
        loss, readout, lengths, weights, initial: as in `unroll`.
        settings: epochs, optimizer, lr, schedule, numbers, clip, clip_value, batch, seed, validation, patience,
            gradient, reduction, watch, every; see `training.Settings`.

    Raises:
        UnrollvizError: for settings and data that are not valid, before any work is done; BadFile where the folder is
            in use, holds a run that is not resumed, or cannot be written to.
        NonFinite: where training diverges; the checkpoint is that before.
        KeyboardInterrupt: on Ctrl-C, after the checkpoint is written.
    """
    known = [one.name for one in fields(Settings)]
    for name in settings:
        if name not in known:
            raise UnrollvizError(f"train knows no setting {name}; choose from {', '.join(known)}")
    chosen = Settings(**settings)
    if save_every is not None:
        check_whole("save_every", save_every, 1)
    check_whole("keep_mib", keep_mib, 0)
    if isinstance(data, tuple):
        xs, targets = data
        whole = unreduced(network, xs, targets, initial, loss, readout, weights, lengths)
    else:
        if lengths is not None:
            raise UnrollvizError("lengths are known from a list of instances; leave them out")
        inputs, wanted, steps = padded(data, readout)
        whole = unreduced(network, inputs, wanted, initial, loss, readout, weights, steps)
    training = Training.of(network, whole, chosen)
    if resume and folder is None:
        raise UnrollvizError("resume goes on from a folder; give the one of the run")
    words = None if vocabulary is None else tuple(map(str, vocabulary))
    with nullcontext() if folder is None else locked(folder) as path:
        saved = Saved(path, training, RunData(whole, words), save_every, keep_mib * 2**20)
        state = saved.resumed() if resume else saved.begun()
        with saved:
            progress(training, state)
            while not training.finished(state):
                state = saved.offer(training.next(state))
                progress(training, state)
        after = training.trained(state)
        if path is not None:
            ApiNetwork(after.cell, after.params, after.activation, after.layers, after.bidirectional).save(path / MODEL)
            kept = len(recorded(path))
    return Trained(after, chosen, state, path, kept if path is not None else 0)


def padded(
    instances: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], readout: str = "every"
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(xs, targets) of instances of unequal length -> arrays (T, B, …), padded with their last step, and lengths (B,).

    With readout "last" a target may be one for the whole instance. Raises UnrollvizError where they do not fit each
    other."""
    if not instances:
        raise UnrollvizError("there is no instance to train on; give at least one pair (xs, targets)")
    pairs = [(np.asarray(xs), np.asarray(targets)) for xs, targets in instances]
    lengths = np.array([len(xs) if xs.ndim else 0 for xs, _ in pairs])
    for number, (xs, targets) in enumerate(pairs, 1):
        if len(xs.shape) == 0 or len(xs) == 0:
            raise UnrollvizError(f"instance {number} has no steps; leave it out")
        for kind, one, like in (("inputs", xs, pairs[0][0]), ("targets", targets, pairs[0][1])):
            if one.shape[1:] != like.shape[1:] or one.ndim != like.ndim:
                raise UnrollvizError(f"the {kind} of instance {number} have shape {one.shape}, unlike those before")
    whole = readout == "last" and any(targets.ndim == 0 or len(targets) != len(xs) for xs, targets in pairs)
    if not whole:
        for number, (xs, targets) in enumerate(pairs, 1):
            if targets.ndim == 0 or len(targets) != len(xs):
                raise UnrollvizError(f"instance {number} has {len(xs)} steps; give it as many targets")

    def together(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        found = np.zeros((lengths.max(), len(arrays), *arrays[0].shape[1:]), np.result_type(*arrays))
        for instance, one in enumerate(arrays):
            found[: len(one), instance], found[len(one) :, instance] = one, one[-1]
        return found

    wanted = [targets for _, targets in pairs]
    return together([xs for xs, _ in pairs]), np.stack(wanted) if whole else together(wanted), lengths
