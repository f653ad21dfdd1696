"""Seconds and memory of full ranking."""
