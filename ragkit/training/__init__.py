"""Training of embedders on a user's own texts."""
