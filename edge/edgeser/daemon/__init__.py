"""The daemon: hears sources, recognises windows, publishes events, and supervises all of it."""
