"""The plain ways, one file each; they import nothing of mmgraph, so they are oracles as well as rivals."""
