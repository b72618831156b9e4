"""What others have published about data sets: their figures, and how they divided them."""
