"""Line charts for an HTML page: a picture for light and one for dark pages, as SVG in data URIs."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple, Optional

from rcnn.experiments.plots import DASHES, Figure, settings

THIN, THICK, MARKED = "thin", "thick", "marked"
MOST_MARKED = 40  # points of a line; with more, marks would hide it


class Theme(NamedTuple):
    """Colours of a page: its ink, and those of a chart's lines, which stand out from its paper."""

    ink: str
    series: tuple[str, ...]


LIGHT = Theme("#1c1e21", ("#0072b2", "#b84e00", "#007a59", "#a8508a", "#1c1e21"))
DARK = Theme("#e6e8ea", ("#56b4e9", "#e69f00", "#2fc79b", "#e39cc8", "#e6e8ea"))


class Line(NamedTuple):
    """A line of a chart; series, 0, 1, ..., decides its colour and dashes, kind is THIN, THICK or MARKED."""

    series: int
    xs: Sequence[float]
    ys: Sequence[float]
    kind: str


class Chart(NamedTuple):
    """A chart as data URIs of two SVG files, and what it says, for who cannot see it."""

    light: str
    dark: str
    label: str


def line_chart(lines: Sequence[Line], label: str, x: str, y: str, top: Optional[float] = None) -> Chart:
    """Return a chart.

    Parameters
    ----------
    lines
        One of a single point has a mark, and so has each of MARKED, where they are not too many.
    label
        What the chart says.
    x, y
        Names of the axes.
    top
        End of the y axis, None for the data's.
    """
    light, dark = (_data_uri(_draw(lines, x, y, top, theme)) for theme in (LIGHT, DARK))
    return Chart(light, dark, label)


def key_style(series: int) -> str:
    """Return the CSS of the line that stands for a series in a legend; the page sets --series-0, --series-1, ..."""
    dashes = {"-": "none", "--": "7 3", "-.": "11 3 2 3", ":": "2 3"}[DASHES[series % 4]]
    colour = series % len(LIGHT.series)
    return f"fill: none; stroke: var(--series-{colour}); stroke-width: 3; stroke-dasharray: {dashes}"


def _draw(lines, x, y, top, theme):
    with settings(**{"svg.fonttype": "none", "svg.hashsalt": "chart", "font.size": 10.5}):
        figure = Figure(figsize=(5, 3.2), dpi=72, layout="constrained")  # 360 units of SVG wide, as a phone
        axes = figure.subplots()
        for series, xs, ys, kind in lines:
            thin = kind == THIN
            marker = "osD^v"[series % 5] if len(xs) == 1 or kind == MARKED and len(xs) <= MOST_MARKED else None
            axes.plot(
                xs,
                ys,
                color=theme.series[series % len(theme.series)],
                linestyle="-" if thin else DASHES[series % 4],
                linewidth=0.6 if thin else 1.8,
                alpha=0.5 if thin else None,
                marker=marker,
                markersize=4,
            )
        axes.set_ylim(0, top)
        axes.set_xlabel(x, color=theme.ink)
        axes.set_ylabel(y, color=theme.ink)
        axes.grid(alpha=0.15, color=theme.ink)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(theme.ink)
        axes.tick_params(colors=theme.ink)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def _data_uri(svg):
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
