"""The frame of a configuration: its blocks, names, studies, and blocks that refer to each other."""

from .case import configured

LETTERS = "Use letters, digits, '_' and '-', a letter first"

CASES = [
    # -- blocks and names ----------------------------------------------------------------------------------------------
    configured("a block that is misspelt", "dataset: {}", "config", "unknown key 'dataset'", "'datasets'"),
    configured(
        "a block that there is not", "plots: {}", "config", "unknown key 'plots'", "Known are: abnormality, annotate"
    ),
    configured("a list for a block", "datasets: [screen]", "datasets", "found ['screen']", "a block of keys"),
    configured("text for a block", "preprocess: native", "preprocess", "found 'native'", "a block of keys"),
    configured("text for the keys of a dataset", "datasets: {screen: simulated}", "datasets: screen", "'simulated'", "keys"),
    configured("no studies", "studies: null", "studies", "found nothing", "a block of keys"),
    configured("a list for the studies", "studies: [tiny]", "studies", "found ['tiny']", "a block of keys"),
    configured("a run without a name", "name: null", "name", "found nothing", "expected text"),
    configured("a run that is called by a number", "name: 2024", "name", "found 2024", "expected text, in quotes"),
    configured("a run's name with a slash", "name: a/b", "name", "'a/b' cannot name a file", LETTERS),
    configured("a run's name with a space", "name: my run", "name", "'my run' cannot name a file", LETTERS),
    configured("a run that is called as the templates are", "name: templates", "name", "'templates'", "another name"),
    configured("a sample set outside the results", "samples: {../cells: {use: nuclei}}", "samples", "'../cells'", LETTERS),
    configured("a method's name with a dot", "methods: {random.2: {use: random}}", "methods", "'random.2'", LETTERS),
    configured(
        "a dataset that is called on", "datasets: {on: {use: simulated}}", "datasets", "true", "put a name in quotes"
    ),
    configured("a study that is called by a number", "studies: {1: {dataset: screen}}", "studies", "name 1", LETTERS),
    configured("a profile that is called none", "profiles: {none: [tvn]}", "profiles", "'none'", "choose another name"),
    configured("samples that are called imported", "samples: {imported: {}}", "samples: imported", "is kept", "another one"),
    # -- plug-ins and their keys ---------------------------------------------------------------------------------------
    configured(
        "a method that is misspelt", "methods: {simcrl: {}}", "methods: simcrl", "no phenorep/methods/simcrl.py", "'simclr'"
    ),
    configured(
        "a dataset without use",
        "datasets: {mine: {}}",
        "datasets: mine",
        "no phenorep/datasets/mine.py",
        "Known are: bbbc005",
    ),
    configured("a list for use", "samples: {cells: {use: [nuclei]}}", "samples: cells: use", "['nuclei']", "expected text"),
    configured(
        "a key that is misspelt", "methods: {random: {backbon: resnet18}}", "methods: random", "'backbon'", "'backbone'"
    ),
    configured("a key of one letter", "datasets: {screen: {n: 3}}", "datasets: screen", "unknown key 'n'", "Known are:"),
    configured("a key that YAML reads as false", "datasets: {screen: {no: 3}}", "datasets: screen", "'False'", "Known are:"),
    configured(
        "text for a whole number", "datasets: {screen: {batches: two}}", "datasets: screen: batches", "'two'", "whole number"
    ),
    configured("a fraction for a whole number", "datasets: {screen: {batches: 2.5}}", "batches", "2.5", "a whole number"),
    configured("a number below its range", "datasets: {screen: {batches: 1}}", "screen: batches", "not 1", "at least 2"),
    configured(
        "a share above one", "datasets: {screen: {artefact_share: 2}}", "artefact_share", "not 2.0", "between 0 and 1"
    ),
    # -- studies -------------------------------------------------------------------------------------------------------
    configured("a study's key that is misspelt", "studies: {tiny: {seed: [0]}}", "studies: tiny", "'seed'", "'seeds'"),
    configured("a study without keys", "studies: {tiny: null}", "studies: tiny", "found nothing", "a block of keys"),
    configured(
        "a study without samples",
        "studies: {other: {dataset: screen}}",
        "studies: other",
        "the key 'samples' is needed",
        "one of cells",
    ),
    configured(
        "a study of samples that there are not",
        "studies: {tiny: {samples: cels}}",
        "studies: tiny: samples",
        "'cels'",
        "'cells'",
    ),
    configured(
        "a study of a method that there is not",
        "studies: {tiny: {methods: [randon]}}",
        "tiny: methods",
        "'randon'",
        "'random'",
    ),
    configured(
        "text for a study's methods", "studies: {tiny: {methods: random}}", "tiny: methods", "'random'", "a list, like"
    ),
    configured("a method twice", "studies: {tiny: {methods: [random, random]}}", "tiny: methods", "twice", "take one out"),
    configured("a method that YAML reads as false", "studies: {tiny: {methods: [no]}}", "methods: 1", "false", "in quotes"),
    configured(
        "a study without methods", "studies: {tiny: {methods: []}}", "studies: tiny: methods", "names none", "random"
    ),
    configured(
        "a study without profiles",
        "studies: {tiny: {profiles: []}}",
        "studies: tiny",
        "names no profiles",
        "Change its profiles",
    ),
    configured("one seed without a list", "studies: {tiny: {seeds: 0}}", "tiny: seeds", "found 0", "expected a list"),
    configured("no seeds", "studies: {tiny: {seeds: []}}", "studies: tiny: seeds", "found []", "at least one"),
    configured("a seed that is a fraction", "studies: {tiny: {seeds: [0, 1.5]}}", "seeds: 2", "1.5", "whole numbers from 0"),
    configured("a seed below zero", "studies: {tiny: {seeds: [-1]}}", "tiny: seeds: 1", "-1 is no seed", "from 0"),
    configured("text for a seed", "studies: {tiny: {seeds: [one]}}", "tiny: seeds: 1", "'one' is no seed", "whole numbers"),
    configured(
        "a method to skip that the study lacks", "studies: {tiny: {skip: {simclr: slow}}}", "skip", "'simclr'", "are: random"
    ),
    configured("a method to skip without a reason", "studies: {tiny: {skip: {random: null}}}", "skip", "nothing", "text"),
    configured(
        "an evaluation for some methods that the study lacks",
        "studies: {tiny: {only: {moa_matchin: [random]}}}",
        "studies: tiny: only",
        "no 'moa_matchin' among its evaluations",
        "Did you mean 'moa_matching'",
    ),
    configured(
        "a published table that there is not", "studies: {tiny: {published: wsdino}}", "published", "wsdino.csv", "'ws_dino'"
    ),
    configured(
        "a profile at saved epochs that the study lacks",
        "studies: {tiny: {saved_epochs: {profiles: [rawr]}}}",
        "studies: tiny: saved_epochs: profiles",
        "'rawr'",
        "'raw'",
    ),
    configured(
        "the mean of saved epochs up to the last",
        "studies: {tiny: {saved_epochs: {mean: [50, last]}}}",
        "mean",
        "'last'",
        "50, 250",
    ),
    configured(
        "the mean of saved epochs backwards",
        "studies: {tiny: {saved_epochs: {mean: [9, 2]}}}",
        "mean",
        "(9)",
        "not be after",
    ),
    # -- references ----------------------------------------------------------------------------------------------------
    configured(
        "methods that start from each other",
        "{methods: {one: {use: simclr, init: screen/cells/two}, two: {use: simclr, init: screen/cells/one}},"
        " studies: {tiny: {methods: [one]}}}",
        "methods: init, from, members",
        "circle: screen/cells/one -> screen/cells/two",
        "Break it",
    ),
    configured(
        "methods that are taken from each other",
        "{methods: {one: {from: screen/cells/two}, two: {from: screen/cells/one}}, studies: {tiny: {methods: [one]}}}",
        "methods: init, from, members",
        "screen/cells/two -> screen/cells/one",
        "Break it",
    ),
    configured(
        "a method that is a member of itself",
        "{methods: {both: {use: concat, members: [random, both]}}, studies: {tiny: {methods: [both]}}}",
        "members",
        "screen/cells/both -> screen/cells/both",
        "Break it",
    ),
    configured(
        "samples that are views of each other",
        "samples: {one: {of: two}, two: {of: one}}",
        "samples: of",
        "circle",
        "Break it",
    ),
    configured("a view of samples that there are not", "samples: {half: {of: cels}}", "half: of", "'cels'", "'cells'"),
    configured(
        "an encoder's place without its samples",
        "{methods: {borrowed: {from: screen/random}}, studies: {tiny: {methods: [borrowed]}}}",
        "methods: borrowed: from",
        "'screen/random' is not of the form",
        "like 'screen/cells/random'",
    ),
    configured(
        "an encoder of a dataset that there is not",
        "{methods: {simclr: {init: scren/cells/random}}, studies: {tiny: {methods: [simclr]}}}",
        "methods: simclr: init",
        "no 'scren' under datasets",
        "Did you mean 'screen'",
    ),
    configured(
        "keys beside from",
        "methods: {borrowed: {from: screen/cells/random, epochs: 3}}",
        "methods: borrowed",
        "'epochs'",
        "applied as it is",
    ),
    configured(
        "a start from methods side by side",
        "{methods: {other: {use: random}, both: {use: concat, members: [random, other]},"
        " simclr: {init: screen/cells/both}}, studies: {tiny: {methods: [simclr]}}}",
        "methods: simclr: init",
        "'both' has no encoder",
        "Name one of its members",
    ),
]
