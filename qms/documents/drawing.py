"""Draw who imports whom: one layer above the other, importers on top.

Lines that follow from others are left out (A to C where A to B to C is drawn), else the drawing is a ball of wool. The
matrix beside it has them all.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 124, 34
_PASSING = 10  # width that a line takes up where it passes through a layer
_BESIDE, _BELOW = 14, 58
_MARGIN = 12
_SWEEPS = 8

Edges = Collection[tuple[str, str]]
Layer = list[str]


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
    layers = _layers(rooms, acyclic)
    lines = {edge: _way(edge, layers) for edge in sorted(reduced(acyclic))}
    steps = {step for way in lines.values() for step in itertools.pairwise(way)}
    _order(layers, steps)
    width = max(_width(layer) for layer in layers) + 2 * _MARGIN
    height = len(layers) * (_HEIGHT + _BELOW) - _BELOW + 2 * _MARGIN
    places: dict[str, tuple[float, float]] = {}
    for depth, layer in enumerate(layers):
        left = (width - _width(layer)) / 2
        for name in layer:
            places[name] = (left, _MARGIN + depth * (_HEIGHT + _BELOW))
            left += _wide(name) + _BESIDE
    parts = [_line([places[name] for name in way], f"{edge[0]} imports {edge[1]}") for edge, way in lines.items()]
    parts += [_box(room, purpose, *places[room]) for room, purpose in rooms.items()]
    frame = Markup('<svg class="drawing" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    label = "Rooms of the product, importers above what they import"
    return frame.format(round(width), round(height), label, Markup("").join(parts))


def _way(edge: tuple[str, str], layers: list[Layer]) -> list[str]:
    """Return the ends of an edge and the places where it passes a layer between them, which are added to the layers."""
    depth = {name: level for level, layer in enumerate(layers) for name in layer}
    passing = [f"{edge[0]}|{edge[1]}|{level}" for level in range(depth[edge[0]] + 1, depth[edge[1]])]
    for level, name in enumerate(passing, depth[edge[0]] + 1):
        layers[level].append(name)
    return [edge[0], *passing, edge[1]]


def _wide(name: str) -> int:
    return _PASSING if "|" in name else _WIDTH


def _width(layer: Layer) -> int:
    return sum(_wide(name) + _BESIDE for name in layer) - _BESIDE


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


def _layers(rooms: Iterable[str], edges: Edges) -> list[Layer]:
    """Put each room one layer below the lowest that imports it."""
    depth = dict.fromkeys(sorted(rooms), 0)
    for _ in depth:
        for a, b in edges:
            depth[b] = max(depth[b], depth[a] + 1)
    layers: list[Layer] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for room, level in depth.items():
        layers[level].append(room)
    return layers


def _order(layers: list[Layer], steps: Edges) -> None:
    """Order each layer by the mean place of its neighbours, a few times down and up (barycentre heuristic)."""
    around: dict[str, list[str]] = defaultdict(list)
    for a, b in steps:
        around[a].append(b)
        around[b].append(a)
    place: dict[str, float] = {}
    for layer in layers:
        place |= _places(layer)
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            means = {name: sum(place[o] for o in around[name]) / len(around[name]) for name in layer if around[name]}
            layer.sort(key=lambda name, means=means: (means.get(name, place[name]), name))  # type: ignore[misc]
            place |= _places(layer)


def _places(layer: Layer) -> dict[str, float]:
    """Return the middle of each name, from the middle of the layer."""
    places, left = {}, -_width(layer) / 2
    for name in layer:
        places[name] = left + _wide(name) / 2
        left += _wide(name) + _BESIDE
    return places


def _line(places: Sequence[tuple[float, float]], title: str) -> Markup:
    """Draw a line from the first box to the last through the places between, straight down where it passes a layer."""
    x, y = places[0][0] + _WIDTH / 2, places[0][1] + _HEIGHT
    path = f"M{x:.0f} {y:.0f}"
    for index, (left, top) in enumerate(places[1:], 1):
        next_x = left + (_WIDTH if index == len(places) - 1 else _PASSING) / 2
        middle = (y + top) / 2
        path += f"C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {top:.0f}"
        x, y = next_x, top
        if index < len(places) - 1:
            y += _HEIGHT
            path += f"V{y:.0f}"
    return Markup('<path d="{}"><title>{}</title></path>').format(path, title)


def _box(room: str, purpose: str, x: float, y: float) -> Markup:
    box = Markup(
        '<a href="#{room}"><title>{title}</title>'
        '<rect x="{x:.0f}" y="{y:.0f}" width="{width}" height="{height}" rx="5"/>'
        '<text x="{middle:.0f}" y="{base:.0f}">{room}</text></a>'
    )
    place = {"x": x, "y": y, "width": _WIDTH, "height": _HEIGHT, "middle": x + _WIDTH / 2, "base": y + _HEIGHT / 2 + 4}
    return box.format(room=room, title=purpose or room, **place)
