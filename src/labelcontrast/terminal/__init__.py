"""What the verbs take and print: progress on standard error, results on standard output."""
