"""What the daemon tells the world: the schema of events, publishing and subscribing."""
