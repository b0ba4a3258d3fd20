"""The page: what a daemon hears, in a browser. A process of its own, which the daemon needs not."""
