"""Wrappers around a language model that are language models themselves."""
