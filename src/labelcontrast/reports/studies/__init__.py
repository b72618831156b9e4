"""What a study has to say: its table, its figures, and what they are made of."""
