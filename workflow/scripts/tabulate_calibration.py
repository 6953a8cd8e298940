"""Count how often the verdicts on planted worlds were right."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.findings import calibration
from skillprobe.storage import files, tables

rows = calibration.calibration_table(tables.read_all(snakemake.input.verdicts))
power = calibration.power_table(rows)
tables.write_csv(snakemake.output.table, rows)
tables.write_csv(snakemake.output.power, power, calibration.POWER_COLUMNS)
files.write_text(snakemake.output.text, calibration.describe(rows, settings))
