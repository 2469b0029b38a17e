"""Language models, and the grammars that their machine-read replies are decoded under."""
