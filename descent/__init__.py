"""Gradient descent on image classes: how batch size and learning rate decide whether it works."""
