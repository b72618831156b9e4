"""The doctor: find problems of data, each with an example, and write the data without those that can be fixed."""
