"""Line charts as SVG: enough for a report in one file, without a library and without a network. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#525252", "#a16207")
_WIDTH, _HEIGHT = 880, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 28
_LINES = 4


def chart(title: str, unit: str, series: Mapping[str, Points], *, x_unit: str = "s") -> str:
    """A figure with a line for each of `series`, which are points in any unit; the axes begin at 0."""
    drawn = {name: points for name, points in series.items() if points}
    most_x = max((x for points in drawn.values() for x, _ in points), default=1.0) or 1.0
    most_y = _round_up(max((y for points in drawn.values() for _, y in points), default=1.0))
    lines = [_line(points, colour, most_x, most_y) for points, colour in zip(drawn.values(), _colours(), strict=False)]
    keys = [
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(drawn, _colours(), strict=False)
    ]
    return (
        f"<figure><figcaption>{escape(title)} ({escape(unit)})</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{_grid(most_x, most_y, x_unit)}{''.join(lines)}</svg><p>{''.join(keys)}</p></figure>"
    )


def _colours() -> list[str]:
    return list(COLOURS) * 3


def _grid(most_x: float, most_y: float, x_unit: str) -> str:
    parts = []
    for step in range(_LINES + 1):
        y, x = _y(most_y * step / _LINES, most_y), _x(most_x * step / _LINES, most_x)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most_y * step / _LINES:g}</text>')
        label = f"{most_x * step / _LINES:.4g} {escape(x_unit)}"
        anchor = "end" if step == _LINES else "middle"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def _line(points: Points, colour: str, most_x: float, most_y: float) -> str:
    path = " ".join(f"{_x(x, most_x):.1f},{_y(y, most_y):.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _x(value: float, most: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / most


def _y(value: float, most: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / most


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten, so that the axis has plain numbers."""
    scale = 1.0
    while scale * 10 <= value:
        scale *= 10
    while scale > value > 0:
        scale /= 10
    return next((step * scale for step in (1, 2, 4, 8) if step * scale >= value), 10 * scale)
