"""Failures of retrieval: documents that were not retrieved, or ranked too low to be read."""

from collections.abc import Mapping, Sequence

from ragkit.evaluation.runs import Example, Failures

NOT_RETRIEVED, RANKED_LOW, NOT_READ = "not retrieved", "ranked low", "not read"
READ = 10
"""Rank up to which documents count as read; a first relevant one below is ranked low."""
EXAMPLES = 10


def retrieval_failures(
    qrels: Mapping[str, Mapping[str, int]],
    rankings: Mapping[str, Sequence[str]],
    questions: Mapping[str, str],
) -> dict[str, Failures]:
    """Return the queries with no relevant document in their ranking, or none in the first 10."""
    found: dict[str, list[Example]] = {NOT_RETRIEVED: [], RANKED_LOW: []}
    for query, judged in qrels.items():
        ranking = rankings.get(query, ())
        relevant = {document for document, value in judged.items() if value > 0}
        rank = next((i for i, item in enumerate(ranking, 1) if item in relevant), None)
        if rank is not None and rank <= READ:
            continue
        kind = NOT_RETRIEVED if rank is None else RANKED_LOW
        place = f"not in the first {len(ranking)}" if rank is None else f"at rank {rank}"
        detail = f"{_some(sorted(relevant))} {place}; first is {_some(ranking[:1])}"
        found[kind].append(Example(query=query, question=questions.get(query, ""), detail=detail))
    return counted(found)


def counted(found: Mapping[str, Sequence[Example]]) -> dict[str, Failures]:
    """Return the number of failures of each kind, with the first ten as examples."""
    return {
        kind: Failures(count=len(examples), examples=tuple(examples[:EXAMPLES]))
        for kind, examples in found.items()
    }


def _some(items: Sequence[str]) -> str:
    if not items:
        return "nothing"
    return items[0] if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
