"""Seconds and memory of training."""
