"""An archive of recordings in, tables of their segments out."""
