"""Events of the daemon, handed on to other systems: MQTT, NATS, Lab Streaming Layer."""
