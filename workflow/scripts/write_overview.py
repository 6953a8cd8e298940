"""Write the report's first page: the study in the form of an abstract."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import report, store, tables

compliance = tables.read_csv(snakemake.input.compliance)
generality = tables.read_csv(snakemake.input.generality)
findings = store.read_json(snakemake.input.findings)
edits = [
    [row for path in snakemake.input[name] for row in tables.read_csv(path)]
    for name in ("behaviour", "agreement")
]
page = report.overview_page(compliance, generality, findings, settings, *edits)
store.write_text(snakemake.output.page, page)
