"""The search for good settings: ranges, the trials that a sampler asks for, and the page of what they came to."""
