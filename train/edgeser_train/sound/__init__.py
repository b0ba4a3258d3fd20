"""The audio of corpora: reading, augmentation for training, and listening conditions."""
