"""Seconds of ranking and metrics."""
