"""What is wrong with an installation or a service, and how to fix it."""
