"""Expressions over what is known at a stop: `norm(cotangent) < 1e-6`, `W.grad[0, 1]`. Never run as Python.

They are checked when they are written: every name, function and operator is one of the tables below, an entry of a
node one that it has. What is left, a tree without a single attribute, is worked out by simpleeval.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from simpleeval import SimpleEval

from unrollviz.arrays import Array
from unrollviz.debugger.timeline import State
from unrollviz.errors import UnknownName, UnrollvizError
from unrollviz.graph import Graph
from unrollviz.jacobians import frobenius
from unrollviz.names import clean
from unrollviz.updates import Update

Value: TypeAlias = Array | float | str | bool | None
"""What an expression may give; None where something in it is not known yet."""

_ASSIGNED = re.compile(r"(?<![=<>!])=(?!=)")

TEXT_LIMIT = 400
PARTS_LIMIT = 100
SIZE_LIMIT = 10_000_000
"""Letters and operations of an expression; entries of an array in it."""


class BadExpression(UnrollvizError):
    """An expression that says nothing, or what may not be said; the message names what may."""


@dataclass(frozen=True)
class Moment:
    """A state, and the node that `value` or `cotangent` speak of where none is named."""

    state: State
    node: str

    @classmethod
    def at(cls, state: State, node: str | None = None) -> Moment:
        """At the node of the last event, at the start of the next one; or at `node`."""
        event = state.event or state.next
        return cls(state, node or (event.node if event else next(iter(state.timeline.graph))))


@dataclass(frozen=True)
class Quantity:
    """A name that may be used.

    Attributes:
        says: what it is, for the list of names.
        of_node: whether it may stand behind a node and a dot.
    """

    says: str
    find: Callable[[Moment], Value]
    of_node: bool = False


def _value(moment: Moment) -> Value:
    known = moment.node in moment.state.timeline.graph and moment.state.computed(moment.node)
    return shown(moment.state.timeline.graph.nodes[moment.node]["value"]) if known else None


def _cotangent(moment: Moment) -> Value:
    known = moment.state.cotangent(moment.node) if moment.node in moment.state.timeline.graph else None
    return None if known is None else shown(known)


def _complete(moment: Moment) -> Value:
    state, node = moment.state, moment.node
    return node in state.timeline.graph and 0 < state.arrived(node) == state.expected(node)


def _lag(moment: Moment) -> Value:
    event = moment.state.event
    return None if event is None else moment.state.timeline.lag(event)


def _loss(moment: Moment) -> Value:
    return moment.state.timeline.loss(moment.state.cursor)


def _time(moment: Moment) -> Value:
    event = moment.state.event
    if event is not None and event.node == moment.node:
        return event.time
    time: int | None = moment.state.timeline.graph.nodes[moment.node]["time"]
    return time


def _of_update(find: Callable[[Update, str], Value]) -> Callable[[Moment], Value]:
    """What an update says of the parameter at hand; None before it has happened."""

    def of(moment: Moment) -> Value:
        update = moment.state.update(moment.node)
        return None if update is None else find(update, moment.node)

    return of


def _iteration(moment: Moment) -> Value:
    learning = moment.state.timeline.learning
    return None if learning is None else learning.iteration


QUANTITIES: dict[str, Quantity] = {
    "value": Quantity("the value of the node at hand, once it is computed", _value, of_node=True),
    "cotangent": Quantity("∂L/∂node so far, once something has arrived", _cotangent, of_node=True),
    "grad": Quantity("the same by its other name: W.grad[0, 1]", _cotangent, of_node=True),
    "complete": Quantity("is all that adds to the cotangent in: s* if complete and norm(cotangent) < 1e-6", _complete),
    "time": Quantity("the time step; none for a sum and an update", _time),
    "lag": Quantity("in the backward pass: steps back from the furthest loss that takes part", _lag),
    "loss": Quantity("the sum of the losses computed so far", _loss),
    "node": Quantity('the name of the node at hand: node == "s3"', lambda moment: moment.node),
    "phase": Quantity("forward, loss, backward, sum or update", lambda moment: moment.state.phase),
    "role": Quantity(
        "parameter, input, state, gate, …", lambda moment: str(moment.state.timeline.graph.nodes[moment.node]["role"])
    ),
    "iteration": Quantity("how many updates were made before: phase=update if iteration > 10", _iteration),
    "clipped": Quantity(
        "the gradient that the optimizer was given, once it has", _of_update(lambda u, name: u.clipped[name]), True
    ),
    "step": Quantity(
        "what it added to the parameter: norm(W.step) > 0.1", _of_update(lambda u, name: u.step(name)), True
    ),
    "new": Quantity("the parameter after that; value is before", _of_update(lambda u, name: u.new[name]), True),
    "ratio": Quantity("‖step‖ / ‖value‖: W if ratio > 0.01", _of_update(lambda u, name: u.ratio(name)), True),
    "cursor": Quantity("how many events have happened", lambda moment: moment.state.cursor),
}


def shown(value: Array) -> Array:
    """A node's value without the axis of its instances where there is only one: s3.value[0] is its first unit."""
    return value[0] if value.ndim == 2 and len(value) == 1 else value


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` on float64 arrays of bounded size; None where an argument is not known yet."""

    def call(*arguments: Any) -> Any:
        if any(argument is None for argument in arguments):
            return None
        if any(isinstance(argument, str) for argument in arguments):
            raise BadExpression(
                "node, phase and role are words, not numbers; compare them with == and a word in quotes"
            )
        arrays = [np.asarray(argument, dtype=np.float64) for argument in arguments]
        try:
            shape = np.broadcast_shapes(*(array.shape for array in arrays))
        except ValueError as error:
            raise BadExpression(f"shapes {' and '.join(str(array.shape) for array in arrays)} do not fit") from error
        if int(np.prod(shape)) > SIZE_LIMIT:
            raise BadExpression(f"an array of shape {shape} is too large for an expression")
        with np.errstate(all="ignore"):
            return function(*arrays)

    return call


def _compare(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    """A comparison that holds where it holds for any entry; and never for what is not known yet."""
    compare = _of_numbers(lambda a, b: bool(np.any(function(a, b))))
    return lambda a, b: bool(compare(a, b))


def _alike(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    numbers = _compare(function)

    def call(a: Any, b: Any) -> bool:
        return bool(function(a, b)) if isinstance(a, str) and isinstance(b, str) else numbers(a, b)

    return call


def holds(value: Value) -> bool:
    """Is it true: for any entry of an array, and never for what is not known yet?"""
    return value is not None and bool(np.any(np.asarray(value, dtype=object if isinstance(value, str) else None)))


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _of_numbers(operator.add),
    ast.Sub: _of_numbers(operator.sub),
    ast.Mult: _of_numbers(operator.mul),
    ast.Div: _of_numbers(np.divide),
    ast.Mod: _of_numbers(np.mod),
    ast.Pow: _of_numbers(np.power),
    ast.USub: _of_numbers(operator.neg),
    ast.UAdd: _of_numbers(operator.pos),
    ast.Not: lambda value: not holds(value),
    ast.Invert: holds,
    ast.Lt: _compare(operator.lt),
    ast.LtE: _compare(operator.le),
    ast.Gt: _compare(operator.gt),
    ast.GtE: _compare(operator.ge),
    ast.Eq: _alike(operator.eq),
    ast.NotEq: _alike(operator.ne),
}
"""Numbers are float64 and arrays of them, so that no power grows beyond infinity."""

FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    name: (says, _of_numbers(function))
    for name, says, function in (
        ("norm", "Frobenius norm", frobenius),
        ("max", "the largest entry", np.max),
        ("min", "the smallest entry", np.min),
        ("mean", "the mean of the entries", np.mean),
        ("sum", "the sum of the entries", np.sum),
        ("size", "the number of entries", np.size),
        ("abs", "entry by entry", np.abs),
        ("sign", "entry by entry: -1, 0 or 1", np.sign),
        ("sqrt", "entry by entry", np.sqrt),
        ("log", "entry by entry, natural", np.log),
        ("isnan", "is any entry NaN?", lambda a: bool(np.isnan(a).any())),
        ("isinf", "is any entry infinite?", lambda a: bool(np.isinf(a).any())),
    )
}


def _entry(value: Any, index: Any) -> Any:
    if value is None:
        return None
    array = np.asarray(value)
    try:
        return array[index]
    except IndexError as error:
        raise BadExpression(f"there is no entry {written(index)} in shape {array.shape}") from error


def written(index: Any) -> str:
    """An index as a person writes it: `[0, 1]`."""
    parts = index if isinstance(index, tuple) else (index,)
    texts = (
        ":".join("" if end is None else str(end) for end in (part.start, part.stop))
        if isinstance(part, slice)
        else str(part)
        for part in parts
    )
    return f"[{', '.join(texts)}]"


@dataclass(frozen=True)
class Expression:
    """A checked expression, made by `parse`."""

    text: str
    _tree: ast.expr = field(repr=False, compare=False)

    def reader(self) -> Callable[[Moment], Value]:
        """What works it out at one moment after another. Raises BadExpression where shapes do not fit."""
        read = _reader(self.text, self._tree)
        return lambda moment: read(lambda name: _known(moment, name))

    def at(self, moment: Moment) -> Value:
        """Its value at one moment. Raises BadExpression where shapes do not fit."""
        return self.reader()(moment)


Names: TypeAlias = Callable[[str], Value]


def _reader(text: str, tree: ast.expr) -> Callable[[Names], Value]:
    functions = {name: function for name, (_, function) in FUNCTIONS.items()} | {_ENTRY: _entry}
    evaluator = SimpleEval(operators=OPERATORS, functions=functions, names={})

    def read(names: Names) -> Value:
        evaluator.names = lambda name: names(name.id)
        found: Value = evaluator.eval(text, previously_parsed=tree)
        return found

    return read


def _known(moment: Moment, name: str) -> Value:
    """What a checked name stands for: a quantity of the node at hand, or `node` NUL `quantity`."""
    node, _, quantity = name.rpartition("\0")
    return QUANTITIES[quantity].find(Moment(moment.state, node) if node else moment)


def _pretended(graph: Graph, name: str) -> Value:
    """An array of the right shape for every node that is named, so that a wrong entry is found at once."""
    node, _, _ = name.rpartition("\0")
    return shown(np.ones(graph.nodes[node]["value"].shape)) if node else None


def parse(text: str, graph: Graph) -> Expression:
    """The expression in `text`, about the nodes of `graph`.

    Raises BadExpression where it is broken, too long or of a forbidden kind, and UnknownName, with the nearest name.
    """
    text = text.strip()
    if not text or len(text) > TEXT_LIMIT:
        what = f"longer than {TEXT_LIMIT} letters" if text else "empty"
        raise BadExpression(f"the expression is {what}; write for instance norm(cotangent) < 1e-6")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > PARTS_LIMIT:
            raise BadExpression(f"'{clean(text)}' has more than {PARTS_LIMIT} parts; write a shorter one")
        checked = _checked(tree, graph)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        if _ASSIGNED.search(text):
            reason = 'equal is ==, and words stand in quotes: phase == "backward"'
        raise BadExpression(f"'{clean(text)}' is no expression ({clean(str(reason))}); {_allowed()}") from error
    expression = Expression(text, checked)
    _reader(text, checked)(lambda name: _pretended(graph, name))
    return expression


def _allowed() -> str:
    return f"names: {', '.join(QUANTITIES)}, any node; functions: {', '.join(FUNCTIONS)}"


_TRUTH = ast.Invert()
_ENTRY = "entry of"
_AT = "at"
"""`at("W@s2")` is a node whose name could be read as an operation."""


def _checked(node: ast.AST, graph: Graph) -> ast.expr:
    """`node` with references to nodes and entries made plain names and calls. Raises BadExpression, UnknownName."""
    match node:
        case ast.Constant(value=bool()):
            return ast.Constant(node.value)
        case ast.Constant(value=int() | float() as number):
            return ast.Constant(float(number))
        case ast.Name() | ast.Attribute() | ast.Call(func=ast.Name(id="at")):
            return ast.Name(_reference(node, graph))
        case ast.Subscript():
            index = ast.Constant(_index(node.slice))
            return ast.Call(ast.Name(_ENTRY), [_checked(node.value, graph), index], [])
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not()):
            return ast.UnaryOp(node.op, _checked(node.operand, graph))
        case ast.BinOp() if type(node.op) in OPERATORS:
            return ast.BinOp(_checked(node.left, graph), node.op, _checked(node.right, graph))
        case ast.BoolOp():
            return ast.BoolOp(node.op, [ast.UnaryOp(_TRUTH, _checked(part, graph)) for part in node.values])
        case ast.Compare() if all(type(op) in OPERATORS for op in node.ops):
            words = all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
            left, *others = (_side(part, graph, words) for part in (node.left, *node.comparators))
            return ast.Compare(left, node.ops, others)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return ast.Call(ast.Name(name), [_checked(argument, graph)], [])
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            raise BadExpression(f"{name}() takes one argument: {name}(value)")
        case ast.Call(func=ast.Name(id=name)):
            raise UnknownName("function", clean(name), [*FUNCTIONS, _AT])
    raise BadExpression(f"'{clean(ast.unparse(node))}' may not stand in an expression; {_allowed()}")


def _side(node: ast.expr, graph: Graph, words: bool) -> ast.expr:
    """One side of a comparison; a word in quotes only where it is == or !=."""
    if words and isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.Constant(node.value)
    return _checked(node, graph)


def _reference(node: ast.expr, graph: Graph) -> str:
    """`W.grad` as `W` NUL `grad`, `l2.s3` as `l2.s3` NUL `value`, `lag` as it is."""
    parts = _dotted(node)
    whole, before, last = ".".join(parts), ".".join(parts[:-1]), parts[-1]
    if whole in QUANTITIES and isinstance(node, ast.Name):
        return whole
    if whole in graph:
        return f"{whole}\0value"
    of_nodes = [name for name, quantity in QUANTITIES.items() if quantity.of_node]
    if before in graph and last in of_nodes:
        return f"{before}\0{last}"
    if before in graph:
        raise UnknownName(f"quantity of {clean(before)}", clean(last), of_nodes)
    raise UnknownName("name", clean(whole), [*QUANTITIES, *graph])


def _dotted(node: ast.expr) -> list[str]:
    match node:
        case ast.Name():
            return [node.id]
        case ast.Attribute():
            return [*_dotted(node.value), node.attr]
        case ast.Call(func=ast.Name(id="at"), args=[ast.Constant(value=str() as name)], keywords=[]):
            return [name]
    raise BadExpression(f"'{clean(ast.unparse(node))}' is no node and no quantity of one; write W.grad or s3.value")


def _index(node: ast.expr) -> Any:
    """Whole numbers and ranges of them, as numpy takes them."""
    match node:
        case ast.Tuple(elts=[_, *_]):
            return tuple(_index(part) for part in node.elts)
        case ast.Slice(step=None):
            ends = (None if end is None else _index(end) for end in (node.lower, node.upper))
            return slice(*ends)
        case ast.Constant(value=int()) if not isinstance(node.value, bool):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            return -_index(node.operand)
    raise BadExpression(
        f"'{clean(ast.unparse(node))}' is no entry; write whole numbers: W[0, 1], or a range: W[0, 1:3]"
    )
