"""Addresses, sockets and keys: what publisher and subscriber have in common."""
