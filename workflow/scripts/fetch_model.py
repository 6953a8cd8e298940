"""Download a hub model, once, where there is a network."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import hub, store

found = hub.fetch_model(settings["model"] | {"name": snakemake.wildcards.model})
store.write_json(snakemake.output.fetched, found)
