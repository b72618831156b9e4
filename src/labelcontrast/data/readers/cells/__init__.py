"""What stands in the label columns of a file, in every form that labels are written in."""
