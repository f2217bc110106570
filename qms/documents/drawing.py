"""Draw who imports whom: one layer above the other, importers on top.

Lines that follow from others are left out (A to C where A to B to C is drawn), else the drawing is a ball of wool. The
matrix beside it has them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape

from markupsafe import Markup

_WIDTH, _HEIGHT = 124, 34
_BESIDE, _BELOW = 16, 62
_MARGIN = 12
_SWEEPS = 6

Edges = Collection[tuple[str, str]]


def draw(rooms: Mapping[str, str], edges: Edges) -> Markup:
    """Return the drawing as SVG.

    Parameters
    ----------
    rooms
        Purpose by name.
    edges
        Pairs (importer, imported).
    """
    acyclic = _without_cycles(rooms, edges)
    lines = reduced(acyclic)
    layers = _ordered(_layers(rooms, acyclic), lines)
    width = max(len(layer) for layer in layers) * (_WIDTH + _BESIDE) - _BESIDE + 2 * _MARGIN
    height = len(layers) * (_HEIGHT + _BELOW) - _BELOW + 2 * _MARGIN
    places = {}
    for depth, layer in enumerate(layers):
        left = (width - len(layer) * (_WIDTH + _BESIDE) + _BESIDE) / 2
        for index, room in enumerate(layer):
            places[room] = (left + index * (_WIDTH + _BESIDE), _MARGIN + depth * (_HEIGHT + _BELOW))
    parts = [_line(places[a], places[b], f"{a} imports {b}") for a, b in sorted(lines)]
    parts += [_box(room, rooms[room], *place) for room, place in places.items()]
    label = "Rooms of the product, importers above what they import"
    return Markup(
        f'<svg class="drawing" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def reduced(edges: Edges) -> set[tuple[str, str]]:
    """Return the edges of an acyclic graph that do not follow from others (its transitive reduction)."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)

    def reaches(start: str, goal: str) -> bool:
        seen, waiting = set(), [start]
        while waiting:
            here = waiting.pop()
            if here == goal:
                return True
            if here not in seen:
                seen.add(here)
                waiting += after.get(here, ())
        return False

    return {(a, b) for a, b in edges if not any(reaches(c, b) for c in after[a] - {b})}


def _without_cycles(rooms: Iterable[str], edges: Edges) -> set[tuple[str, str]]:
    """Leave out, of rooms that import each other, the edges that lead back."""
    after: dict[str, list[str]] = {}
    for a, b in sorted(edges):
        after.setdefault(a, []).append(b)
    kept: set[tuple[str, str]] = set()
    state: dict[str, str] = {}

    def visit(room: str) -> None:
        state[room] = "open"
        for other in after.get(room, ()):
            if state.get(other) != "open":
                kept.add((room, other))
            if other not in state:
                visit(other)
        state[room] = "done"

    for room in sorted(rooms):
        if room not in state:
            visit(room)
    return kept


def _layers(rooms: Iterable[str], edges: Edges) -> list[list[str]]:
    """Put each room one layer below the lowest that imports it."""
    depth = dict.fromkeys(sorted(rooms), 0)
    for _ in depth:
        for a, b in edges:
            depth[b] = max(depth[b], depth[a] + 1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for room, level in depth.items():
        layers[level].append(room)
    return layers


def _ordered(layers: list[list[str]], edges: Edges) -> list[list[str]]:
    """Order each layer by the mean place of its neighbours, a few times down and up (barycentre heuristic)."""
    for sweep in range(_SWEEPS):
        place = {room: (index + 0.5) / len(layer) for layer in layers for index, room in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            means = {room: _mean(room, place, edges) for room in layer}
            layer.sort(key=lambda room, means=means: (means[room], room))  # type: ignore[misc]
            place |= {room: (index + 0.5) / len(layer) for index, room in enumerate(layer)}
    return layers


def _mean(room: str, place: Mapping[str, float], edges: Edges) -> float:
    around = [place[b] for a, b in edges if a == room] + [place[a] for a, b in edges if b == room]
    return sum(around) / len(around) if around else place[room]


def _line(upper: tuple[float, float], lower: tuple[float, float], title: str) -> str:
    x1, y1 = upper[0] + _WIDTH / 2, upper[1] + _HEIGHT
    x2, y2 = lower[0] + _WIDTH / 2, lower[1]
    middle = (y1 + y2) / 2
    path = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
    return f'<path d="{path}"><title>{escape(title)}</title></path>'


def _box(room: str, purpose: str, x: float, y: float) -> str:
    return (
        f'<a href="#{escape(room)}"><title>{escape(purpose or room)}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{x + _WIDTH / 2:.0f}" y="{y + _HEIGHT / 2 + 4:.0f}">{escape(room)}</text></a>'
    )
