"""The client of vLLM and other OpenAI-compatible servers."""
