"""Training: recipes, losses, checkpoints, and the loop."""
