"""Write the report's first pages: the study in the form of an abstract, and how it was done."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import methods, report, store, tables

identities = settings.pop("identities")
read = {name: tables.read_csv(snakemake.input[name]) for name in ("compliance", "generality", "transfer")}
# A study need not look at every position, nor edit answers.
read |= {name: tables.read_all(snakemake.input[name]) for name in ("time", "behaviour", "agreement")}
page = report.overview_page(
    findings=store.read_json(snakemake.input.findings),
    config=settings,
    source=store.read_json(snakemake.input.reported)["source"],
    identities=identities,
    commit=report.commit(),
    **read,
)
store.write_text(snakemake.output.page, page)
store.write_text(snakemake.output.methods, methods.methods_page(settings))
store.write_json(snakemake.output.config, settings)
