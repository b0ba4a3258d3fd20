"""Where speech is: voice activity frame by frame, then segments and windows."""
