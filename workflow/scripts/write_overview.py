"""Write the report's first pages: the study in the form of an abstract, and how it was done."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.analyses import pilot
from skillprobe.analyses.sufficiency import Design
from skillprobe.models.sampling import read_own
from skillprobe.report import methods, overview, provenance
from skillprobe.storage import files, tables
from skillprobe.study.sampling import described

extra = {name: settings.pop(name) for name in ("identities", "contents", "own_sampling", "generations")}
own = extra["own_sampling"] | read_own(snakemake.input.fetched)
sampled = described(settings, extra["generations"], own)
read = {name: tables.read_csv(snakemake.input[name]) for name in ("compliance", "generality", "transfer")}
# A study need not look at every position, nor edit answers.
read |= {
    name: tables.in_scope(tables.read_all(snakemake.input[name]))
    for name in ("time", "behaviour", "agreement")
}
page = overview.overview_page(
    findings=files.read_json(snakemake.input.findings),
    config=settings,
    source=files.read_json(snakemake.input.reported)["source"],
    identities=extra["identities"],
    sampled=sampled,
    warnings=pilot.warnings(read["compliance"], Design.of(settings, extra["contents"])),
    commit=provenance.commit(),
    **read,
)
files.write_text(snakemake.output.page, page)
files.write_text(snakemake.output.methods, methods.methods_page(settings, sampled))
files.write_json(snakemake.output.config, settings)
