"""The journal: what is kept of the events that were published."""
