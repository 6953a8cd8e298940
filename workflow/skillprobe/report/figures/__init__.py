"""The figures. Each answers the one question in its title and goes with a table of what it shows.

Common to all: a panel a model, tasks under their category, a category's colour the same everywhere, 95 %
intervals, and a labelled blank where a task is insufficient. Equal tables and settings give equal bytes.
"""
