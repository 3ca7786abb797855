"""One CSV per study: the tables that it published, with their source."""
