"""Measurements of mmgraph: speed and memory next to other ways, and quality over seeds.

Not part of the installed package. ``python -m benchmarks`` lists the programs.
"""
