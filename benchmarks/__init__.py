"""Benchmarks, run by `make bench`: the engine beside others, scheduling, and the cost of a stage."""
