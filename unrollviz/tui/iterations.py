"""What the keys do that go from one iteration to another, or put two of them side by side."""

from __future__ import annotations

from unrollviz.debugger import stepper as go
from unrollviz.tui import errands, questions
from unrollviz.tui.sheet import Sheet
from unrollviz.tui.worker import Worker

ONE_ITERATION = "there is one iteration: no optimizer is given (--optimizer adam), nor a run's folder"


class Iterations(Worker):
    """Another iteration is another scene, which takes a moment to work out."""

    def action_next_iteration(self) -> None:
        self._to_iteration(1)

    def action_previous_iteration(self) -> None:
        self._to_iteration(-1)

    def _to_iteration(self, by: int) -> None:
        """To the like of this event, by so many iterations on; keys pressed meanwhile add up."""
        if self.state.stepper.learner is None:
            self.say(ONE_ITERATION)
        else:
            self._prepare(lambda stepper: go.at_iteration(stepper, stepper.iteration + by))

    def action_iteration(self) -> None:
        if self.state.stepper.learner is None:
            self.say(ONE_ITERATION)
            return
        self._ask(
            questions.iteration(self.state),
            lambda text: self._prepare(lambda stepper: go.at_iteration(stepper, questions.numbered(stepper, text))),
        )

    def action_compare(self) -> None:
        if self.state.stepper.learner is None:
            self.say(ONE_ITERATION)
        else:
            self._ask(questions.compared(self.state), self._compare_with)

    def _compare_with(self, text: str) -> None:
        """Another iteration and this one side by side, once they are worked out."""
        stepper = self.state.stepper
        other = questions.numbered(stepper, text)
        title = f"iteration {other:,} (old) and {stepper.iteration:,} (new)"

        def take(lines: list[str]) -> None:
            self.push_screen(Sheet(title, lines))

        self._do("compare", "comparing", lambda pulse: errands.iterations_compared(stepper, other, pulse), take)
