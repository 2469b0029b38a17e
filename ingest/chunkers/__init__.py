"""Chunkers: how documents are divided into passages."""
