"""Chunkers, which divide documents into passages."""
