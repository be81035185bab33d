"""Long work for a panel, in threads of its own: the latest question of a kind wins, progress is told, Esc stops it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from time import monotonic, sleep
from typing import TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from unrollviz.arrays import interruptible
from unrollviz.errors import UnrollvizError

T = TypeVar("T")
Pulse = Callable[[str], None]
"""Says how far the work has come; raises Stopped once nobody waits for it."""

TOLD_EVERY = 0.1
"""Seconds between two reports of progress on the screen."""


class Stopped(Exception):
    """Raised in the thread, inside the work, when it has been stopped or asked anew."""


@dataclass(eq=False)
class Job:
    """One piece of work, from when it is asked until its result has been taken."""

    words: str
    then: Callable[[object], None]
    stopped: bool = False
    told: float = field(default_factory=monotonic)


class Worked(Message):
    """A job has come further, or to its end."""

    def __init__(self, job: Job, result: object = None, ended: bool = False) -> None:
        super().__init__()
        self.job, self.result, self.ended = job, result, ended


RESTS = 0.05
"""Seconds for which work rests when a key is pressed, and then goes on for, whatever is pressed."""


class Road:
    """Work gives way to keys: Python runs one thread at a time, and a key that shares with two others is felt."""

    def __init__(self) -> None:
        self._free_from = 0.0

    def clear(self) -> None:
        """A key has been pressed."""
        now = monotonic()
        if now > self._free_from + RESTS:
            self._free_from = now + RESTS

    def wait(self) -> None:
        """Rest for as long as a key needs."""
        rest = self._free_from - monotonic()
        if rest > 0:
            sleep(rest)


ROAD = Road()


def _check(job: Job) -> None:
    """Give way; raise Stopped once nobody waits for a job."""
    ROAD.wait()
    if job.stopped:
        raise Stopped


class Desk:
    """The jobs of one widget, or of the app, by kind. It hands every `Worked` to `take`."""

    def __init__(self, widget: MessagePump) -> None:
        self._widget = widget
        self._jobs: dict[str, Job] = {}

    @property
    def words(self) -> str:
        """What is being done, and how far it is; empty where nothing is."""
        return next((job.words for job in self._jobs.values()), "")

    def has(self, kind: str) -> bool:
        """Whether a job of this kind is under way."""
        return kind in self._jobs

    def ask(
        self, kind: str, words: str, work: Callable[[Pulse], T], then: Callable[[T | UnrollvizError], None]
    ) -> None:
        """Start `work` in a thread; `then` gets its result, or its error, in the widget's own thread."""
        self.stop(kind)
        job = Job(words, then)  # type: ignore[arg-type]
        self._jobs[kind] = job
        Thread(target=self._run, args=(job, work), name=kind, daemon=True).start()

    def stop(self, kind: str | None = None) -> bool:
        """Let go of the jobs of a kind, or of all; their results are dropped. True where there was one."""
        stopped = [self._jobs.pop(name) for name in list(self._jobs) if kind in (None, name)]
        for job in stopped:
            job.stopped = True
        return bool(stopped)

    def take(self, message: Worked) -> bool:
        """Hand a result on, unless it is stale. True where the widget should be drawn anew."""
        kind = next((name for name, job in self._jobs.items() if job is message.job), None)
        if kind is None:
            return False
        if message.ended:
            del self._jobs[kind]
            if isinstance(message.result, Exception) and not isinstance(message.result, UnrollvizError):
                raise message.result
            message.job.then(message.result)
        return True

    def _run(self, job: Job, work: Callable[[Pulse], T]) -> None:
        result: object
        try:
            with interruptible(partial(_check, job)):
                result = work(partial(self._pulse, job))
        except Stopped:
            return
        except Exception as error:  # handed to the widget, which shows or raises it
            result = error
        if not job.stopped:
            self._post(Worked(job, result, ended=True))

    def _pulse(self, job: Job, words: str) -> None:
        _check(job)
        job.words = words
        if monotonic() - job.told > TOLD_EVERY:
            job.told = monotonic()
            self._post(Worked(job))

    def _post(self, message: Worked) -> None:
        with suppress(RuntimeError):  # the screen has been closed meanwhile
            self._widget.post_message(message)
