"""Seconds of training."""
