"""Ingestion: documents to chunks to vectors to the index, incrementally."""
