"""Altair charts of plot data."""

from collections.abc import Mapping, Sequence

import altair as alt

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
        .properties(height=34 * max(1, len(times)) + 40)
    )
