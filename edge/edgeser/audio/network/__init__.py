"""Microphones on other devices: raw sound over TCP, each with a token and a stream of its own."""
