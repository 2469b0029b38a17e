"""Altair charts of plot data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt

from ragkit.evaluation.plots import DifferencePlot, Histogram, IntervalPlot
from ragkit.planning.curves import ContextPoint, CostPoint

if TYPE_CHECKING:
    from ragkit.server.costs import CostSum

_BARS = 30
_TEAL, _RUST = "#0d9488", "#c2410c"


def latency_chart(times: Mapping[str, Sequence[float]]) -> alt.Chart:
    """Return histograms of the times of each stage, on a logarithmic axis in milliseconds."""
    rows = [
        {"stage": stage, "ms": max(0.01, seconds * 1000)}
        for stage, taken in times.items()
        for seconds in taken
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_tick(thickness=2, size=18, color=_TEAL, opacity=0.55)
        .encode(
            x=alt.X("ms:Q", scale=alt.Scale(type="log"), title="milliseconds"),
            y=alt.Y("stage:N", title=None, sort=list(times)),
            tooltip=[alt.Tooltip("stage:N"), alt.Tooltip("ms:Q", format=".1f")],
        )
        .properties(height=34 * max(1, len(times)) + 80)
    )


def interval_chart(plot: IntervalPlot) -> alt.LayerChart | alt.FacetChart:
    """Return means with their intervals."""
    rows = [
        {"label": row.label, "value": row.value, "low": row.low, "high": row.high, "text": row.text}
        for row in plot.rows
    ]
    scale = alt.Scale(domain=[plot.axis.low, plot.axis.high])
    axis = alt.Axis(values=list(plot.axis.ticks), title=plot.axis.title)
    labels = alt.Y("label:N", title=None, sort=[row.label for row in plot.rows])
    base = alt.Chart(alt.Data(values=rows))
    ranges = base.mark_rule(strokeWidth=7, opacity=0.35, color=_TEAL).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", y=labels
    )
    means = base.mark_circle(size=90, color=_TEAL, opacity=1).encode(
        x="value:Q", y=labels, tooltip=[alt.Tooltip("label:N"), alt.Tooltip("text:N", title="mean")]
    )
    return alt.layer(ranges, means).properties(title=plot.title, height=46 * len(rows) + 110)


def histogram_chart(plot: Histogram) -> alt.Chart:
    """Return how the values of a measure are spread over queries."""
    rows = [{"start": one.start, "end": one.end, "count": one.count} for one in plot.bins]
    scale = alt.Scale(domain=[plot.axis.low, plot.axis.high], nice=False)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_rect(color=_TEAL, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("start:Q", scale=scale, axis=alt.Axis(title=plot.axis.title)),
            x2="end:Q",
            y=alt.Y("count:Q", axis=alt.Axis(title=plot.counts.title)),
            y2=alt.Y2Value("height"),
            tooltip=[alt.Tooltip("start:Q"), alt.Tooltip("end:Q"), alt.Tooltip("count:Q")],
        )
        .properties(title=plot.title, height=250)
    )


def difference_chart(plot: DifferencePlot) -> alt.Chart:
    """Return the differences of queries in order."""
    rows = [{"place": place, "value": value} for place, value in enumerate(plot.values)]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X(
                "place:O",
                axis=alt.Axis(
                    labels=False,
                    ticks=False,
                    title="queries, from the greatest loss to the greatest gain",
                ),
            ),
            y=alt.Y(
                "value:Q",
                scale=alt.Scale(domain=[plot.axis.low, plot.axis.high]),
                title=plot.axis.title,
            ),
            color=alt.condition("datum.value > 0", alt.value(_TEAL), alt.value(_RUST)),
            tooltip=[alt.Tooltip("value:Q", format="+.3f")],
        )
        .properties(title=plot.title, height=270)
    )


def context_chart(points: Sequence[ContextPoint]) -> alt.Chart:
    """Return the concurrency at every context, a line and a shape for each KV precision."""
    rows = [
        {"cache": one.cache, "context": one.context, "sequences": max(one.sequences, 0.5)}
        for one in points  # a logarithmic axis has no 0
    ]
    scale = alt.Scale(domain=sorted({one.cache for one in points}), range=[_TEAL, _RUST])
    cache = alt.Color("cache:N", title="KV cache", scale=scale)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=alt.OverlayMarkDef(size=70))
        .encode(
            x=alt.X("context:Q", scale=alt.Scale(type="log", base=2), title="tokens of a sequence"),
            y=alt.Y("sequences:Q", scale=alt.Scale(type="log"), title="sequences at a time"),
            color=cache,
            shape=alt.Shape("cache:N", title="KV cache"),
            strokeDash=alt.StrokeDash("cache:N", title="KV cache"),
            tooltip=["cache:N", alt.Tooltip("context:Q", format=","), "sequences:Q"],
        )
        .properties(title="Concurrency against context", height=300)
    )


def cost_chart(points: Sequence[CostPoint]) -> alt.Chart:
    """Return the cost of a million tokens under every load: in money where a price is known."""
    priced = all(one.per_million_tokens is not None for one in points)
    rows = [
        {
            "rate": one.rate,
            "gpus": one.gpus,
            "cost": one.per_million_tokens if priced else one.gpu_hours_per_million_tokens,
        }
        for one in points
    ]
    unit = "price" if priced else "GPU-hours"
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=alt.OverlayMarkDef(size=70, color=_TEAL), color=_TEAL)
        .encode(
            x=alt.X("rate:Q", scale=alt.Scale(type="log"), title="requests per second"),
            y=alt.Y("cost:Q", title=f"{unit} per million tokens"),
            tooltip=[
                alt.Tooltip("rate:Q", format=".3g"),
                "gpus:Q",
                alt.Tooltip("cost:Q", format=".3g"),
            ],
        )
        .properties(title="Cost against load", height=300)
    )


def spending_chart(sums: Sequence["CostSum"], *, by: str) -> alt.Chart:
    """Return bars of costs: the days in order, or the dearest keys, tenants and the like."""
    shown = sums if by == "day" else sums[:_BARS]
    rows = [{"name": one.name or "-", "cost": one.cost, "requests": one.requests} for one in shown]
    cost = alt.Axis(title="cost", format="~g")
    tooltip = ["name:N", alt.Tooltip("cost:Q", format=".6g"), alt.Tooltip("requests:Q", format=",")]
    chart = alt.Chart(alt.Data(values=rows)).mark_bar(color=_TEAL)
    if by == "day":
        days = alt.X("name:O", title="day (UTC)")
        return chart.encode(x=days, y=alt.Y("cost:Q", axis=cost), tooltip=tooltip).properties(
            title="Cost by day", height=300
        )
    names = alt.Y("name:N", title=None, sort=[one.name or "-" for one in shown])
    return chart.encode(x=alt.X("cost:Q", axis=cost), y=names, tooltip=tooltip).properties(
        title=f"Cost by {by}", height=24 * len(rows) + 80
    )
