"""Publishing: events go in from any thread, and out to whoever listens or asks for the past."""
