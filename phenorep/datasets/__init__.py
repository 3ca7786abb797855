"""One file per dataset: which plates it has, where its images come from, and what the experiment was."""
