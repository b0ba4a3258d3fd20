"""The definitions of the models, one paper a file."""
