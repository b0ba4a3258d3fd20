"""The commands that train and evaluate."""

import os

# Before PyTorch is imported: threads that wait for others sleep. By default they spin, and if other
# processes need the cores, that costs many times the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
