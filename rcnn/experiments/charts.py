"""Line charts as SVG inside an HTML page: they take the page's font and colours, light or dark, and its width."""
import io
import re
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure

from rcnn.experiments.plots import DASHES

THIN, THICK, MARKED = "thin", "thick", "marked"
MOST_MARKED = 40  # points of a line; with more, marks would hide it
# matplotlib's colours, until the page's take their place
_INK, _STAND_INS = "#a1b2ff", tuple(f"#a1b2c{series}" for series in range(5))


def line_chart(lines, name, label, x, y, top=None):
    """Return a chart as SVG text to stand inside an HTML page, with the page's own font and colours.

    lines: [(series, xs, ys, kind)]; series: 0, 1, ..., which colour and dashes a line has; kind: THIN, THICK, or MARKED
    with a mark at each point (a line of one point always has one).
    name: a word that no other chart of the page has.  label: what the chart says, for who cannot see it.  x, y: the
    axes' names.  top: end of the y axis, None for the data's.
    The page sets the colours: the CSS properties --series-0 to --series-4, and `color` for all else.
    """
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10.5}):
        figure = Figure(figsize=(5, 3.2), dpi=72, layout="constrained")  # 360 units of SVG wide, as a phone
        axes = figure.subplots()
        for series, xs, ys, kind in lines:
            thin = kind == THIN
            marker = "osD^v"[series % 5] if len(xs) == 1 or kind == MARKED and len(xs) <= MOST_MARKED else None
            axes.plot(xs, ys, color=_STAND_INS[series % len(_STAND_INS)], linestyle="-" if thin else DASHES[series % 4],
                      linewidth=0.6 if thin else 1.8, alpha=0.5 if thin else None, marker=marker, markersize=4)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_ylim(0, top)
        axes.grid(alpha=0.15, color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.patch.set_visible(False)
        for part in (axes.spines["left"], axes.spines["bottom"]):
            part.set_color(_INK)
        axes.tick_params(colors=_INK)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    return _for_page(file.getvalue(), name, label)


def key_style(series):
    """Return the CSS of the line that stands for a series of `line_chart` in a legend."""
    dashes = {"-": "none", "--": "7 3", "-.": "11 3 2 3", ":": "2 3"}[DASHES[series % 4]]
    return f"fill: none; stroke: var(--series-{series % len(_STAND_INS)}); stroke-width: 3; stroke-dasharray: {dashes}"


def _for_page(svg, name, label):
    """Return matplotlib's SVG file as an element of an HTML page: ids of its own, no fixed size, no fixed colours."""
    root = ElementTree.fromstring(svg)
    used = set(re.findall(r"""(?:url\(|href=")#([^)"]+)""", svg))
    for element in root.iter():
        for child in [child for child in element if child.tag.endswith(("}metadata", "}style"))]:
            element.remove(child)
        element.tag = element.tag.split("}")[-1]
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            if key != "id" or value in used:
                value = re.sub(r"^#|(?<=url\()#", f"#{name}-", value)
                element.set(key.split("}")[-1], f"{name}-{value}" if key == "id" else value)
    root.attrib = {"class": "chart", "role": "img", "aria-label": label, "viewBox": root.get("viewBox")}
    text = ElementTree.tostring(root, encoding="unicode").replace(_INK, "currentColor")
    for series, colour in enumerate(_STAND_INS):
        text = text.replace(colour, f"var(--series-{series})")
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", re.sub(r"font-family:[^;\"]*;? *", "", text))
