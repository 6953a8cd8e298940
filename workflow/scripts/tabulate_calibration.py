"""Count how often the verdicts on planted worlds were right."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import calibration, store, tables

rows = calibration.calibration_table(
    [row for path in snakemake.input.verdicts for row in tables.read_csv(path)]
)
tables.write_csv(snakemake.output.table, rows)
store.write_text(snakemake.output.text, calibration.describe(rows, settings))
