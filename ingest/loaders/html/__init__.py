"""Reading HTML."""
