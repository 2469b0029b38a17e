"""The HTTP server: an OpenAI-compatible API over search, answers, agents and documents."""
