"""From image files to corrected pixels and nuclei."""
