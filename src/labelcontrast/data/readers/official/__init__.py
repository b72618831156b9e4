"""The official distributions of the field's data sets: a file a family, each found by looking into the folder."""
