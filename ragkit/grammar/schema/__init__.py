"""Reading JSON Schema."""
