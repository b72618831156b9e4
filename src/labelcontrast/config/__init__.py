"""The settings of a run, and the file they come from and go to."""
