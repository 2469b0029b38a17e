"""Jupyter notebooks: Markdown cells as Markdown, code cells as code, and their short outputs."""

from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Document, Json
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text, empty_error
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.json_records import parse_json
from ragkit.ingest.loaders.markdown import markdown_blocks
from ragkit.ingest.loaders.titles import title_from

_LONGEST_OUTPUT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookLoader(SelfDescribingLoader):
    """A loader of Jupyter notebooks (nbformat 3 and 4)."""

    version = "notebook-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the cells in order; of outputs, text of up to 2,000 characters.

        Raises:
            InputError: The file is no notebook, or has no text.
        """
        value = parse_json(decode_text(data, uri=uri, encoding="utf-8"), uri=uri)
        cells = list(_cells(value))
        if not isinstance(value, dict) or not ({"cells", "worksheets"} & value.keys()):
            raise InputError(f"{uri!r} is no notebook: it has no cells. Fix: save it again.")
        content = TextBuilder()
        for cell in cells:
            source = _joined(cell.get("source", cell.get("input")))
            if cell.get("cell_type") == "markdown":
                for block in markdown_blocks(source):
                    content.append(block.kind, block.text, level=block.level)
            else:
                content.append("code" if cell.get("cell_type") == "code" else "paragraph", source)
            for output in _outputs(cell):
                content.append("paragraph", f"Output:\n{output[:_LONGEST_OUTPUT]}")
        if not content.blocks:
            raise empty_error(uri)
        return Document(
            uri=uri,
            title=title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def _cells(value: Json) -> Iterator[dict[str, Json]]:
    if not isinstance(value, dict):
        return
    yield from _objects(value.get("cells"))
    for sheet in _objects(value.get("worksheets")):  # nbformat 3
        yield from _objects(sheet.get("cells"))


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _outputs(cell: dict[str, Json]) -> Iterator[str]:
    for output in _objects(cell.get("outputs")):
        data = output.get("data")
        plain = data.get("text/plain") if isinstance(data, dict) else output.get("text")
        if text := _joined(plain).strip():
            yield text


def _joined(value: Json) -> str:
    """Return a source or output, which notebooks keep as a text or as a list of lines."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
