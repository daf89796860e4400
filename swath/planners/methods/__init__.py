"""One file for each published method; those of one paper that share more have a folder."""
