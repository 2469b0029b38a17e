"""Sizes, speeds and costs of a deployment from a model's config.json: computation only."""
