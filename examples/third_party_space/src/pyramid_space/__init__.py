"""Plain convolutional networks as a search space: an example of a package that adds a space to `nas`."""
