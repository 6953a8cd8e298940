"""The toy world: a controlled language, and small chat models that learn to follow instructions in it."""
