"""The commands that train and evaluate."""

import os

# Before PyTorch is imported: a thread that waits for another sleeps. By default it spins, and where
# other processes take the cores that costs many times the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
