"""Draw what can be read at each position, beside what the text so far decides."""

from skillprobe.job import start

settings = start(snakemake)

from skillprobe import figures, tables

output = snakemake.output
figure = figures.time_courses(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
