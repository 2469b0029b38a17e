"""The demo application: ask, inspect, ingest, evaluate and run agents in a browser."""
