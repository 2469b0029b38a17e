"""Embedding and reranking models, chosen by `"provider:name"`."""
