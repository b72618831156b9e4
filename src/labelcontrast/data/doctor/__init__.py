"""The doctor: what is wrong or odd about data, each finding with an example, and what of it can be put right."""
