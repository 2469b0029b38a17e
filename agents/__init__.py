"""Agents and workflows as LangGraph graphs."""
