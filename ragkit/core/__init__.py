"""Types, errors, settings and seams that every other layer builds on."""
