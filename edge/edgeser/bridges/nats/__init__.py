"""Events of a fleet on NATS JetStream."""
