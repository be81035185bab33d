"""The debugger on a terminal: `debug(run)` opens it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from textual import events, on

from unrollviz.api import Run
from unrollviz.arrays import many_objects
from unrollviz.debugger import stepper as go
from unrollviz.debugger import telling, whatif
from unrollviz.debugger.breakpoints import Hit
from unrollviz.debugger.opening import begun_with
from unrollviz.debugger.stepper import Stepper
from unrollviz.debugger.whatif import Comparison
from unrollviz.errors import UnrollvizError
from unrollviz.experiments import Begun
from unrollviz.graph import levels_of
from unrollviz.tui import errands, questions
from unrollviz.tui import state as to
from unrollviz.tui.actions import BY_NAME
from unrollviz.tui.errands import Change
from unrollviz.tui.iterations import Iterations
from unrollviz.tui.messages import EventChosen, Lighted, Looked, PathsWanted, Pointed
from unrollviz.tui.plain import knows_unicode
from unrollviz.tui.scene import SMALL, Scene, scene
from unrollviz.tui.sheet import Sheet
from unrollviz.tui.stops import Changed, Stops, watched
from unrollviz.tui.tour import LOSS, Revealed, Tour, fits
from unrollviz.tui.view import kept
from unrollviz.tui.web import in_browser

T = TypeVar("T")


def debug(
    run: Run | Stepper,
    *,
    losses: str | Sequence[str] | None = None,
    target: str | None = None,
    detail: str = "state",
    tour: bool = False,
    begun: Begun | None = None,
    iterations: int | None = None,
    **rule: Any,
) -> int:
    """Open the debugger on this terminal; returns the exit code when it is left: 0, or 128 + the signal's number.

    Args:
        run: a run, to be stepped through from its start; or a stepper, to go on where it stands.
        losses: where the backward pass starts; every loss where None.
        target: the parameter whose paths are listed; the recurrent weight where None.
        detail: the level of detail that is stepped through.
        tour: begin with the tour, which is about the article's network.
        begun: `run` is its beginning: the screen opens with it, and goes over to the whole once that is unrolled.
        iterations: how many updates there are with an optimizer; 200 where None.
        rule: how the run is learnt from, so that one steps on into updates: optimizer="adam", lr, numbers, schedule,
            clip, clip_value; see `training.Settings`.

    Raises:
        UnrollvizError: where there is no terminal, no tour of this run, or no such rule.
        UnknownName: with the nearest name, for an unknown loss, parameter or level of detail.
    """
    check_terminal()
    if tour and not fits(run.origin if isinstance(run, Stepper) else run):
        raise UnrollvizError("the tour is about the article's network of five steps, uz.article(); leave out tour=True")
    with many_objects():
        shown = {"losses": losses, "target": target, "detail": detail}
        stepper = run if isinstance(run, Stepper) else begun_with(run, iterations, rule, **shown)
        unicode = in_browser() or knows_unicode(os.environ)
        app = DebugApp(first_scene(stepper, listing=False, begun=begun), stepper, tour, unicode, begun)
        gc.freeze()  # the run stays to the end: looking through it for garbage would hold up a key for 200 ms
    sys.setswitchinterval(0.0005)  # a key is answered while a thread is at work
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0


def first_scene(stepper: Stepper, listing: bool = True, begun: Begun | None = None) -> Scene:
    """The scene that shows a stepper; see `scene`. The paths of a beginning are nobody's question."""
    parts = stepper.run, stepper.detail, stepper.losses, stepper.target
    return scene(*parts, listing=listing, steps=stepper.timeline, small=0 if begun else SMALL)


def check_terminal() -> None:
    """Raise UnrollvizError unless there is a terminal, or a browser, to read keys from and to draw on."""
    if in_browser():
        return
    streams = {"standard input": sys.__stdin__, "standard output": sys.__stdout__, "standard error": sys.__stderr__}
    for name, stream in streams.items():
        if stream is None or not stream.isatty():
            raise UnrollvizError(f"the debugger needs a terminal, but {name} is none; start it from a terminal window")
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UnrollvizError(
            "the debugger needs a terminal that can place the cursor; set TERM, for instance to xterm, or give "
            "commands line by line: unrollviz debug --script -"
        )


MOVES = ("n", "N", "p", "P", "left", "right", "up", "down", "pageup", "pagedown", "tab", "shift+tab")
LOOKS = ("shift+left", "shift+right", "H", "L", "J", "K", "v", "V", "i", "I", "m", "t", "q", "question_mark")
AT_ONCE = frozenset((*MOVES, *LOOKS))
"""Keys that the beginning of a long run answers as the whole would."""


class DebugApp(Iterations):
    """Does what the keys say: in one place, so that no panel knows another."""

    def __init__(
        self,
        first: Scene,
        stepper: Stepper | None = None,
        tour: bool = False,
        unicode: bool = True,
        begun: Begun | None = None,
    ) -> None:
        super().__init__(first, stepper, unicode)
        self.tour, self.begun = tour, begun
        self.failure: UnrollvizError | None = None
        self._held: list[events.Key] = []

    def on_mount(self) -> None:
        super().on_mount()
        if self.begun is not None:
            self._unroll(self.begun)
        elif self.state.scene.listed.pending:
            self._prepare()
        if self.tour:
            self.become(replace(self.state, lit=self.state.scene.light_nodes((), -1)))
            self.frame.add_class("-tour")
            self.push_screen(Tour())

    # ---- from the beginning of a long run to all of it ---------------------------------------------------------------

    def _unroll(self, begun: Begun) -> None:
        """Have the whole unrolled, and show it in place of its beginning."""
        started = self.state.stepper

        def done(found: tuple[Stepper, Scene] | UnrollvizError) -> None:
            self.begun = None
            if isinstance(found, UnrollvizError):
                self.failure = found
                self.exit(return_code=2)
                return
            stepper, scene = found
            self.become(to.continued(self.state, scene, to.caught_up(stepper, started, self.state.stepper)))
            self._prepare()
            for key in self._held:
                self.post_message(key)
            self._held.clear()

        words = f"unrolling {begun.steps:,} steps; these are the first {started.run.steps}"
        self.desk.ask("scene", words, lambda pulse: errands.unrolled(begun, started, pulse), done)
        self.become(replace(self.state, busy=self.desk.words))

    async def on_event(self, event: events.Event) -> None:
        """What the beginning of a long run cannot answer is answered as soon as all of it is there."""
        if isinstance(event, events.Key) and self.begun is not None and self._waits(event):
            self._held.append(event)
        else:
            await super().on_event(event)

    def _waits(self, key: events.Key) -> bool:
        first = self.state.scene.run.steps
        return key.key != "ctrl+c" and (bool(self._held) or key.key not in AT_ONCE or self.state.cursor >= first)

    # ---- through the run ---------------------------------------------------------------------------------------------

    @on(Pointed)
    def point(self, message: Pointed) -> None:
        self.become(to.selected(self.state, message.place))

    @on(Lighted)
    def light(self, message: Lighted) -> None:
        self.become(replace(self.state, lit=message.lit, note=""))

    @on(PathsWanted)
    def want(self, message: PathsWanted) -> None:
        self.become(replace(self.state, wanted=message.wanted, note=""))
        if message.focus:
            self.panels[2].focus()

    @on(EventChosen)
    def choose_event(self, message: EventChosen) -> None:
        self.become(to.at(self.state, message.cursor))

    def action_act(self, name: str) -> None:
        """Do what the table says: replace the state."""
        action = BY_NAME[name]
        if action.change is None:
            return
        if not action.counted:
            self.become(action.change(self.state))
            return
        if self.state.typed and self._home is not None:  # the digits were a number, and not panels to go to
            self._home.focus()
        after = action.change(self.state, times=int(self.state.typed or 1))
        self.become(replace(after, leaving=None))
        if after.leaving is not None:
            unit, by = after.leaving
            self._prepare(lambda stepper: go.moved(stepper, unit, by))

    def action_continue(self) -> None:
        self._search(forward=True)

    def action_continue_back(self) -> None:
        self._search(forward=False)

    def _search(self, forward: bool) -> None:
        """Look for the next stop, or the last one; what has been found is dropped where one has moved meanwhile."""
        started = self.state.stepper

        def take(found: tuple[Stepper, Hit | None]) -> None:
            stepper, hit = found
            if self.state.stepper is not started:
                self.say("the search is dropped: something has changed meanwhile")
                return
            words = ", ".join(telling.stop_lines(stepper, hit, forward))
            if stepper.timeline is not started.timeline:
                self._prepare(lambda _: stepper, lambda: self.say(words))
                return
            self.become(to.with_stepper(self.state, stepper))
            self.say(words)

        self._do("search", "looking for the next stop", lambda pulse: errands.searched(started, forward, pulse), take)

    def action_find(self) -> None:
        before = self.state.spot

        def found(name: str | None) -> None:
            if name is None:
                self.become(to.selected(self.state, before))
            else:
                self._select(name)

        self.push_screen(questions.find(self.state), found)

    @on(Looked)
    def look(self, message: Looked) -> None:
        self._select(message.name)

    def _select(self, name: str) -> None:
        place = self.state.scene.layout.nodes.get(name)
        if place is not None:
            self.become(to.selected(self.state, place))

    def action_go_to(self) -> None:
        self._ask(questions.go_to(self.state), self._go_to)

    def _go_to(self, text: str) -> None:
        aim = questions.aim(self.state.stepper, text)
        if isinstance(aim, str):
            self._select(aim)
        else:
            self.become(to.at(self.state, aim))

    # ---- what is looked at -------------------------------------------------------------------------------------------

    def action_choose_loss(self) -> None:
        self._ask(questions.loss(self.state), lambda name: self._prepare(losses=name))

    def action_choose_parameter(self) -> None:
        self._ask(questions.parameter(self.state), lambda name: self._prepare(target=name))

    def action_detail(self) -> None:
        levels = levels_of(self.state.scene.run.graph)
        now = self.state.scene.detail
        after = levels.index(now) + 1 if now in levels else 0
        self._prepare(detail=levels[after % len(levels)])

    def action_zoom_in(self) -> None:
        self._zoom(1)

    def action_zoom_out(self) -> None:
        self._zoom(-1)

    def _zoom(self, by: int) -> None:
        """To a finer or coarser level of detail; beyond the finest are the neurons of the selected node."""
        scene, inside = self.state.scene, self.state.lens.page == "neurons"
        levels = levels_of(scene.run.graph)
        after = levels.index(scene.detail) + by if scene.detail in levels else 0
        if (by < 0 and inside) or (by > 0 and not inside and after == len(levels)):
            self.become(to.opened(self.state))
        elif 0 <= after < len(levels):
            self._prepare(detail=levels[after])

    @on(Revealed)
    def reveal(self, message: Revealed) -> None:
        """What the tour shows: the longest path first, then all of them, which its end leaves as they are."""
        if message.what == "states":
            paths = self.state.scene.run.paths(LOSS, self.state.scene.target)
            nodes = max((path.nodes for path in paths), key=len)
            self.become(replace(self.state, lit=self.state.scene.light_nodes(nodes, -1)))
            return
        ended = message.what == "end"
        self.frame.set_class(not ended, "-tour-shows")
        self.frame.remove_class("-tour")
        whole = ended and tuple(self.state.stepper.losses) != (LOSS,)
        self._prepare(losses=questions.ALL_LOSSES if whole else LOSS)

    # ---- breakpoints, watches, what if -------------------------------------------------------------------------------

    def action_stops(self) -> None:
        self.push_screen(Stops(self.state.stepper))

    @on(Changed)
    def change(self, message: Changed) -> None:
        self.become(to.with_stepper(self.state, message.change(self.state.stepper)))

    def action_watch(self) -> None:
        self._ask(questions.watch(self.state), lambda text: self.change(Changed(watched(text))))

    def action_what_if(self) -> None:
        self._ask(questions.what_if(self.state), self._edit)

    def _edit(self, text: str) -> None:
        if text.strip():
            self._prepare(lambda stepper: go.edited(stepper, text), self._compare)
        else:
            self._compare()

    def _compare(self) -> None:
        """Old and new side by side, once they are worked out."""
        stepper = self.state.stepper
        edits = ", ".join(edit.text for edit in stepper.edits)

        def take(found: Comparison) -> None:
            self.push_screen(
                Sheet(f"old and new: {edits}", telling.difference(found), "X shows it again, u takes it back")
            )

        self._do("compare", "comparing", lambda pulse: errands.compared(stepper, pulse), take)

    def action_changed(self) -> None:
        if self.state.stepper.edits:
            self._compare()
        else:
            self.say("nothing has been changed: x changes something")

    def action_undo(self) -> None:
        self._change_back(go.undone, self.state.stepper.edits, "undone", "nothing has been changed")

    def action_redo(self) -> None:
        self._change_back(go.redone, self.state.stepper.undone, "made again", "nothing has been undone")

    def _change_back(self, change: Change, edits: Sequence[whatif.Edit], word: str, nothing: str) -> None:
        if not edits:
            self.say(nothing)
            return
        text = edits[-1 if word == "undone" else 0].text
        self._prepare(change, lambda: self.say(f"{word}: {text}"))

    # ---- files -------------------------------------------------------------------------------------------------------

    def action_export(self) -> None:
        self._ask(questions.export(self.state), self._export)

    def _export(self, path: str) -> None:
        state = self.state
        self._do("file", "drawing", lambda pulse: errands.exported(state, path, pulse), self.say)

    def action_save(self) -> None:
        self._ask(questions.save(self.state), self._save)

    def _save(self, path: str) -> None:
        stepper = replace(self.state.stepper, view=kept(self.state, self.current_theme.dark))
        self._do("file", "saving", lambda pulse: errands.saved(stepper, path, pulse), self.say)
