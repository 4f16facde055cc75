"""The arithmetic of federated learning, in numpy and without I/O."""
