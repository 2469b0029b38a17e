"""Ingestion over a Ray cluster, whose machines load, divide and embed documents."""
