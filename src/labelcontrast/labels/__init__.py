"""Label names, label sets, and hierarchies of labels."""
