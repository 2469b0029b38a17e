"""The loader of PDF."""
