"""Measuring retrieval and answers on judged data."""
