"""Backends, which run graphs: one small protocol, one module per backend."""
