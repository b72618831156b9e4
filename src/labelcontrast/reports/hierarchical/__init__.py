"""What a run over a hierarchy of labels has to say: tables by level, the tree with its F1, maps by level."""
