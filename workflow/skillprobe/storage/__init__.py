"""Files that jobs leave and read: whole or absent, sealed; JSON lines, CSV and HDF5; locks and progress."""
