"""Count how often the verdicts on planted worlds were right."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import calibration, store, tables

rows = calibration.calibration_table(tables.read_all(snakemake.input.verdicts))
power = calibration.power_table(rows)
tables.write_csv(snakemake.output.table, rows)
tables.write_csv(snakemake.output.power, power, calibration.POWER_COLUMNS)
store.write_text(snakemake.output.text, calibration.describe(rows, settings))
