"""Incremental ingestion: load documents, chunk them, embed the chunks, store them in an index."""
