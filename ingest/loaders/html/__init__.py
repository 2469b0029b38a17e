"""The loader of HTML."""
