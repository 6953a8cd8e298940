"""The stage after responses: judges, and labels by verification."""
