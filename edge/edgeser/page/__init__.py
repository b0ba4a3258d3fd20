"""The page: what a daemon hears, in a browser. The daemon does not depend on its process."""
