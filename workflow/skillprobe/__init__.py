"""skillprobe: one universal "constraint satisfied" signal, or many skills in coordination?"""

__version__ = "0.1.0"
