"""Claims decided by fixed rules, compared between studies, and tried on planted worlds."""
