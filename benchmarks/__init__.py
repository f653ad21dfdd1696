"""Measurements of mmgraph: speed next to the plain way, memory, and quality over seeds.

Not part of the installed package. ``python -m benchmarks`` runs the speed programs one after another.
"""
