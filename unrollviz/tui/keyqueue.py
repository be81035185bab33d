"""Keys one after another: the next is handed on when all that the last one led to has happened.

A key goes to whoever has the focus when it comes. Keys that come in one burst, pasted or typed ahead, would find the
focus where it was before the first of them opened a window, and what was meant to be typed there would be commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from textual import events
from textual.app import App
from textual.message import Message
from textual.widgets import Input

ROUNDS = 3
"""A key is followed by so many probes, one after another: the key posts messages, which post others."""

PATIENCE = 0.5
"""Seconds after which a probe is given up: whoever had it has been removed."""

AGAIN = 0.01
"""Seconds until a window that is being opened is looked at again."""


class Probe(Message):
    """Goes the way of a key, behind it, from who has the focus up to the app: has it been handled?"""

    def __init__(self, key: object, rounds: int) -> None:
        super().__init__()
        self.key, self.rounds = key, rounds


class KeyQueue:
    """The keys that are still to be handed on."""

    def __init__(self, app: App[None], hand_on: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._hand_on = app, hand_on
        self._waiting: deque[events.Event] = deque()
        self._current: events.Event | None = None

    async def add(self, key: events.Event) -> None:
        """Hand a key on, at once where none is being handled."""
        self._waiting.append(key)
        if self._current is None:
            await self._next()

    async def _next(self) -> None:
        self._current = self._waiting.popleft() if self._waiting else None
        if self._current is not None:
            await self._hand_on(self._current)
            self._probe(self._current, ROUNDS)

    def _probe(self, key: events.Event, rounds: int) -> None:
        if not self._app.is_running or self._current is not key:
            return
        (self._app.focused or self._app.screen).post_message(Probe(key, rounds))

        async def give_up() -> None:
            if self._current is key:
                await self._next()

        if rounds == ROUNDS:
            self._app.set_timer(PATIENCE, give_up)

    async def arrived(self, probe: Probe) -> None:
        """A probe has come to the app."""
        key, screen = self._current, self._app.screen
        if key is None or probe.key is not key:
            return
        opened = screen.is_mounted and (
            screen.focused is not None or not any(line.display for line in screen.query(Input))
        )
        if not opened:
            self._app.set_timer(AGAIN, lambda: self._probe(key, probe.rounds))
        elif probe.rounds > 1:
            self._probe(key, probe.rounds - 1)
        else:
            await self._next()
