"""Sources of documents: files under named roots, and documents made in code."""

from ragkit.ingest.sources.old import (
    DocumentSource,
    SourceSet,
    from_documents,
    from_paths,
    read_file,
)

__all__ = ["DocumentSource", "SourceSet", "from_documents", "from_paths", "read_file"]
