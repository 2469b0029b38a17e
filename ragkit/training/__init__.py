"""Fitting embedders to a user's own texts."""
