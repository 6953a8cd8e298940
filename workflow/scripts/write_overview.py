"""Write the report's first page: the study in the form of an abstract."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import report, store, tables

compliance = tables.read_csv(snakemake.input.compliance)
generality = tables.read_csv(snakemake.input.generality)
findings = store.read_json(snakemake.input.findings)
store.write_text(snakemake.output.page, report.overview_page(compliance, generality, findings, settings))
