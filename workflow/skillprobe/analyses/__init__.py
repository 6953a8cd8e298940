"""Analyses: each turns stored probes or activations into a tidy table."""
