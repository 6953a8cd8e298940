"""Erasure: taking what a probe reads out of activations."""

from skillprobe.erasure.eraser import Eraser, load, save

__all__ = ["Eraser", "load", "save"]
