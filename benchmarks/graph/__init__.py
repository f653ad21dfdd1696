"""Seconds and memory of building graphs."""
