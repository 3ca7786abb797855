"""Keys of samples, methods, profiles, evaluations, preprocessing and devices, with values that cannot be."""

from .case import configured


def trained(wrong: str, keys: str, place: str, found, remedy):
    """A study of one method that learns, with these keys."""
    change = f"{{methods: {{simclr: {keys}}}, studies: {{tiny: {{methods: [simclr]}}}}}}"
    return configured(wrong, change, f"methods: simclr{place}", found, remedy)


def steps(wrong: str, profile: str, place: str, found, remedy):
    """A study of one profile of these steps."""
    return configured(wrong, f"profiles: {{raw: {profile}}}", f"profiles: raw{place}", found, remedy)


CASES = [
    # -- samples -------------------------------------------------------------------------------------------------------
    configured("samples of size 0", "samples: {cells: {size: 0}}", "samples: cells", "size: 0", "size must be at least 1"),
    configured("text for a size", "samples: {cells: {size: large}}", "samples: cells: size", "'large'", "a whole number"),
    configured(
        "one length for fields",
        "samples: {all: {use: fields, size: 64}}",
        "samples: all: size",
        "64",
        "list of 2 whole numbers",
    ),
    configured(
        "tiles that overlap as a whole",
        "samples: {quads: {use: tiles, size: 32, overlap: 32}}",
        "samples: quads",
        "overlap: 32",
        "below size",
    ),
    configured(
        "an edge that there is not", "samples: {cells: {edge: padd}}", "samples: cells: edge", "'padd'", "Did you mean 'pad'"
    ),
    configured(
        "a condition with one =",
        'samples: {few: {of: cells, where: "Metadata_Site = 1"}}',
        "samples: few: where",
        "'Metadata_Site = 1'",
        "'==' compares",
    ),
    configured(
        "half a condition",
        'samples: {few: {of: cells, where: "Metadata_Dose >"}}',
        "few: where",
        "no condition",
        "Write it like",
    ),
    configured(
        "a condition that calls a function",
        "samples: {few: {of: cells, where: \"open('/etc/passwd')\"}}",
        "samples: few: where",
        "open(",
        "may only compare and combine columns and constants",
    ),
    configured("a number for a condition", "samples: {few: {of: cells, where: 5}}", "few: where", "5", "expected text"),
    configured(
        "a condition without a column",
        "samples: {few: {of: cells, where: '5'}}",
        "few: where",
        "compares no column",
        "Write it",
    ),
    configured(
        "abnormality of samples that are to be cut",
        "samples: {cells: {where: abnormality < 0.5}}",
        "samples: cells: where",
        "cut and embedded already",
        "cells_clean: {of: cells",
    ),
    configured(
        "abnormality that is not computed",
        "samples: {clean: {of: cells, where: abnormality < 0.5}}",
        "samples: clean: where",
        "needs the block 'abnormality'",
        "abnormality: {method: NAME}",
    ),
    # -- methods -------------------------------------------------------------------------------------------------------
    configured(
        "a backbone that is misspelt",
        "methods: {random: {backbone: resnet181}}",
        "random: backbone",
        "'resnet181'",
        "'resnet18'",
    ),
    configured(
        "a number for a backbone",
        "methods: {random: {backbone: 18}}",
        "methods: random: backbone",
        "'18'",
        "timm.list_models()",
    ),
    configured(
        "weights that are not there",
        "methods: {pretrained: {weights: resnet.pth}}",
        "methods: pretrained: weights",
        "no file resnet.pth",
        "'package' or 'none'",
    ),
    configured(
        "text for a list of channels", "methods: {random: {channels: DNA}}", "random: channels", "'DNA'", "[first, second]"
    ),
    configured(
        "a channel twice", "methods: {random: {channels: [DNA, DNA]}}", "random", "['DNA', 'DNA']", "each channel once"
    ),
    configured("a scaling that there is not", "methods: {random: {scaling: plates}}", "scaling", "'plates'", "plate, range"),
    trained("no epochs", "{epochs: 0}", "", "epochs: 0", "at least 1"),
    trained("text for epochs", "{epochs: many}", ": epochs", "'many'", "a whole number"),
    trained("batches of one image", "{batch_size: 1}", "", "batch_size: 1", "at least 2"),
    trained(
        "a warm-up longer than the training", "{warmup_epochs: 9}", "", "warmup_epochs: 9", "must not exceed epochs (5)"
    ),
    trained("an optimiser that is misspelt", "{optimiser: adm}", ": optimiser", "'adm'", "Did you mean 'adam'"),
    trained("an augmentation that is misspelt", "{augment: {blurr: 1}}", "", "augment: unknown key 'blurr'", "'blur'"),
    trained("a projector without layers", "{projector: []}", "", "projector: []", "one layer or more"),
    trained("saved epochs beyond the training", "{save_epochs: [7]}", "", "not at 7", "between 0 and epochs (5)"),
    trained("saved epochs with a key that is misspelt", "{save_epochs: {evry: 1}}", "", "'evry'", "{every: N}"),
    trained("a source without a list", "{train: {samples: screen/cells}}", ": train", "'screen/cells'", "[{samples: "),
    trained("no source to learn from", "{train: []}", ": train", "found []", "Without the key"),
    trained("a source's key that is misspelt", "{train: [{sample: screen/cells}]}", ": train: 1", "'sample'", "'samples'"),
    trained("a source that there is not", "{train: [{samples: screen/cels}]}", ": train: 1", "no 'cels'", "'cells'"),
    trained(
        "a source's condition that does not parse",
        "{train: [{samples: screen/cells, where: 'a >'}]}",
        ": train: 1: where",
        "'a >' is no condition",
        "Write it like",
    ),
    trained(
        "a fold beyond the last",
        "{train: [{samples: screen/cells, hold_out: {column: Metadata_Compound, fold: 3, of: 3}}]}",
        ": train: 1: hold_out",
        "not at 3",
        "between 0 and 2",
    ),
    trained(
        "a column to hold out without a fold",
        "{train: [{samples: screen/cells, hold_out: {column: Metadata_Compound}}]}",
        ": train: 1: hold_out",
        "the key 'fold'",
        "is needed",
    ),
    configured(
        "a weak label that is misspelt",
        "methods: {dino: {weak_label: compund}}",
        "methods: dino",
        "'compund'",
        "compound, moa",
    ),
    configured(
        "one method side by side",
        "methods: {both: {use: concat, members: [random]}}",
        "methods: both",
        "members: ['random']",
        "two methods or more",
    ),
    configured(
        "members without a list",
        "{methods: {both: {use: concat, members: random}}, studies: {tiny: {methods: [both]}}}",
        "methods: both: members",
        "'random'",
        "[first, second]",
    ),
    configured(
        "a group of measurements that there is not",
        "methods: {cellprofiler_features: {groups: [shap]}}",
        "methods: cellprofiler_features",
        "no 'shap'",
        "Did you mean 'shape'",
    ),
    # -- profiles ------------------------------------------------------------------------------------------------------
    steps("a step that is misspelt", "[{agregate: {}}]", ": step 1", "'agregate'", "'aggregate'"),
    steps("a step's key that is misspelt", "[{aggregate: {wiht: mean}}]", ": step 1: aggregate", "'wiht'", "'with'"),
    steps("a block for the steps", "{aggregate: {by: well}}", "", "{'by': 'well'}", "a list"),
    steps("a number for a step", "[aggregate, 5]", ": step 2", "not 5", "'tvn: {fit: negative}'"),
    steps("a number for a step's keys", "[{tvn: 5}]", ": step 1: tvn", "5 are no keys", "{key: value}"),
    steps("two steps in one", "[{tvn: {}, aggregate: {}}]", ": step 1", "'aggregate': {}", "one name with its keys"),
    steps(
        "rows of a level that there is not",
        "[{aggregate: {by: treatments}}]",
        ": aggregate: by",
        "'treatments'",
        "'treatment'",
    ),
    steps(
        "rows by a column",
        "[{aggregate: {by: Metadata_Compound}}]",
        ": aggregate: by",
        "'Metadata_Compound'",
        "are: compound",
    ),
    steps("a number for a level", "[{aggregate: {by: 5}}]", "", "'by' must be a level", "'by: well'"),
    steps("no level", "[{aggregate: {by: []}}]", ": aggregate: by", "found []", "'by: well'"),
    steps("a summary that there is not", "[{aggregate: {with: average}}]", ": aggregate: with", "'average'", "mean, median"),
    steps(
        "rows to fit on that there are not",
        "[{tvn: {fit: controls}}, aggregate]",
        ": tvn: fit",
        "'controls'",
        "negative, all",
    ),
    steps("an epsilon below zero", "[{tvn: {epsilon: -1}}, aggregate]", ": tvn", "not -1", "0 or more"),
    configured(
        "profiles of wells for an evaluation of treatments",
        "profiles: {raw: [{aggregate: {by: well}}]}",
        "studies: tiny",
        "moa_matching reads profiles of level treatment, raw is of level well",
        "Change its profiles or evaluations",
    ),
    # -- evaluations ---------------------------------------------------------------------------------------------------
    configured(
        "an evaluation that is misspelt", "evaluations: {moa_machting: {}}", "moa_machting", "there is no", "'moa_matching'"
    ),
    configured("a number for by", "evaluations: {moa_matching: {by: 5}}", "moa_matching: by", "found 5", "expected text"),
    configured(
        "an evaluation that does not learn",
        "evaluations: {moa_matching: {train: screen/cells}}",
        "evaluations: moa_matching: train",
        "does not learn from another",
        "Leave the key out",
    ),
    configured(
        "one label of each class and fewer",
        "evaluations: {quality_classification: {labels: [1]}}",
        "evaluations: quality_classification",
        "labels: [1]",
        "2 or more",
    ),
    configured(
        "labels without a list",
        "evaluations: {quality_classification: {labels: 50}}",
        "labels",
        "found 50",
        "list of whole numbers",
    ),
    configured(
        "no samples to learn from",
        "evaluations: {linear_probe: {max_samples: 0}}",
        "linear_probe",
        "max_samples: 0",
        "10 or more",
    ),
    configured(
        "a positive control that is misspelt",
        "evaluations: {control_separation: {positive: treatd}}",
        "control_separation: positive",
        "'treatd'",
        "'treated'",
    ),
    configured(
        "an evaluation that learns from a dataset that there is not",
        "evaluations: {quality_classification: {train: scren/cells}}",
        "evaluations: quality_classification: train",
        "no 'scren' under datasets",
        "Did you mean 'screen'",
    ),
    # -- preprocess and compute ----------------------------------------------------------------------------------------
    configured(
        "an engine that there is not", "preprocess: {engine: cell_profiler}", "engine", "'cell_profiler'", "cellprofiler'"
    ),
    configured("bad images to be skipped", "preprocess: {on_bad_image: skip}", "on_bad_image", "'skip'", "stop, exclude"),
    configured(
        "a key of preprocess that is misspelt", "preprocess: {on_bad_images: stop}", "preprocess", "s'", "'on_bad_image'"
    ),
    configured(
        "nuclei of one diameter", "preprocess: {nuclei: {diameter: 30}}", "nuclei: diameter", "30", "2 whole numbers"
    ),
    configured(
        "diameters the wrong way round",
        "preprocess: {nuclei: {diameter: [80, 10]}}",
        "nuclei",
        "[80, 10]",
        "[smallest, largest]",
    ),
    configured(
        "a channel for the nuclei's keys", "preprocess: {nuclei: DNA}", "preprocess: nuclei", "'DNA'", "a block of keys"
    ),
    configured("a filter of no width", "preprocess: {illumination: {size: 0}}", "illumination", "size: 0", "above 0"),
    configured(
        "a pipeline that is not there",
        "preprocess: {engine: cellprofiler, pipeline: none.cppipe}",
        "preprocess: pipeline",
        "no file none.cppipe",
        "starts at the working directory",
    ),
    configured(
        "a pipeline of the native engine", "preprocess: {pipeline: a.cppipe}", "pipeline", "CellProfiler", "'engine: cell"
    ),
    configured("a device that there is not", "compute: {device: gpu}", "compute: device", "'gpu'", "auto, cpu, cuda"),
    configured("text for a number of devices", "compute: {devices: all}", "compute: devices", "'all'", "a whole number"),
    configured("text for a number of threads", "compute: {threads: all}", "compute: threads", "'all'", "a whole number"),
    configured("a key of compute that is misspelt", "compute: {batchsize: 8}", "compute", "'batchsize'", "'batch_size'"),
]
