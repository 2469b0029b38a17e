"""Public test doubles, and the contract suites that every implementation of a seam passes.

A suite is a class to subclass in your own tests; it needs pytest, pytest-asyncio and hypothesis.
"""
