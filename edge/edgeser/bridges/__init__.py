"""Events of the daemon, handed on to other systems: MQTT, Lab Streaming Layer."""
