"""Answers with verbatim citations from retrieved passages."""
