"""Metrics, protocols, monitoring and benchmarks: how good it is, how fast, and whether it still is.

So far: benchmarks.
"""
