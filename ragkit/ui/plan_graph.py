"""A plan as a graph of cards in levels, with lines from each step to those that use it."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from ragkit.ui.run_events import NodeState, PlanNode

_CARD, _GAP, _COLUMN_GAP = 76, 12, 5.0
_SIGNS: Mapping[NodeState, str] = {
    "waiting": "○ waiting",
    "running": "… running",
    "done": "✓ done",
    "failed": "✗ failed",
}
_COLOURS: Mapping[NodeState, str] = {
    "waiting": "var(--rk-line)",
    "running": "#ca8a04",
    "done": "#0d9488",
    "failed": "#c2410c",
}
_LINE = "#8894a3"


def levels(plan: Sequence[PlanNode]) -> list[list[PlanNode]]:
    """Return the steps by how many others stand before them."""
    depth: dict[str, int] = {}
    for node in plan:  # a step needs earlier ones only
        depth[node.label] = 1 + max((depth.get(need, -1) for need in node.needs), default=-1)
    deepest = max(depth.values(), default=-1)
    return [[n for n in plan if depth[n.label] == level] for level in range(deepest + 1)]


def plan_html(plan: Sequence[PlanNode]) -> str:
    """Return the graph."""
    columns = levels(plan)
    if not columns:
        return ""
    if len(columns) == 1:  # nothing needs anything: side by side
        columns = [[node] for node in plan]
    width = (100 - _COLUMN_GAP * (len(columns) - 1)) / len(columns)
    height = max(map(len, columns)) * (_CARD + _GAP)
    places = {
        node.label: (number, row)
        for number, column in enumerate(columns)
        for row, node in enumerate(column)
    }
    cells = "".join(f"<div>{''.join(map(_card_html, column))}</div>" for column in columns)
    lines = "".join(
        _line(places[need], places[node.label], width)
        for node in plan
        for need in node.needs
        if need in places
    )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 {height}" '
        f'preserveAspectRatio="none">{lines}</svg>'
    )
    data = b64encode(drawn.encode()).decode()
    grid = f"grid-template-columns:repeat({len(columns)},minmax(9.5rem,1fr))"
    return (
        f'<div class="rk-board"><div class="rk-plan" '
        f'style="{grid};column-gap:{_COLUMN_GAP}%">{cells}'
        f'<img class="rk-lines" style="height:{height}px" alt="" '
        f'src="data:image/svg+xml;base64,{data}"></div></div>'
    )


def _card_html(node: PlanNode) -> str:
    return (
        f'<div class="rk-card" style="height:{_CARD}px;margin-bottom:{_GAP}px;'
        f'--rk-hue:{_COLOURS[node.state]}" title="{escape(node.text)}">'
        f'<div class="rk-top"><b>{escape(node.label)}</b>'
        f'<span class="rk-score">{_SIGNS[node.state]}</span></div>'
        f'<div class="rk-text">{escape(node.text)}</div></div>'
    )


def _line(start: tuple[int, int], end: tuple[int, int], width: float) -> str:
    x1 = start[0] * (width + _COLUMN_GAP) + width
    x2 = end[0] * (width + _COLUMN_GAP)
    y1, y2 = (row * (_CARD + _GAP) + _CARD // 2 for row in (start[1], end[1]))
    bend = (x1 + x2) / 2
    return (
        f'<path d="M{x1:.2f} {y1}C{bend:.2f} {y1} {bend:.2f} {y2} {x2:.2f} {y2}" fill="none" '
        f'stroke="{_LINE}" stroke-width="1.6" vector-effect="non-scaling-stroke"/>'
    )
