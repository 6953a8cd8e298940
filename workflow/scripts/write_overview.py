"""Write the report's first page: the study in the form of an abstract."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import report, store, tables

compliance = tables.read_csv(snakemake.input.compliance)
generality = tables.read_csv(snakemake.input.generality)
findings = store.read_json(snakemake.input.findings)
# A study need not look at every position, nor edit answers.
optional = {name: tables.read_all(snakemake.input[name]) for name in ("time", "behaviour", "agreement")}
page = report.overview_page(compliance, generality, findings, settings, **optional)
store.write_text(snakemake.output.page, page)
