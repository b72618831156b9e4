"""Where weights and similarities meet, a block of pairs at a time."""
