"""Draw what can be read at each position, beside what the text so far decides."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.report.figures.time import time_courses
from skillprobe.storage import tables

output = snakemake.output
figure = time_courses(tables.read_csv(snakemake.input.table), settings)
figure.save(svg=output.svg, png=output.png, data=output.data)
