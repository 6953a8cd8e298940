# skillprobe: how does a language model follow instructions?
# prompts -> responses -> labels -> activations, crossings -> probes -> generality, transfer, ablation, layers, time,
#   monitors, specificity, similarity, robustness, behaviour, guard
#   -> findings -> figures -> report
from snakemake.utils import min_version

min_version("9.0")


configfile: workflow.source_path("config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/labels.smk"
include: "workflow/rules/pilot.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/crossings.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/generality.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/layers.smk"
include: "workflow/rules/time.smk"
include: "workflow/rules/monitors.smk"
include: "workflow/rules/specificity.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/behaviour.smk"
include: "workflow/rules/guard.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/agreement.smk"
include: "workflow/rules/findings.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/toy.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/calibration.smk"
include: "workflow/rules/retries.smk"


rule all:
    input:
        rules.judges.input,
        rules.transfer.input,
        rules.ablation.input,
        rules.robustness.input,
        rules.monitors.input,
        rules.guard.input,
        rules.write_findings.output,
        rules.figures.input,
        rules.report_pages.input,


onstart:
    check_files()
    check_engine()
    check_windows()
    check_resources()
    check_disk()
    hold_results()


onsuccess:
    show(rules.summarise_compliance.output.text)
