"""What the inspector shows of a node: which page, which instance, which edge, which units, in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace

PAGES = ("overview", "value", "cotangent", "edge", "neurons", "reach")
"""The pages that one turns."""

ORDERS = ("place", "largest", "smallest")
"""How numbers are listed: as they stand, or by absolute value."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A frozen choice, which holds for whatever node is selected; what a node does not have is not shown.

    Attributes:
        page: one of PAGES.
        instance: counted from 0; None for the whole batch.
        edge: place among the edges that the node can be asked about, round and round.
        unit: the unit whose formula is written out in numbers, and the first column of numbers shown.
        order: one of ORDERS.
    """

    page: str = PAGES[0]
    instance: int | None = None
    edge: int = 0
    unit: int = 0
    order: str = ORDERS[0]


OVERVIEW = Lens()


def turned(lens: Lens, by: int) -> Lens:
    """On the next page, or one before."""
    return replace(lens, page=PAGES[(PAGES.index(lens.page) + by) % len(PAGES)])


def sorted_anew(lens: Lens) -> Lens:
    """In the next order."""
    return replace(lens, order=ORDERS[(ORDERS.index(lens.order) + 1) % len(ORDERS)])


def next_instance(lens: Lens, by: int, instances: int) -> Lens:
    """On the next of so many instances, or one before; between the last and the first stands the whole batch."""
    if instances <= 1:
        return replace(lens, instance=None)
    now = 0 if lens.instance is None else lens.instance + 1
    after = (now + by) % (instances + 1)
    return replace(lens, instance=after - 1 if after else None)


def next_edge(lens: Lens, by: int, edges: int) -> Lens:
    """On the page of the edge, at the next of so many edges once that page is shown."""
    after = lens.edge % max(edges, 1) + (by if lens.page == "edge" else 0)
    return replace(lens, page="edge", edge=after % max(edges, 1))


def moved(lens: Lens, by: int, units: int) -> Lens:
    """At a unit further right, or left; never past an end."""
    return replace(lens, unit=min(max(min(lens.unit, units - 1) + by, 0), max(units - 1, 0)))
