"""Hybrid search: two legs, fusion, reranking, and the context made of the hits."""
