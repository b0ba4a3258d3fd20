"""NVIDIA GPUs: engines that TensorRT builds from an artefact, kept in a cache, and run.

``build``, ``cuda``, ``logger`` and ``backend`` import NVIDIA's libraries when they are imported:
call ``platform.this_platform`` first, whose error says in one line why they cannot be.
"""
