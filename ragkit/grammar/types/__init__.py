"""A grammar for each JSON type."""
