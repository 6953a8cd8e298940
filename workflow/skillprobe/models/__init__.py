"""Language models: fetched, loaded, hooked, and the answers that they write."""
