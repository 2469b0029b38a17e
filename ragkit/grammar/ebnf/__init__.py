"""Writing grammars in EBNF."""
