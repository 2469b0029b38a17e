"""Retrieval metrics of rankings, by ir-measures (trec_eval)."""

from collections.abc import Mapping, Sequence

from ragkit.core.errors import MissingExtraError

MEASURES: Mapping[str, str] = {"ndcg@10": "nDCG@10", "recall@100": "R@100", "mrr@10": "RR@10"}
"""The name of each measure in ragkit and in ir-measures; nDCG has linear gain."""


def per_query(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Return `{measure: {query id: value}}`; a judged query without a ranking scores 0."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("ir-measures", extra="local") from error
    judged = {query: dict(judgements) for query, judgements in qrels.items()}
    # Ranks as scores: trec_eval would break ties of scores by document id.
    run = {
        query: {document: -float(rank) for rank, document in enumerate(ranking)}
        for query, ranking in rankings.items()
    }
    names = {ir_measures.parse_measure(name): ours for ours, name in MEASURES.items()}
    values = {ours: dict.fromkeys(judged, 0.0) for ours in MEASURES}
    for item in ir_measures.iter_calc(list(names), judged, run):
        values[names[item.measure]][item.query_id] = float(item.value)
    return values
