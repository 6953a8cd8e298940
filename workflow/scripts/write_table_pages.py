"""Write the tables as pages to read."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report import table_pages
from skillprobe.storage import files, tables

compliance = tables.read_csv(snakemake.input.compliance)
generality = tables.read_csv(snakemake.input.generality)
files.write_text(snakemake.output.compliance, table_pages.compliance_page(compliance, settings))
files.write_text(snakemake.output.generality, table_pages.generality_page(generality, settings))
findings = files.read_json(snakemake.input.findings)
files.write_text(snakemake.output.findings, table_pages.findings_page(findings, settings))
