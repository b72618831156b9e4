"""How strongly labels pull: how alike two label sets are, and how an anchor's attraction is shared out."""
