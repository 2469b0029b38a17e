"""Processes that load documents, so that a hostile or broken one ends nothing but its own."""
