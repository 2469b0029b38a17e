"""Citations in the forms that clients read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from ragkit.core.types import Citation, Hit, StageRank
from ragkit.server.bodies import Extension
from ragkit.server.replies import Outcome


def title_of(citation: Citation, hits: Sequence[Hit]) -> str:
    """The title of the document that a citation comes from, else its address."""
    found = (hit.chunk.title for hit in hits if hit.chunk.uri == citation.uri)
    return next((title for title in found if title), citation.uri)


def link_to(citation: Citation, base_url: str) -> str:
    """The address of the cited document: its own on the web, else this server's copy."""
    if citation.uri.startswith(("http://", "https://")):
        return citation.uri
    return f"{base_url.rstrip('/')}/v1/documents/text?uri={quote(citation.uri, safe='')}"


def annotations(outcome: Outcome, base_url: str) -> list[dict[str, Any]]:
    """`url_citation`s as OpenAI's chat completions have them.

    The indices bound the quote where it stands in the text, else the whole text.
    """
    found: list[dict[str, Any]] = []
    for citation in outcome.citations:
        start = outcome.text.find(citation.quote) if citation.quote else -1
        end = start + len(citation.quote) if start >= 0 else len(outcome.text)
        found.append(
            {
                "type": "url_citation",
                "url_citation": {
                    "url": link_to(citation, base_url),
                    "title": title_of(citation, outcome.hits),
                    "start_index": max(0, start),
                    "end_index": end,
                },
            }
        )
    return found


def source_event(citation: Citation, hits: Sequence[Hit], base_url: str) -> dict[str, Any]:
    """A citation as Open WebUI's event of a source, which shows the quote."""
    name, url = title_of(citation, hits), link_to(citation, base_url)
    return {
        "type": "source",
        "data": {
            "source": {"name": name, "url": url},
            "document": [citation.quote],
            "metadata": [{"source": url, "name": name}],
        },
    }


def footnotes(outcome: Outcome) -> str:
    """The quotes as numbered notes to put behind the text; empty where there are none."""
    lines = [
        f"[{number}] {title_of(citation, outcome.hits)}: {' '.join(citation.quote.split())}"
        for number, citation in enumerate(outcome.citations, start=1)
    ]
    return "\n\n" + "\n".join(lines) if lines else ""


def extension_json(outcome: Outcome, wanted: Extension) -> dict[str, Any]:
    """The `ragkit` object of a response."""
    found: dict[str, Any] = {
        **outcome.extension,
        "citations": [
            {
                "chunk_id": one.chunk_id,
                "uri": one.uri,
                "quote": one.quote,
                "start": one.start,
                "end": one.end,
            }
            for one in outcome.citations
        ],
    }
    if wanted.hits:
        found["hits"] = [hit_json(hit) for hit in outcome.hits]
    return found


def hit_json(hit: Hit) -> dict[str, Any]:
    """A hit with its passage, and its rank and score in every stage."""
    chunk = hit.chunk
    return {
        "id": chunk.id,
        "uri": chunk.uri,
        "title": chunk.title,
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "heading_path": list(chunk.heading_path),
        "page": chunk.page,
        "metadata": dict(chunk.metadata),
        "score": hit.score,
        "trace": trace_json(hit.trace),
        "duplicates": [asdict(one) for one in hit.duplicates],
    }


def trace_json(trace: Mapping[str, StageRank]) -> dict[str, Any]:
    """Rank and score by stage."""
    return {stage: {"rank": rank, "score": score} for stage, (rank, score) in trace.items()}
