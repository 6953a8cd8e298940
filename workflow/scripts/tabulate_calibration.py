"""Count how often the verdicts on planted worlds were right, and how often intervals missed."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.findings import coverage, error_rates
from skillprobe.storage import files, tables

rows = error_rates.calibration_table(tables.read_all(snakemake.input.verdicts))
power = error_rates.power_table(rows)
covered = coverage.coverage_table(tables.read_all(snakemake.input.studies))
tables.write_csv(snakemake.output.table, rows)
tables.write_csv(snakemake.output.power, power, error_rates.POWER_COLUMNS)
tables.write_csv(snakemake.output.coverage, covered, coverage.COLUMNS)
files.write_text(snakemake.output.text, error_rates.describe(rows, settings, covered))
