"""Write the tables as pages to read."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import report, store, tables

compliance = tables.read_csv(snakemake.input.compliance)
generality = tables.read_csv(snakemake.input.generality)
store.write_text(snakemake.output.compliance, report.compliance_page(compliance, settings))
store.write_text(snakemake.output.generality, report.generality_page(generality, settings))
