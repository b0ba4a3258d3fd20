"""The events of the daemon: the schema of events, publishing and subscribing."""
