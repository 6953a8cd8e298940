"""The first stage: content requests, and the items that tasks make of them."""
