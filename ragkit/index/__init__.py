"""Stores: Qdrant Edge in process, a Qdrant server, and memory, behind one protocol."""
