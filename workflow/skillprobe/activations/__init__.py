"""Hidden states at named positions, and the shards that they are stored in."""
