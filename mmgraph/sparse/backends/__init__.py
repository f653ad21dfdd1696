"""One file per way to compute a sparse product; all obey the same contract test."""
