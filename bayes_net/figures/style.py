"""The one style of all figures: colours, legends, ratio and month axes, and writing SVG and PNG.

Text comes from data, so it is never parsed as mathematics. No global state of matplotlib is touched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bayes_net.results.folder import Illustration
from bayes_net.schema import EQUIVALENCE

ARM_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which stays apart under the common colour-vision deficiencies."""
GREYS = ("#4d4d4d", "#7f7f7f", "#a6a6a6", "#c6c6c6", "#dedede")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
MOST_BESIDE = 28
"""Letters of both columns of a legend that fit above a figure."""
WIDTH = 3.6
"""Inches of every figure: a phone shows it whole, and enlarges its text of 9 points to 12 pixels."""
TEXT = 9
"""Points of all text of figures."""
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "legend.handlelength": 1.4,
    "legend.handletextpad": 0.5,
    "legend.borderpad": 0.2,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "figure.labelsize": TEXT,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "bayes_net",
}
RATIO_TICKS = (
    [0.05 * step for step in range(1, 41)],
    [0.1 * step for step in range(1, 31)],
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10],
    [0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10],
    [0.1, 0.25, 0.5, 1, 2, 4, 10],
    [0.1, 0.2, 0.5, 1, 2, 5, 10],
)


class Figure(NamedTuple):
    """A drawn figure: file name, section of the report, axes, caption, and in ``alt`` what it shows."""

    name: str
    section: str
    axes: Axes
    caption: str
    alt: str

    def __repr__(self) -> str:
        return f"<figure: {self.name}, {self.caption}>"


class Kind(NamedTuple):
    """A kind of figure: what draws it, in which section of a report it stands, its caption, and what says in
    words what its tables show."""

    draw: Callable[..., Axes | list[Axes]]
    section: str
    caption: str
    finding: Callable[..., str]

    def figure(self, name: str, *plotted: pd.DataFrame, subject: str = "", **how: Any) -> Figure:
        """The figure of these tables, saved under ``name``; ``subject`` says what it is about, for example
        ``"PFS, landmark 180 d"``."""
        drawn = self.draw(*plotted, **how)
        about = f"{subject}: " if subject else ""
        axes = drawn[0] if isinstance(drawn, list) else drawn
        return Figure(name, self.section, axes, about + self.caption, about + self.finding(*plotted))


def illustrate(figures: Iterable[Figure], folder: Path) -> dict[str, Illustration]:
    """The figures by name as a report shows them, saved to ``folder`` as SVG and PNG on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for figure in figures:
        vector, _ = save(figure.axes, folder / figure.name)
        text = vector.read_text(encoding="utf-8")
        drawn[figure.name] = Illustration(figure.section, text, figure.caption, figure.alt)
    return drawn


def svg(figure: Axes | Canvas) -> str:
    """The figure as an ``<svg>`` element whose text is text; the same figure gives the same bytes."""
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    text = _written(figure, format="svg", metadata=nothing).decode("utf-8")
    return text[text.index("<svg") :]


def save(figure: Axes | Canvas, stem: str | Path) -> tuple[Path, Path]:
    """Write ``stem.svg`` and ``stem.png`` (200 dots per inch) and return their paths."""
    stem = Path(stem)
    vector, pixels = stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")
    canvas = _canvas(figure)
    engine = canvas.get_layout_engine()
    vector.write_text(svg(figure), encoding="utf-8")
    canvas.set_layout_engine(None)  # everything has its place already, so that nothing is drawn twice
    pixels.write_bytes(_written(figure, format="png", dpi=200, metadata={"Software": None}))
    canvas.set_layout_engine(engine)
    return vector, pixels


def _canvas(figure: Axes | Canvas) -> Canvas:
    return figure.figure if isinstance(figure, Axes) else figure


def _written(figure: Axes | Canvas, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        # A label may hold letters that matplotlib's font lacks; whoever shows the SVG has a font for them.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        _canvas(figure).savefig(buffer, **options)
    return buffer.getvalue()


def draw_interval(
    ax: Axes, row: Any, y: float, limits: tuple[float, float], *, arrow: float, linestyle: str, **look: Any
) -> None:
    """Interval and estimate of a hazard ratio at height ``y``; what reaches beyond the ``limits`` is cut, and
    ends in an arrow of this size."""
    low, high = limits
    line = {"color": look["color"], "linestyle": linestyle, "solid_capstyle": "butt", "gid": "interval"}
    ax.plot([max(row.lower, low), min(row.upper, high)], [y, y], **line)
    for beyond, end, marker in ((row.lower < low, low, "<"), (row.upper > high, high, ">")):
        if beyond:
            ax.plot(end, y, marker=marker, color=look["color"], markersize=arrow, clip_on=False)
    if low <= row.hr <= high:
        ax.plot(row.hr, y, gid="estimate", **look)


def panels(count: int, *, inches: tuple[float, float], **shared: Any) -> tuple[Canvas, list[Axes]]:
    """A figure with so many panels, at most two beside each other; ``inches`` of what is around them, and of
    each line of them."""
    columns = min(2, count)
    lines = -(-count // columns)
    figure = Canvas(figsize=(WIDTH, inches[0] + inches[1] * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, **shared).ravel()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def new_axes(ax: Axes | None, *, height: float) -> Axes:
    """Axes to draw on: those given, or new ones of the report's width."""
    return Canvas(figsize=(WIDTH, height), layout="constrained").add_subplot() if ax is None else ax


def present(table: pd.DataFrame) -> list[str]:
    """The arms of a table, in its order."""
    return list(table["arm"].unique())


def arm_colours(found: pd.Series, arms: Sequence[str]) -> dict[str, str]:
    """Colour per arm: its place in ``arms``, or in order of appearance."""
    names = list(dict.fromkeys([*arms, *found]))
    return {name: ARM_COLOURS[i % len(ARM_COLOURS)] for i, name in enumerate(names)}


def group_styles(bands: pd.DataFrame, arms: Sequence[str]) -> tuple[dict, dict]:
    """Colour (by arm) and line (by rank within the arm) of every group."""
    owner = bands if "arm" in bands else bands.assign(arm=bands["group"])
    pairs = owner[["group", "arm"]].drop_duplicates()
    colours = arm_colours(pairs["arm"], arms)
    ranks = pairs.groupby("arm", sort=False).cumcount()
    lines = {group: LINES[rank % len(LINES)] for group, rank in zip(pairs["group"], ranks, strict=True)}
    return {group: colours[arm] for group, arm in pairs.itertuples(index=False, name=None)}, lines


def ink(colour: str) -> str:
    """Black or white, whichever reads better on ``colour`` (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = np.dot((0.2126, 0.7152, 0.0722), linear)
    return "white" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "black"


def spread(colours: Sequence[str], count: int) -> list[str]:
    """As many colours as asked for, from the first again when they run out."""
    return [colours[i % len(colours)] for i in range(count)]


def arm_marker(colour: str, rank: int) -> Line2D:
    """Legend entry of the arm of this rank: its marker in its colour."""
    return Line2D([], [], color=colour, marker=MARKERS[rank % len(MARKERS)], markersize=7)


def add_legend(ax: Axes, handles: list, labels: Sequence[str]) -> None:
    """A legend above the axes."""
    labels = [fitted(label, 38) for label in labels]
    half = (len(labels) + 1) // 2  # a column is filled before the next
    beside_each_other = sum(max(map(len, part), default=0) for part in (labels[:half], labels[half:]))
    columns = 2 if beside_each_other <= MOST_BESIDE else 1
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.01), "borderaxespad": 0.0}
    _set_texts(ax.legend(handles, [" "] * len(handles), ncols=columns, **place), labels)


def figure_legend(figure: Canvas, handles: list, labels: Sequence[str], *, columns: int) -> None:
    """A legend above all panels of a figure."""
    place = {"loc": "outside upper left", "ncols": columns}
    _set_texts(figure.legend(handles, [" "] * len(handles), **place), labels)


def _set_texts(legend: Legend, labels: Sequence[str]) -> None:
    """Write the labels, which matplotlib drops where they begin with ``_``."""
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def beside(ax: Axes, text: str, points: float, y: float, **style: Any) -> None:
    """Write ``text`` right of the axes, ``points`` away, at height ``y`` of the data."""
    ax.annotate(
        text,
        (1, y),
        (points, 0),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center",
        annotation_clip=False,
        **style,
    )


def ratio_ticks(low: float, high: float, *, otherwise: list[float]) -> list[float]:
    """The finest ticks of which three to five are in view; more would touch."""
    in_view = ([tick for tick in ticks if low <= tick <= high] for ticks in RATIO_TICKS)
    return next((ticks for ticks in in_view if 3 <= len(ticks) <= 5), otherwise)


def ratio_axis(ax: Axes, low: float, high: float, label: str, *, vertical: bool = False) -> None:
    """A log axis from ``low`` to ``high`` with the finest ticks of which three to five are in view."""
    name, axis = ("y", ax.yaxis) if vertical else ("x", ax.xaxis)
    ax.set(**{f"{name}scale": "log", f"{name}lim": (low, high), f"{name}label": label})
    axis.set_major_locator(FixedLocator(ratio_ticks(low, high, otherwise=[low, 1, high])))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:.3g}"))


def row_labels(ax: Axes, places: Sequence[float], labels: Sequence[str], **style: Any) -> None:
    """Names of rows at their heights, without ticks and axis line."""
    ax.set_yticks(places, labels=labels, parse_math=False, **style)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def no_effect(ax: Axes) -> None:
    """A line at a hazard ratio of 1, in the region of practical equivalence."""
    ax.axvspan(*EQUIVALENCE, color=GREYS[4], alpha=0.5, linewidth=0, zorder=0, gid="equivalence")
    ax.axvline(1, color="black", linewidth=0.8, zorder=1)


def month_ticks(end: float) -> list[float]:
    """Ticks at round numbers of months, at most about eight up to ``end``."""
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60) if end / s <= 7), 120)
    return list(np.arange(0, end + 1e-9, step))


def endpoint(table: pd.DataFrame) -> str:
    """The name of the endpoint that a table is of."""
    return fitted(table["endpoint"].iloc[0]) if "endpoint" in table else "Survival"


def fitted(label: str, most: int = 34) -> str:
    """The label in lines of at most ``most`` letters, without control characters (SVG forbids them): nothing
    is cut, but for what is too long for MOST_LINES of them."""
    text = "".join(letter for letter in " ".join(str(label).split()) if letter.isprintable())
    whole = _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)
    lines = wrap(whole, most, max_lines=MOST_LINES, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=(?:d|w|mo|y|points)\b)")
"""The space between them, at which no line ends."""
MOST_LINES = 5
_LINE, _BETWEEN = 0.15, 0.04
"""Height of a line of text, and what is between rows of them, in inches."""


def row_places(labels: Sequence[str], row: float) -> list[float]:
    """The heights at which rows of ``row`` inches stand, in such rows, with more room for labels of several
    lines; the first at 0 if it has one."""
    sizes = [max(1.0, (_LINE * (label.count("\n") + 1) + _BETWEEN) / row) for label in labels]
    return list(np.cumsum(sizes) - np.array(sizes) / 2 - 0.5)
