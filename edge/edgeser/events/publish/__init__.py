"""Publishing: events go in from any thread, and out to subscribers, live or by replay."""
