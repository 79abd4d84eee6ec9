"""The training engine: arrays and settings in, numbers out.

A training run is pure: the same settings and arrays give the same bits on the same kind of processor,
whatever runs beside it. Nothing here imports another part of the project, so that a stage that
computes numbers depends on this folder and on little else.
"""
