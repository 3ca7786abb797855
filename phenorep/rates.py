"""How long jobs take: seconds of one core for the start of a job, and for each unit of its work.

Measured on a virtual core of a cloud machine (x86-64, 2026) with the simulated screen, its fields 320 and 1024 pixels wide;
what was too short to be told apart from its start has no rate. Another core takes more or less in proportion.
"""

# Rule -> seconds to start a job (Python and what the stage imports), seconds for each unit of work, which is named behind.
RATES = {
    "check": (5.0, 0.0),
    "download": (1.2, 0.25),  # million pixels that are drawn; of an archive 10 MB that are checked and unpacked: assumed
    "fields": (0.8, 0.0002),  # fields
    "illumination": (0.9, 0.005),  # million pixels
    "nuclei": (1.2, 0.08),  # million pixels
    "stage_illumination": (2.0, 0.0),
    "stage_nuclei": (2.0, 0.0),
    "stage_check": (2.0, 0.0),
    "cellprofiler": (6.0, 0.4),  # million pixels
    "collect_illumination": (1.0, 0.0),  # assumed: it reads one function for each channel
    "collect_nuclei": (1.2, 0.03),  # million pixels: assumed, as for samples, which are read in the same way
    "compare_engines": (5.0, 0.0),
    "samples": (1.2, 0.03),  # million pixels that are read
    "view": (1.0, 0.0),
    "measurements": (1.2, 0.003),  # nuclei times channels
    "recipe": (1.0, 0.0),
    "pretrain": (6.0, 0.0),  # what networks compute is told apart
    "embed": (6.0, 0.0),  # likewise
    "embed_measurements": (5.0, 0.0),
    "import_features": (2.0, 0.0),
    "concat": (5.0, 0.0),
    "abnormality": (5.0, 0.0),
    "normalise": (1.5, 0.1),  # million numbers
    "evaluate": (3.0, 0.5),  # million numbers, where profiles are made anew
    "scores": (1.5, 0.0),
    "answers": (2.0, 0.0),
    "costs": (1.5, 0.0),
    "page": (20.0, 0.0),
    "gallery": (5.0, 0.0),  # assumed; only `snakemake annotate` asks for it, so that no estimate counts it
}
REPORT_SECONDS = 0.5  # for each score on the page
# Rule -> the stage that it belongs to.
STAGES = {
    **dict.fromkeys(("check", "download", "fields"), "download"),
    **dict.fromkeys(("illumination", "nuclei", "stage_illumination", "stage_nuclei", "stage_check"), "preprocess"),
    **dict.fromkeys(("cellprofiler", "collect_illumination", "collect_nuclei", "compare_engines"), "preprocess"),
    **dict.fromkeys(("samples", "view", "measurements"), "preprocess"),
    **dict.fromkeys(("recipe", "pretrain"), "pretrain"),
    **dict.fromkeys(("embed", "embed_measurements", "import_features", "concat", "abnormality"), "embed"),
    "normalise": "normalise",
    "evaluate": "evaluate",
    **dict.fromkeys(("scores", "answers", "costs", "page", "gallery"), "report"),
}
