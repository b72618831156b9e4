"""A file format each: every reader returns examples and says what it understood."""
