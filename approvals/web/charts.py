"""Pure: numbers as the parts of an SVG; x in percent, y in pixels, so that text keeps its size."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from approvals import figures

_TOP = 15.0  # px above the largest value, for its label
_FOOT = 18.0  # px below the axis, for its words
_RIGHT = 95.5  # percent; the scale's numbers stand to the right of it
_GAP = 0.6  # px between two parts of one bar


@dataclass(frozen=True)
class Rect:
    """One part of a bar."""

    tone: str  # a class: c1 …
    x: str
    width: str
    y: str
    height: str


@dataclass(frozen=True)
class Line:
    """An axis, or a piece of a drawn line."""

    tone: str
    x1: str
    y1: str
    x2: str
    y2: str


@dataclass(frozen=True)
class Point:
    """The end of a drawn line."""

    x: str
    y: str


@dataclass(frozen=True)
class Text:
    """A few words; `place` is empty, mid or end."""

    words: str
    x: str
    y: str
    place: str = ""


@dataclass(frozen=True)
class Chart:
    """What a template draws, and the finding in words for who does not see it."""

    height: int
    finding: str
    rects: list[Rect] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def stacked(
    bars: Sequence[Sequence[int]], labels: Sequence[str], height: int, finding: str
) -> Chart:
    """Return bars of parts on top of each other; part n has the tone c<n+1>.

    Args:
        labels: of the bars; the first, the middle and the last are written.
    """
    base = height - _FOOT
    steps = figures.ticks(max((sum(bar) for bar in bars), default=0))
    most = max(steps[-1], max((sum(bar) for bar in bars), default=0), 1)
    scale = (base - _TOP) / most
    right = _RIGHT if most < 1_000 else _RIGHT - 5  # long numbers need room on a phone
    chart = Chart(height, finding)
    for step in steps:
        y = base - step * scale
        chart.lines.append(Line("axis", "0", _px(y), _percent(right), _px(y)))
        if step:
            chart.texts.append(Text(f"{step:,}", "100%", _px(y + 4), "end"))
    slot = right / max(1, len(bars))
    for place, bar in enumerate(bars):
        top = base
        for tone, value in enumerate(bar, 1):
            if value:
                tall = max(0.8, value * scale - _GAP)
                top -= tall + _GAP
                chart.rects.append(
                    Rect(
                        f"c{tone}", _percent((place + 0.14) * slot), _percent(slot * 0.72),
                        _px(top), _px(tall),
                    )
                )  # fmt: skip
    chart.texts.extend(_below(labels, height, right))
    return chart


def counted(values: Sequence[int], edges: Sequence[str], height: int, finding: str) -> Chart:
    """Return one bar per bucket with its number on top; the edges stand between them.

    The first bucket is drawn as what is out of the ordinary.
    """
    base = height - _FOOT - 2
    scale = (base - 2 * _TOP) / max(1, *values)
    slot = 100 / len(values)
    chart = Chart(height, finding)
    chart.lines.append(Line("axis", "0", _px(base), "100%", _px(base)))
    for place, value in enumerate(values):
        tall, x = value * scale, place * slot
        tone = "c1" if place else "c3"
        chart.rects.append(
            Rect(
                tone, _percent(x + slot * 0.07), _percent(slot * 0.86), _px(base - tall), _px(tall)
            )
        )
        if value:
            middle = _percent(x + slot / 2)
            chart.texts.append(Text(f"{value:,}", middle, _px(base - tall - 5), "mid strong"))
    for place, edge in enumerate(edges, 1):
        chart.texts.append(Text(edge, _percent(place * slot), _px(height - 5), "mid"))
    return chart


def drawn(
    values: Sequence[float | None], labels: Sequence[str], height: int, finding: str
) -> Chart:
    """Return a line through shares in percent; where nothing was counted there is a gap."""
    base = height - _FOOT - 2
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    steps = figures.ticks(max((value for _, value in known), default=0))
    scale = (base - 2 * _TOP) / max(steps[-1], *(value for _, value in known), 1)
    chart = Chart(height, finding)
    for step in steps:
        y = base - step * scale
        chart.lines.append(Line("axis", "0", _px(y), "100%", _px(y)))
        if step:
            chart.texts.append(Text(f"{step} %", "0", _px(y - 4)))

    def at(place: int, value: float) -> tuple[str, str]:
        return _percent(13 + 84 * place / max(1, len(values) - 1)), _px(base - value * scale)

    for (place, value), (after, then) in itertools.pairwise(known):
        if after == place + 1:
            chart.lines.append(Line("stroke", *at(place, value), *at(after, then)))
    for place, value in known[:1] + known[1:][-1:]:
        end, top = at(place, value)
        chart.points.append(Point(end, top))
        chart.texts.append(Text(f"{value:g} %", end, _px(float(top) - 10), "mid strong"))
    if labels:
        chart.texts.append(Text(labels[0], "13%", _px(height - 5), "mid"))
        chart.texts.append(Text(labels[-1], "97%", _px(height - 5), "end"))
    return chart


def split(parts: Sequence[int]) -> list[Rect]:
    """Return one lying bar of parts beside each other."""
    whole, x, rects = sum(parts), 0.0, []
    for tone, value in enumerate(parts, 1):
        if value:
            width = 100 * value / whole
            rects.append(Rect(f"c{tone}", _percent(x), _percent(max(0.3, width - 0.4)), "0", "10"))
            x += width
    return rects


def _below(labels: Sequence[str], height: int, right: float) -> list[Text]:
    y = _px(height - 4)
    if len(labels) < 3:
        return [Text(label, _percent(n * right / 2), y) for n, label in enumerate(labels)]
    middle = len(labels) // 2
    return [
        Text(labels[0], "0%", y),
        Text(labels[middle], _percent((middle + 0.5) * right / len(labels)), y, "mid"),
        Text(labels[-1], _percent(right), y, "end"),
    ]


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _px(value: float) -> str:
    return f"{value:.1f}"
