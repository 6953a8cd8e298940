"""What the files of a study hold: every column of tables, dataset of HDF5 files, key of JSON lines."""
