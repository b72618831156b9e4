"""What a run or a comparison has to say: tables for the terminal, figures, and self-contained HTML pages."""
