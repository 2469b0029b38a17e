"""Traces of operations by OpenTelemetry; OpenTelemetry is imported when they are turned on."""
