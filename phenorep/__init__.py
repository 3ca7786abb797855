"""phenorep: which learned representation of the cell images of a screen to use, for which task."""

import os

# Threads of torch and scikit-learn that wait for each other must not spin: where several jobs share the cores, two spinning
# threads took ten times as long as two sleeping ones. It is read when these are loaded, so it stands before all imports.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
