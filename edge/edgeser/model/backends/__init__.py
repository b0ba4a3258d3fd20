"""What runs a graph: one small protocol, one module per backend."""
